#include "src/cmd/linnet_status.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/ip.h"

static const char *or_dash(const char *s)
{
	return s != NULL && s[0] != '\0' ? s : "-";
}

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

static bool given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

/* --- which peers ------------------------------------------------------------------------------ */

bool linnet_status_is_connected(const struct daemon_peer_state *p)
{
	return strcmp(or_empty(p->status), "Connected") == 0;
}

const char *linnet_status_connection(const struct daemon_peer_state *p)
{
	if (!linnet_status_is_connected(p))
		return "-";
	return p->relayed ? "Relayed" : "P2P";
}

static bool passes_lists(const struct linnet_status_filter *f, const struct daemon_peer_state *p)
{
	bool ip = f->ips == NULL, name = f->names == NULL;
	for (size_t i = 0; !ip && f->ips[i] != NULL; i++)
		ip = strcmp(f->ips[i], or_empty(p->ip)) == 0 ||
		     (given(p->ipv6) && strcmp(f->ips[i], p->ipv6) == 0);
	for (size_t i = 0; !name && f->names[i] != NULL; i++)
		name = strncasecmp(or_empty(p->fqdn), f->names[i], strlen(f->names[i])) == 0;
	return ip && name;
}

static bool passes(const struct linnet_status_filter *f, const struct daemon_peer_state *p)
{
	if (given(f->status) && strcasecmp(f->status, or_empty(p->status)) != 0)
		return false;
	if (given(f->connection) && strcasecmp(f->connection, linnet_status_connection(p)) != 0)
		return false;
	return passes_lists(f, p);
}

static int by_address(const void *pa, const void *pb)
{
	const struct daemon_peer_state *a = *(const struct daemon_peer_state *const *)pa;
	const struct daemon_peer_state *b = *(const struct daemon_peer_state *const *)pb;
	struct ip_addr x = { 0 }, y = { 0 };
	if (ip_parse(slice_str(or_empty(a->ip)), &x) < 0)
		x = (struct ip_addr){ 0 };
	if (ip_parse(slice_str(or_empty(b->ip)), &y) < 0)
		y = (struct ip_addr){ 0 };
	return ip_cmp(&x, &y);
}

const struct daemon_peer_state **linnet_status_peers(const struct linnet_status_view *v,
						     size_t *ret_n, size_t *ret_connected)
{
	const struct daemon_peer_state **list = ln_calloc(v->st->npeers + 1, sizeof(*list));
	size_t n = 0, connected = 0;
	for (size_t i = 0; i < v->st->npeers; i++) {
		const struct daemon_peer_state *p = &v->st->peers[i];
		if (!passes(&v->filter, p))
			continue;
		list[n++] = p;
		connected += linnet_status_is_connected(p);
	}
	qsort(list, n, sizeof(list[0]), by_address);
	*ret_n = n;
	*ret_connected = connected;
	return list;
}

/* --- one peer --------------------------------------------------------------------------------- */

static const char *quantum_of_peer(const struct daemon_status_response *st, bool peer)
{
	if (st->rosenpass && peer)
		return "true";
	if (st->rosenpass)
		return st->rosenpass_permissive
			       ? "false (remote didn't enable quantum resistance)"
			       : "false (connection won't work without a permissive mode)";
	return peer ? "false (connection might not work without a remote permissive mode)"
		    : "false";
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_networks(const char *const *v, size_t n, struct str *dst)
{
	const char **sorted = ln_calloc(n + 1, sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = v[i];
	qsort(sorted, n, sizeof(sorted[0]), by_text);
	for (size_t i = 0; i < n; i++)
		str_addf(dst, "%s%s", i > 0 ? ", " : "", sorted[i]);
	if (n == 0)
		str_addc(dst, '-');
	free(sorted);
}

/* Ours: the way in use and the others that are measured. */
static void add_paths(const struct daemon_peer_state *p, struct str *dst)
{
	for (size_t i = 0; i < p->npaths; i++) {
		const struct daemon_path_state *w = &p->paths[i];
		char rtt[LINNET_WORD_MAX], variation[LINNET_WORD_MAX];
		linnet_status_span(w->rtt, rtt);
		linnet_status_span(w->variation, variation);
		str_addf(dst, "%s   %s", i == 0 ? "  Paths:\n" : "", or_dash(w->kind));
		if (given(w->local))
			str_addf(dst, " %s -", w->local);
		str_addf(dst, " %s%s: ", or_dash(w->remote), w->used ? " (in use)" : "");
		if (w->rtt != 0 && w->estimated)
			str_addf(dst, "%s (by the last handshake)", rtt);
		else if (w->rtt != 0)
			str_addf(dst, "%s +/- %s", rtt, variation);
		else
			str_add(dst, "latency unknown");
		if (w->checks > 0)
			str_addf(dst, ", %.1f%% of %d checks lost",
				 100.0 * w->checks_lost / w->checks, (int)w->checks);
		str_addc(dst, '\n');
	}
}

static void add_peer(const struct linnet_status_view *v, const struct daemon_peer_state *p,
		     struct str *dst)
{
	bool on = linnet_status_is_connected(p);
	char changed[LINNET_WORD_MAX], shaken[LINNET_WORD_MAX], rx[LINNET_WORD_MAX],
		tx[LINNET_WORD_MAX], latency[LINNET_WORD_MAX];
	linnet_status_ago(p->status_changed, v->now, changed);
	linnet_status_ago(on ? p->last_handshake : 0, v->now, shaken);
	linnet_status_size(on ? p->rx_bytes : 0, rx);
	linnet_status_size(on ? p->tx_bytes : 0, tx);
	linnet_status_span(p->latency, latency);
	str_addf(dst, "\n %s:\n  NetBird IP: %s\n", or_empty(p->fqdn), or_empty(p->ip));
	if (given(p->ipv6))
		str_addf(dst, "  NetBird IPv6: %s\n", p->ipv6);
	str_addf(dst, "  Public key: %s\n  Status: %s\n  -- detail --\n  Connection type: %s\n",
		 or_empty(p->key), or_empty(p->status), linnet_status_connection(p));
	if (given(p->reason)) /* ours: how it is connected, or why not */
		str_addf(dst, "  Reason: %s\n", p->reason);
	str_addf(dst,
		 "  ICE candidate (Local/Remote): %s/%s\n"
		 "  ICE candidate endpoints (Local/Remote): %s/%s\n"
		 "  Relay server address: %s\n",
		 or_dash(on ? p->local_cand_type : NULL), or_dash(on ? p->remote_cand_type : NULL),
		 or_dash(on ? p->local_cand_ep : NULL), or_dash(on ? p->remote_cand_ep : NULL),
		 on ? or_empty(p->relay_address) : "");
	str_addf(dst,
		 "  Last connection update: %s\n  Last WireGuard handshake: %s\n"
		 "  Transfer status (received/sent) %s/%s\n  Quantum resistance: %s\n  Networks: ",
		 changed, shaken, rx, tx, quantum_of_peer(v->st, p->rosenpass));
	add_networks(p->networks, p->nnetworks, dst);
	str_addf(dst, "\n  Latency: %s\n", latency);
	if (on && p->checks > 0) /* ours */
		str_addf(dst, "  Loss: %.1f%% of the last %d checks\n",
			 100.0 * p->checks_lost / p->checks, (int)p->checks);
	if (on)
		add_paths(p, dst);
}

/* --- events ----------------------------------------------------------------------------------- */

const char *linnet_status_severity(int severity)
{
	static const char *const names[] = { "INFO", "WARNING", "ERROR", "CRITICAL" };
	return severity >= 0 && severity < (int)LN_COUNT(names) ? names[severity] : "UNKNOWN";
}

const char *linnet_status_category(int category)
{
	static const char *const names[] = { "NETWORK", "DNS", "AUTHENTICATION", "CONNECTIVITY",
					     "SYSTEM" };
	return category >= 0 && category < (int)LN_COUNT(names) ? names[category] : "UNKNOWN";
}

static void add_events(const struct linnet_status_view *v, struct str *dst)
{
	str_add(dst, "Events:");
	if (v->st->nevents == 0)
		str_add(dst, " No events recorded");
	for (size_t i = 0; i < v->st->nevents; i++) {
		const struct daemon_event *e = &v->st->events[i];
		char ago[LINNET_WORD_MAX];
		linnet_status_ago(e->at, v->now, ago);
		str_addf(dst, "\n  [%s] %s (%s)\n    Message: %s\n    Time: %s",
			 linnet_status_severity(e->severity), linnet_status_category(e->category),
			 or_empty(e->id), or_empty(e->message), ago);
		for (size_t k = 0; k < e->nmetadata; k++)
			str_addf(dst, "%s%s: %s", k == 0 ? "\n    Metadata: " : ", ",
				 e->metadata[k].key, e->metadata[k].value);
	}
	str_addc(dst, '\n');
}

/* --- summary ---------------------------------------------------------------------------------- */

static void add_server(const char *name, const struct daemon_server_state *s, bool detail,
		       struct str *dst)
{
	str_addf(dst, "%s: %s", name, s->connected ? "Connected" : "Disconnected");
	if (s->connected && detail && given(s->url))
		str_addf(dst, " to %s", s->url);
	if (!s->connected && given(s->error))
		str_addf(dst, ", reason: %s", s->error);
	str_addc(dst, '\n');
}

/* Errors of servers may have several lines; here each gets one. */
static void add_joined(const char *text, struct str *dst)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			str_add(dst, "; ");
		else
			str_addc(dst, *text);
	}
}

static void add_relays(const struct daemon_status_response *st, bool detail, struct str *dst)
{
	size_t available = 0;
	for (size_t i = 0; i < st->nrelays; i++)
		available += st->relays[i].available;
	if (!detail) {
		str_addf(dst, "Relays: %zu/%zu Available\n", available, st->nrelays);
		return;
	}
	str_add(dst, "Relays: ");
	for (size_t i = 0; i < st->nrelays; i++) {
		const struct daemon_relay_state *r = &st->relays[i];
		str_addf(dst, "\n  [%s] is %s", or_empty(r->uri),
			 r->available ? "Available" : "Unavailable, reason: ");
		if (!r->available)
			add_joined(or_empty(r->error), dst);
		else if (given(r->transport))
			str_addf(dst, " via %s", r->transport);
	}
	str_addc(dst, '\n');
}

static void add_list(const char *const *v, size_t n, struct str *dst)
{
	for (size_t i = 0; i < n; i++)
		str_addf(dst, "%s%s", i > 0 ? ", " : "", v[i]);
}

static void add_nameservers(const struct daemon_status_response *st, bool detail, struct str *dst)
{
	size_t available = 0;
	for (size_t i = 0; i < st->ndns; i++)
		available += st->dns[i].enabled;
	if (!detail) {
		str_addf(dst, "Nameservers: %zu/%zu Available\n", available, st->ndns);
		return;
	}
	str_add(dst, "Nameservers: ");
	for (size_t i = 0; i < st->ndns; i++) {
		const struct daemon_dns_state *d = &st->dns[i];
		str_add(dst, "\n  [");
		add_list(d->servers, d->nservers, dst);
		str_add(dst, "] for [");
		if (d->ndomains == 0)
			str_addc(dst, '.');
		add_list(d->domains, d->ndomains, dst);
		str_addf(dst, "] is %s", d->enabled ? "Available" : "Unavailable");
		if (given(d->error))
			str_addf(dst, ", reason: %s", d->error);
	}
	str_addc(dst, '\n');
}

static void add_interface(const struct daemon_status_response *st, struct str *dst)
{
	bool up = given(st->ip);
	str_addf(dst, "FQDN: %s\nNetBird IP: %s\n", or_empty(st->fqdn), up ? st->ip : "N/A");
	if (given(st->ipv6))
		str_addf(dst, "NetBird IPv6: %s\n", st->ipv6);
	str_addf(dst, "Interface type: %s\n",
		 !up                    ? "N/A"
		 : st->kernel_interface ? "Kernel"
					: "Userspace");
	if (st->wg_port != 0)
		str_addf(dst, "Wireguard port: %d\n", (int)st->wg_port);
	else
		str_add(dst, "Wireguard port: N/A\n");
}

static void add_summary(const struct linnet_status_view *v, bool detail, struct str *dst)
{
	const struct daemon_status_response *st = v->st;
	str_addf(dst, "OS: %s\nDaemon version: %s\nCLI version: %s\nProfile: %s\n", v->platform,
		 given(st->version) ? st->version : "N/A", v->version, v->profile);
	add_server("Management", &st->management, detail, dst);
	add_server("Signal", &st->signal, detail, dst);
	add_relays(st, detail, dst);
	add_nameservers(st, detail, dst);
	add_interface(st, dst);
	str_addf(dst, "Quantum resistance: %s\nLazy connection: %s\nSSH Server: Disabled\n",
		 !st->rosenpass             ? "false"
		 : st->rosenpass_permissive ? "true (permissive)"
					    : "true",
		 st->lazy ? "true" : "false");
	str_add(dst, "Networks: ");
	add_networks(st->networks, st->nnetworks, dst);
	str_addc(dst, '\n');
	if (st->forwarding_rules > 0)
		str_addf(dst, "Forwarding rules: %d\n", (int)st->forwarding_rules);
	if (st->session_expires != 0) {
		char at[LINNET_WORD_MAX], until[LINNET_WORD_MAX];
		linnet_status_time(st->session_expires, at);
		linnet_status_until(st->session_expires, v->now, until);
		str_addf(dst, "Session expires: %s (in %s)\n", at, until);
	}
	size_t n, connected;
	free(linnet_status_peers(v, &n, &connected));
	str_addf(dst, "Peers count: %zu/%zu Connected\n", connected, n);
}

void linnet_status_summary(const struct linnet_status_view *v, struct str *dst)
{
	add_summary(v, false, dst);
}

void linnet_status_detail(const struct linnet_status_view *v, struct str *dst)
{
	size_t n, connected;
	const struct daemon_peer_state **peers = linnet_status_peers(v, &n, &connected);
	str_add(dst, "Peers detail:");
	for (size_t i = 0; i < n; i++)
		add_peer(v, peers[i], dst);
	free(peers);
	str_addc(dst, '\n');
	add_events(v, dst);
	add_summary(v, true, dst);
}

bool linnet_status_needs_login(const struct daemon_status_response *st)
{
	static const char *const words[] = { "NeedsLogin", "LoginFailed", "SessionExpired" };
	for (size_t i = 0; i < LN_COUNT(words); i++)
		if (strcmp(or_empty(st->status), words[i]) == 0)
			return true;
	return false;
}

void linnet_status_login_hint(const struct linnet_status_view *v, struct str *dst)
{
	str_addf(
		dst,
		"Daemon status: %s\n\nThis machine has to log in first, in a browser:\n\n %s up\n\n"
		"or with a setup key, which needs no browser:\n\n"
		" %s up --management-url <YOUR_MANAGEMENT_URL> --setup-key <YOUR_SETUP_KEY>\n\n",
		v->st->status, v->program, v->program);
}

void linnet_status_address(const struct daemon_status_response *st, bool v6, struct str *dst)
{
	const char *ip = or_empty(v6 ? st->ipv6 : st->ip);
	size_t n = strcspn(ip, "/");
	if (n == 0)
		return;
	str_addn(dst, ip, n);
	str_addc(dst, '\n');
}
