/* What follows from the settings of linnet-server. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/combined/combined_conf.h"

int combined_listen_parse(const char *text, struct combined_listen *ret)
{
	struct combined_listen l = { 0 };
	const char *colon = strrchr(text, ':');
	unsigned port = 0;
	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) > 5)
		return LN_E_MALFORMED;
	for (const char *p = colon + 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return LN_E_MALFORMED;
		port = port * 10 + (unsigned)(*p - '0');
	}
	if (port == 0 || port > 65535)
		return LN_E_MALFORMED;
	struct slice host = slice_of(text, (size_t)(colon - text));
	if (slice_is(host, "localhost")) {
		l.ep.addr = ip_v4(0x7f000001);
	} else if (host.n > 0) {
		bool brackets = host.p[0] == '[' && host.p[host.n - 1] == ']';
		struct slice inner = brackets ? slice_of(host.p + 1, host.n - 2) : host;
		int err = ip_parse(inner, &l.ep.addr);
		if (err < 0 || brackets != (memchr(inner.p, ':', inner.n) != NULL))
			return LN_E_MALFORMED;
	}
	l.ep.port = (uint16_t)port;
	*ret = l;
	return 0;
}

void combined_own_address(char dst[IP_TEXT_MAX])
{
	/* TEST-NET-1: connecting a datagram socket only asks the routing table. */
	const struct ip_ep far = { .addr = ip_v4(0xc0000201), .port = 9 };
	struct sockaddr_storage sa, own;
	struct ip_ep ep;
	socklen_t n = sizeof(own);
	strcpy(dst, "127.0.0.1");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	unsigned len = ip_ep_to_sockaddr(&far, &sa);
	if (connect(fd, (const struct sockaddr *)&sa, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&own, &n) == 0 &&
	    ip_ep_from_sockaddr((const struct sockaddr *)&own, &ep) == 0)
		ip_format(&ep.addr, dst);
	close(fd);
}

int combined_url_parse(const char *text, const char *scheme, struct url *ret)
{
	char whole[URL_AUTHORITY_TEXT + 16];
	struct url u;
	if (snprintf(whole, sizeof(whole), "%s%s", scheme != NULL ? scheme : "", text) >=
	    (int)sizeof(whole))
		return LN_E_MALFORMED;
	int err = url_parse(slice_str(whole), &u, NULL);
	if (err < 0 || !(u.path.n == 0 || slice_is(u.path, "/")))
		return LN_E_MALFORMED;
	u.path = slice_of(NULL, 0); /* whole goes away */
	*ret = u;
	return 0;
}

/* host:port with brackets round an IPv6 address. */
static void join_host(char dst[URL_AUTHORITY_TEXT], const char *host, uint16_t port)
{
	struct url u = { .port = port, .host_is_v6 = strchr(host, ':') != NULL };
	snprintf(u.host, sizeof(u.host), "%s", host);
	url_authority(&u, dst);
}

static int plan_listen(const struct svc_conf *c, const struct combined_conf *v,
		       struct combined_plan *plan)
{
	/* A swapped-in file without the key means NetBird's default; by hand, what needs no
	 * certificate. */
	const char *text = v->listen;
	if (text[0] == '\0')
		text = v->cert_file[0] != '\0' || c->file != NULL ? ":443" : ":80";
	return combined_listen_parse(text, &plan->listen);
}

static void plan_exposed(const struct combined_conf *v, struct combined_plan *plan)
{
	struct url u;
	if (v->exposed[0] != '\0' && combined_url_parse(v->exposed, NULL, &u) == 0) {
		plan->exposed_tls = u.tls;
		plan->exposed_port = u.port;
		snprintf(plan->exposed_host, sizeof(plan->exposed_host), "%s", u.host);
		return;
	}
	const struct ip_addr *a = &plan->listen.ep.addr;
	char text[IP_TEXT_MAX];
	if (ip_is_set(a) && !ip_is_unspecified(a))
		ip_format(a, text);
	else
		combined_own_address(text);
	snprintf(plan->exposed_host, sizeof(plan->exposed_host), "%s", text);
	plan->exposed_port = plan->listen.ep.port;
	plan->exposed_tls = v->cert_file[0] != '\0';
}

static void plan_signal(const struct combined_conf *v, struct combined_plan *plan)
{
	struct url u;
	plan->signal_tls = plan->exposed_tls;
	plan->local_signal = v->signal_uri[0] == '\0';
	join_host(plan->signal_uri, plan->exposed_host, plan->exposed_port);
	if (plan->local_signal)
		return;
	if (combined_url_parse(v->signal_uri, NULL, &u) == 0)
		plan->signal_tls = u.tls;
	else if (combined_url_parse(v->signal_uri, "http://", &u) < 0)
		return; /* the row has checked it */
	url_authority(&u, plan->signal_uri);
}

/* Agents get the servers named in the file, else every port of ours. */
static int plan_stuns(struct svc_conf *c, const struct combined_conf *v, struct combined_plan *plan)
{
	plan->local_stun = v->stuns.n == 0;
	plan->stuns = v->stuns.v;
	plan->nstuns = v->stuns.n;
	if (!plan->local_stun)
		return 0;
	plan->nstuns = v->stun_ports.n;
	plan->stuns = arena_calloc(&c->arena, plan->nstuns + 1, sizeof(*plan->stuns));
	if (plan->stuns == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < plan->nstuns; i++) {
		char text[URL_AUTHORITY_TEXT];
		join_host(text, plan->exposed_host, (uint16_t)v->stun_ports.v[i]);
		plan->stuns[i] = arena_printf(&c->arena, "stun:%s", text);
		if (plan->stuns[i] == NULL)
			return LN_E_LIMIT;
	}
	return 0;
}

/* Agents get the relays named in the file, else ours (spec relay 19). */
static int plan_relays(struct svc_conf *c, const struct combined_conf *v,
		       struct combined_plan *plan)
{
	char text[URL_AUTHORITY_TEXT];
	join_host(text, plan->exposed_host, plan->exposed_port);
	plan->local_relay = v->relays.n == 0;
	plan->relay_url = v->relay_exposed;
	if (plan->relay_url[0] == '\0')
		plan->relay_url = arena_printf(&c->arena, "%s://%s",
					       plan->exposed_tls ? "rels" : "rel", text);
	plan->relays = v->relays.v;
	plan->nrelays = v->relays.n;
	plan->relay_secret =
		plan->local_relay || v->relay_secret[0] == '\0' ? v->auth_secret : v->relay_secret;
	if (!plan->local_relay)
		return plan->relay_url != NULL ? 0 : LN_E_LIMIT;
	plan->relays = arena_calloc(&c->arena, 1, sizeof(*plan->relays));
	if (plan->relay_url == NULL || plan->relays == NULL)
		return LN_E_LIMIT;
	plan->relays[0] = plan->relay_url;
	plan->nrelays = 1;
	return 0;
}

static int plan_paths(struct svc_conf *c, const struct combined_conf *v, struct combined_plan *plan)
{
	size_t n = strlen(v->data_dir);
	const char *slash = v->data_dir[n - 1] == '/' ? "" : "/";
	plan->store_path = v->store_file;
	plan->admin_socket = v->admin_socket;
	/* A bare name lies in the data folder, as upstream's default does. */
	if (v->store_file[0] != '/')
		plan->store_path =
			arena_printf(&c->arena, "%s%s%s", v->data_dir, slash,
				     v->store_file[0] != '\0' ? v->store_file : "store.db");
	if (v->admin_socket[0] == '\0')
		plan->admin_socket = arena_printf(&c->arena, "%s%sadmin.sock", v->data_dir, slash);
	plan->relay_secret_path = arena_printf(&c->arena, "%s%srelay-secret", v->data_dir, slash);
	return plan->store_path != NULL && plan->admin_socket != NULL &&
			       plan->relay_secret_path != NULL
		       ? 0
		       : LN_E_LIMIT;
}

int combined_plan_make(struct svc_conf *c, struct combined_plan *ret, struct ln_fail *f)
{
	const struct combined_conf *v = c->values;
	struct combined_plan plan = { 0 };
	char where[160];
	if ((v->cert_file[0] != '\0') != (v->key_file[0] != '\0')) {
		const char *given =
			v->cert_file[0] != '\0' ? "server.tls.certFile" : "server.tls.keyFile";
		svc_conf_where(c, given, where, sizeof(where));
		return ln_fail(f, LN_E_MALFORMED,
			       "%s: a certificate and its key belong together; give certFile and "
			       "keyFile, or neither",
			       where);
	}
	int err = plan_listen(c, v, &plan);
	ln_assert(err == 0); /* the row has checked it */
	plan_exposed(v, &plan);
	plan_signal(v, &plan);
	err = plan_stuns(c, v, &plan);
	if (err == 0)
		err = plan_relays(c, v, &plan);
	if (err == 0)
		err = plan_paths(c, v, &plan);
	if (err < 0)
		return ln_fail(f, err, "the configuration is too large");
	if (!plan.local_relay && plan.relay_secret[0] == '\0') {
		svc_conf_where(c, "server.relays.addresses", where, sizeof(where));
		return ln_fail(f, LN_E_MALFORMED,
			       "%s: agents need tokens of these relays; give their secret as "
			       "server.relays.secret",
			       where);
	}
	if (v->turns.n != 0 && v->turn_secret[0] == '\0' &&
	    (v->turn_username[0] == '\0' || v->turn_password[0] == '\0')) {
		svc_conf_where(c, "linnet.turn.uris", where, sizeof(where));
		return ln_fail(f, LN_E_MALFORMED,
			       "%s: agents need credentials there; give linnet.turn.secret, or "
			       "linnet.turn.username and linnet.turn.password",
			       where);
	}
	/* sun_path holds 108 bytes with its zero. */
	if (strlen(plan.admin_socket) > 107)
		return ln_fail(f, LN_E_LIMIT,
			       "the path of the administration socket is longer than 107 bytes; "
			       "set linnet.adminSocket to a shorter one");
	*ret = plan;
	return 0;
}
