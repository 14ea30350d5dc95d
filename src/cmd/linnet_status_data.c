/* The same status as JSON and as YAML: one walk over the data, two ways of writing it down. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/cmd/linnet_status.h"

struct out {
	struct str *dst;
	bool yaml;
	unsigned depth;    /* YAML: in columns */
	unsigned outer[8]; /* the depths around this one */
	unsigned level;
	bool first; /* nothing in this object or list yet */
	bool item;  /* YAML: the next key stands behind "- " */
};

/* --- texts ------------------------------------------------------------------------------------ */

static void add_json_text(struct str *dst, const char *s)
{
	str_addc(dst, '"');
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			str_addf(dst, "\\%c", c);
		else if (c == '\n')
			str_add(dst, "\\n");
		else if (c == '\r')
			str_add(dst, "\\r");
		else if (c == '\t')
			str_add(dst, "\\t");
		else if (c < 0x20 || c == 0x7f || strchr("<>&", c) != NULL)
			str_addf(dst, "\\u%04x", c);
		else
			str_addc(dst, (char)c);
	}
	str_addc(dst, '"');
}

#define HEX_DIGITS "0123456789abcdefABCDEF_"

static bool is_date(const char *s)
{
	static const char pattern[] = "dddd-dd-dd";
	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		if (pattern[i] == 'd' ? !isdigit((unsigned char)s[i]) : s[i] != pattern[i])
			return false;
	return s[10] == '\0' || s[10] == 'T' || s[10] == ' ';
}

/* Would a YAML reader take the bare word for something else than text? */
static bool looks_typed(const char *s)
{
	static const char *const words[] = { "true", "false", "yes",  "no", "on",   "off",
					     "y",    "n",     "null", "~",  ".inf", ".nan" };
	for (size_t i = 0; i < LN_COUNT(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	const char *t = s + (*s == '-' || *s == '+');
	if (!isdigit((unsigned char)*t))
		return false;
	/* Integers, also in base 60 and with underscores; the other bases; then the rest. */
	if (t[strspn(t, "0123456789_:")] == '\0')
		return true;
	if (t[0] == '0' && strchr("xob", t[1]) != NULL && t[strspn(t + 2, HEX_DIGITS) + 2] == '\0')
		return true;
	char *end;
	(void)strtod(t, &end);
	return *end == '\0' || is_date(t);
}

static bool is_plain(const char *s)
{
	size_t n = strlen(s);
	if (strchr("!&*?{}[],#|>@`\"'%", s[0]) != NULL || s[0] == ' ' || s[n - 1] == ' ' ||
	    s[n - 1] == ':' || strstr(s, ": ") != NULL || strstr(s, " #") != NULL)
		return false;
	if ((s[0] == '-' || s[0] == ':') && (n == 1 || s[1] == ' '))
		return false;
	return strcmp(s, "---") != 0 && strcmp(s, "...") != 0;
}

static bool has_control(const char *s, bool newline_too)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 || *s == 0x7f) && (newline_too || *s != '\n'))
			return true;
	return false;
}

static void add_yaml_block(struct out *o, const char *s)
{
	size_t n = strlen(s);
	str_add(o->dst, s[n - 1] == '\n' ? "|" : "|-");
	while (*s != '\0') {
		size_t line = strcspn(s, "\n");
		str_addf(o->dst, "\n%*s%.*s", line > 0 ? (int)o->depth + 4 : 0, "", (int)line, s);
		s += line + (s[line] == '\n');
	}
}

static void add_text(struct out *o, const char *s)
{
	s = s != NULL ? s : "";
	if (!o->yaml || s[0] == '\0' || has_control(s, false) || looks_typed(s)) {
		add_json_text(o->dst, s);
	} else if (strchr(s, '\n') != NULL) {
		if (s[0] == ' ' || s[0] == '\n' || strstr(s, "\n\n") != NULL)
			add_json_text(o->dst, s); /* a block would need an indentation mark */
		else
			add_yaml_block(o, s);
	} else if (is_plain(s)) {
		str_add(o->dst, s);
	} else {
		str_addc(o->dst, '\'');
		for (; *s != '\0'; s++)
			str_add(o->dst, *s == '\'' ? "''" : (char[]){ *s, '\0' });
		str_addc(o->dst, '\'');
	}
}

/* --- structure -------------------------------------------------------------------------------- */

static void key(struct out *o, const char *name)
{
	if (!o->yaml) {
		str_addf(o->dst, "%s\"%s\":", o->first ? "" : ",", name);
	} else {
		if (o->item)
			str_addf(o->dst, "%*s- ", (int)o->depth - 2, "");
		else
			str_addf(o->dst, "%*s", (int)o->depth, "");
		str_addf(o->dst, "%s:", name);
	}
	o->item = o->first = false;
}

/* The next column that four divides; inside a list that is only two further. */
static void indent(struct out *o)
{
	ln_assert(o->level < LN_COUNT(o->outer));
	o->outer[o->level++] = o->depth;
	o->depth = o->depth / 4 * 4 + 4;
	o->first = true;
}

static void dedent(struct out *o)
{
	o->depth = o->outer[--o->level];
	o->first = false;
}

static void end_line(struct out *o)
{
	if (o->yaml)
		str_addc(o->dst, '\n');
}

static void text(struct out *o, const char *name, const char *s)
{
	key(o, name);
	if (o->yaml)
		str_addc(o->dst, ' ');
	add_text(o, s);
	end_line(o);
}

static void text_if(struct out *o, const char *name, const char *s)
{
	if (s != NULL && s[0] != '\0')
		text(o, name, s);
}

/* A word that both write down bare: number, bool, null. */
static void bare(struct out *o, const char *name, const char *word)
{
	key(o, name);
	str_addf(o->dst, "%s%s", o->yaml ? " " : "", word);
	end_line(o);
}

static void number(struct out *o, const char *name, int64_t n)
{
	char word[32];
	snprintf(word, sizeof(word), "%lld", (long long)n);
	bare(o, name, word);
}

static void truth(struct out *o, const char *name, bool b)
{
	bare(o, name, b ? "true" : "false");
}

static void moment(struct out *o, const char *name, const char *word)
{
	if (o->yaml)
		bare(o, name, word);
	else
		text(o, name, word);
}

static void object(struct out *o, const char *name)
{
	key(o, name);
	if (o->yaml)
		str_addc(o->dst, '\n');
	else
		str_addc(o->dst, '{');
	indent(o);
}

static void object_end(struct out *o)
{
	dedent(o);
	if (!o->yaml)
		str_addc(o->dst, '}');
}

/* A list of objects; false when it is empty and already written as `null` or `[]`. */
static bool list(struct out *o, const char *name, size_t n, bool null_when_empty)
{
	if (n == 0) {
		bare(o, name, null_when_empty && !o->yaml ? "null" : "[]");
		return false;
	}
	key(o, name);
	str_add(o->dst, o->yaml ? "\n" : "[");
	indent(o);
	return true;
}

static void list_end(struct out *o)
{
	dedent(o);
	if (!o->yaml)
		str_addc(o->dst, ']');
}

static void item(struct out *o)
{
	if (!o->yaml)
		str_add(o->dst, o->first ? "{" : ",{");
	o->depth += 2;
	o->first = o->item = true;
}

static void item_end(struct out *o)
{
	o->depth -= 2;
	o->first = false;
	if (!o->yaml)
		str_addc(o->dst, '}');
}

static void texts(struct out *o, const char *name, const char *const *v, size_t n)
{
	if (!list(o, name, n, true))
		return;
	for (size_t i = 0; i < n; i++) {
		if (o->yaml)
			str_addf(o->dst, "%*s- ", (int)o->depth, "");
		else if (i > 0)
			str_addc(o->dst, ',');
		add_text(o, v[i]);
		end_line(o);
	}
	list_end(o);
}

/* --- the data --------------------------------------------------------------------------------- */

/* An unset time of the protocol reads as the epoch; what we do not ask for at all as year one. */
static void time_of(struct out *o, const char *name, bool asked, ln_wall at)
{
	char word[LINNET_WORD_MAX] = "0001-01-01T00:00:00Z";
	if (asked && at == 0)
		strcpy(word, "1970-01-01T00:00:00Z");
	else if (asked)
		linnet_status_time(at, word);
	moment(o, name, word);
}

static void pair(struct out *o, const char *name, const char *local, const char *remote)
{
	object(o, name);
	text(o, "local", local);
	text(o, "remote", remote);
	object_end(o);
}

static void span(struct out *o, const char *name, ln_time t)
{
	if (o->yaml) {
		char word[LINNET_WORD_MAX];
		linnet_status_span(t, word);
		bare(o, name, word);
	} else {
		number(o, name, t);
	}
}

/* Ours, and only there when something was measured. */
static void paths(struct out *o, const struct daemon_peer_state *p)
{
	if (!list(o, "paths", p->npaths, false))
		return;
	for (size_t i = 0; i < p->npaths; i++) {
		const struct daemon_path_state *w = &p->paths[i];
		item(o);
		text(o, "connectionType", w->kind);
		text_if(o, "local", w->local);
		text_if(o, "remote", w->remote);
		truth(o, "used", w->used);
		if (w->rtt != 0) {
			span(o, "latency", w->rtt);
			if (w->estimated)
				truth(o, "latencyByHandshake", true);
			else
				span(o, "latencyVariation", w->variation);
		}
		number(o, "checks", w->checks);
		number(o, "checksLost", w->checks_lost);
		item_end(o);
	}
	list_end(o);
}

static void peer(struct out *o, const struct daemon_peer_state *p)
{
	bool on = linnet_status_is_connected(p);
	item(o);
	text(o, "fqdn", p->fqdn);
	text(o, "netbirdIp", p->ip);
	text_if(o, "netbirdIpv6", p->ipv6);
	text(o, "publicKey", p->key);
	text(o, "status", p->status);
	time_of(o, "lastStatusUpdate", true, p->status_changed);
	text(o, "connectionType", linnet_status_connection(p));
	pair(o, "iceCandidateType", on ? p->local_cand_type : "", on ? p->remote_cand_type : "");
	pair(o, "iceCandidateEndpoint", on ? p->local_cand_ep : "", on ? p->remote_cand_ep : "");
	text(o, "relayAddress", on ? p->relay_address : "");
	time_of(o, "lastWireguardHandshake", on, p->last_handshake);
	number(o, "transferReceived", on ? p->rx_bytes : 0);
	number(o, "transferSent", on ? p->tx_bytes : 0);
	span(o, "latency", p->latency);
	truth(o, "quantumResistance", p->rosenpass);
	texts(o, "networks", p->networks, p->nnetworks);
	text_if(o, "reason", p->reason);
	if (on && p->checks > 0) {
		number(o, "checks", p->checks);
		number(o, "checksLost", p->checks_lost);
	}
	if (on && p->npaths > 0)
		paths(o, p);
	item_end(o);
}

static void peers(struct out *o, const struct linnet_status_view *v)
{
	size_t n, connected;
	const struct daemon_peer_state **sorted = linnet_status_peers(v, &n, &connected);
	object(o, "peers");
	number(o, "total", (int64_t)n);
	number(o, "connected", (int64_t)connected);
	if (list(o, "details", n, true)) {
		for (size_t i = 0; i < n; i++)
			peer(o, sorted[i]);
		list_end(o);
	}
	object_end(o);
	free(sorted);
}

static void server(struct out *o, const char *name, const struct daemon_server_state *s)
{
	object(o, name);
	text(o, "url", s->url);
	truth(o, "connected", s->connected);
	text(o, "error", s->error);
	object_end(o);
}

static void joined(struct out *o, const char *name, const char *s)
{
	struct str one;
	str_init(&one, 0);
	for (; s != NULL && *s != '\0'; s++)
		str_add(&one, *s == '\n' ? "; " : (char[]){ *s, '\0' });
	text(o, name, str_c(&one));
	str_fini(&one);
}

static void relays(struct out *o, const struct daemon_status_response *st)
{
	size_t available = 0;
	for (size_t i = 0; i < st->nrelays; i++)
		available += st->relays[i].available;
	object(o, "relays");
	number(o, "total", (int64_t)st->nrelays);
	number(o, "available", (int64_t)available);
	if (list(o, "details", st->nrelays, true)) {
		for (size_t i = 0; i < st->nrelays; i++) {
			item(o);
			text(o, "uri", st->relays[i].uri);
			truth(o, "available", st->relays[i].available);
			joined(o, "error", st->relays[i].error);
			text_if(o, "transport", st->relays[i].transport);
			item_end(o);
		}
		list_end(o);
	}
	object_end(o);
}

static void dns_servers(struct out *o, const struct daemon_status_response *st)
{
	if (!list(o, "dnsServers", st->ndns, false))
		return;
	for (size_t i = 0; i < st->ndns; i++) {
		const struct daemon_dns_state *d = &st->dns[i];
		item(o);
		texts(o, "servers", d->servers, d->nservers);
		texts(o, "domains", d->domains, d->ndomains);
		truth(o, "enabled", d->enabled);
		text(o, "error", d->error);
		item_end(o);
	}
	list_end(o);
}

static void metadata(struct out *o, const struct daemon_event *e)
{
	if (e->nmetadata == 0) {
		bare(o, "metadata", o->yaml ? "{}" : "null");
		return;
	}
	object(o, "metadata");
	for (size_t i = 0; i < e->nmetadata; i++)
		text(o, e->metadata[i].key, e->metadata[i].value);
	object_end(o);
}

static void events(struct out *o, const struct daemon_status_response *st)
{
	if (!list(o, "events", st->nevents, false))
		return;
	for (size_t i = 0; i < st->nevents; i++) {
		const struct daemon_event *e = &st->events[i];
		item(o);
		text(o, "id", e->id);
		text(o, "severity", linnet_status_severity(e->severity));
		text(o, "category", linnet_status_category(e->category));
		text(o, "message", e->message);
		text(o, "userMessage", e->user_message);
		time_of(o, "timestamp", true, e->at);
		metadata(o, e);
		item_end(o);
	}
	list_end(o);
}

static void own(struct out *o, const struct linnet_status_view *v)
{
	const struct daemon_status_response *st = v->st;
	text(o, "netbirdIp", st->ip);
	text_if(o, "netbirdIpv6", st->ipv6);
	text(o, "publicKey", st->key);
	truth(o, "usesKernelInterface", st->kernel_interface);
	number(o, "wireguardPort", st->wg_port);
	text(o, "fqdn", st->fqdn);
	truth(o, "quantumResistance", st->rosenpass);
	truth(o, "quantumResistancePermissive", st->rosenpass_permissive);
	texts(o, "networks", st->networks, st->nnetworks);
	number(o, "forwardingRules", st->forwarding_rules);
}

static void write_all(struct out *o, const struct linnet_status_view *v)
{
	const struct daemon_status_response *st = v->st;
	peers(o, v);
	text(o, "cliVersion", v->version);
	text(o, "daemonVersion", st->version);
	text(o, "daemonStatus", st->status);
	server(o, "management", &st->management);
	server(o, "signal", &st->signal);
	relays(o, st);
	own(o, v);
	dns_servers(o, st);
	events(o, st);
	truth(o, "lazyConnectionEnabled", st->lazy);
	text(o, "profileName", v->profile);
	object(o, "sshServer");
	truth(o, "enabled", false);
	bare(o, "sessions", "[]");
	object_end(o);
	if (st->session_expires != 0)
		time_of(o, "sessionExpiresAt", true, st->session_expires);
}

void linnet_status_json(const struct linnet_status_view *v, struct str *dst)
{
	struct out o = { .dst = dst, .first = true };
	str_addc(dst, '{');
	write_all(&o, v);
	str_addc(dst, '}');
}

void linnet_status_yaml(const struct linnet_status_view *v, struct str *dst)
{
	struct out o = { .dst = dst, .yaml = true, .first = true };
	write_all(&o, v);
}
