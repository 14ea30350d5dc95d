/* `linnet lab`: two machines behind the NATs of your choice, and what becomes of them. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/cmd/linnet_lab_show.h"
#include "src/cmd/linnet_status.h"
#include "src/cmd/linnet_user.h"

#define SETTLE_LIMIT (25 * LN_SEC) /* a negotiation takes twelve; two fit */
#define STATUS_EVERY (100 * LN_MSEC)

static double since(ln_time t)
{
	return (double)(ev_now() - t) / (double)LN_SEC;
}

/* --- what was asked --------------------------------------------------------------------------- */

static int choose_sites(struct linnet_lab_show *s, struct ln_fail *f)
{
	const struct linnet_value *v = &s->lab.cli->values[OPT_LAB_NAT];
	static const char *const names[] = { "a", "b" };
	if (v->nlist > 2)
		return ln_fail(f, LN_E_MALFORMED,
			       "a laboratory has two machines: --nat at most twice");
	for (size_t i = 0; i < 2; i++) {
		const char *kind =
			v->nlist == 0 ? "port-restricted" : v->list[LN_MIN(i, v->nlist - 1)];
		s->lab.sites[i] = (struct linnet_lab_site){
			.name = names[i],
			.number = (unsigned)i + 1,
			.nat = linnet_lab_nat(kind),
			.port = LINNET_LAB_PORT,
			.ipv6 = linnet_on(s->lab.cli, OPT_LAB_IPV6),
		};
		if (s->lab.sites[i].nat == NULL)
			return ln_fail(
				f, LN_E_NOTFOUND,
				"there is no NAT kind \"%.40s\"; linnet lab --list shows them",
				kind);
	}
	/* Hairpinning shows only between machines behind one router. */
	if (s->lab.sites[0].nat == s->lab.sites[1].nat && s->lab.sites[0].nat->hairpin) {
		s->lab.sites[1].behind = names[0];
		s->lab.sites[1].behind_number = 1;
		s->lab.sites[0].isolated = s->lab.sites[1].isolated = true;
	}
	return 0;
}

/* --- building --------------------------------------------------------------------------------- */

static int build(struct linnet_lab_show *s, struct ln_fail *f)
{
	struct str script;
	str_init(&script, 0);
	linnet_lab_plan_segment(s->lab.prefix, &script);
	for (size_t i = 0; i < 2; i++)
		linnet_lab_plan_site(s->lab.prefix, &s->lab.sites[i], &script);
	s->lab.made_namespaces = true; /* some may be there even if it fails */
	int r = linnet_lab_script(&script, f);
	str_fini(&script);
	return r;
}

static int write_config(const struct linnet_lab_show *s, const char *path, struct ln_fail *f)
{
	FILE *out = fopen(path, "we");
	if (out == NULL)
		return ln_fail(f, -errno, "%s: %s", path, strerror(errno));
	fprintf(out,
		"server:\n  listenAddress: \":80\"\n  exposedAddress: \"http://" LINNET_LAB_SERVER
		":80\"\n  stunPorts: [3478, 3479]\n  logLevel: debug\n  logFile: console\n"
		"  dataDir: \"%s/data\"\n",
		s->lab.folder);
	if (fclose(out) != 0)
		return ln_fail(f, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

/* A command of `linnet-server admin` in the server's namespace. */
static int admin(struct linnet_lab_show *s, const char *const words[], char *text, size_t size)
{
	char config[64];
	const char *argv[20] = { s->server, "admin", "--config", config };
	size_t n = 4;
	snprintf(config, sizeof(config), "%s/config.yaml", s->lab.folder);
	while (*words != NULL && n + 1 < LN_COUNT(argv))
		argv[n++] = *words++;
	return linnet_lab_output(&s->lab, "srv", argv, text, size);
}

static int make_key(struct linnet_lab_show *s, struct ln_fail *f)
{
	static const char *const words[] = { "setup-key",  "create", "--name", "lab",
					     "--reusable", "--json", NULL };
	char text[2048];
	int r = admin(s, words, text, sizeof(text));
	json_t *o = r == 0 ? json_loads(text, 0, NULL) : NULL;
	const char *key = json_string_value(json_object_get(o, "key"));
	if (key != NULL)
		snprintf(s->key, sizeof(s->key), "%s", key);
	json_decref(o);
	return s->key[0] != '\0' ? 0
				 : ln_fail(f, -EIO, "the server made no setup key: %.200s", text);
}

static int start_server(struct linnet_lab_show *s, struct ln_fail *f)
{
	static const char *const words[] = { "account", "show", NULL };
	char config[64], text[1024];
	const char *argv[] = { s->server, "--config", config, NULL };
	snprintf(config, sizeof(config), "%s/config.yaml", s->lab.folder);
	int r = write_config(s, config, f);
	if (r < 0)
		return r;
	r = linnet_lab_spawn(&s->lab, "srv", "server.log", argv, f);
	if (r < 0)
		return r;
	for (ln_time end = ev_now() + LINNET_LAB_LIMIT; admin(s, words, text, sizeof(text)) != 0;) {
		if (s->lab.procs[r] == 0 || linnet_lab_wait(&s->lab, r, 0) >= 0 || ev_now() > end)
			return ln_fail(f, -EIO, "linnet-server does not answer: %.200s", text);
		if (!linnet_lab_sleep(100 * LN_MSEC))
			return linnet_lab_stopped(f);
	}
	return make_key(s, f);
}

static int start_daemon(struct linnet_lab_show *s, size_t i, struct ln_fail *f)
{
	struct linnet_lab_agent *a = &s->lab.agents[i];
	char name[16], log[32], state[64];
	a->site = &s->lab.sites[i];
	arena_init(&a->arena, 16 << 20);
	snprintf(name, sizeof(name), "h%s", a->site->name);
	snprintf(log, sizeof(log), "linnetd-%s.log", a->site->name);
	snprintf(state, sizeof(state), "%s/state-%s", s->lab.folder, a->site->name);
	snprintf(a->socket, sizeof(a->socket), "unix://%s/%s.sock", s->lab.folder, a->site->name);
	const char *argv[] = { s->daemon,     "--daemon-addr", a->socket,    "--state-dir", state,
			       "--log-level", "debug",         "--log-file", "console",     NULL };
	int r = linnet_lab_spawn(&s->lab, name, log, argv, f);
	if (r < 0)
		return r;
	r = linnet_daemon_open(&a->daemon, a->socket, NULL, true, f);
	return linnet_lab_interrupted() != 0 ? linnet_lab_stopped(f) : r;
}

static int start_up(struct linnet_lab_show *s, size_t i, struct ln_fail *f)
{
	const struct linnet_lab_agent *a = &s->lab.agents[i];
	char name[16], log[32], home[64], host[32];
	snprintf(name, sizeof(name), "h%s", a->site->name);
	snprintf(log, sizeof(log), "up-%s.log", a->site->name);
	snprintf(home, sizeof(home), "HOME=%s", s->lab.folder);
	snprintf(host, sizeof(host), "lab-%s", a->site->name);
	const char *argv[] = { "env",
			       home,
			       s->cli,
			       "--daemon-addr",
			       a->socket,
			       "up",
			       "--management-url",
			       "http://" LINNET_LAB_SERVER ":80",
			       "--setup-key",
			       s->key,
			       "--hostname",
			       host,
			       NULL };
	return linnet_lab_spawn(&s->lab, name, log, argv, f);
}

/* --- watching --------------------------------------------------------------------------------- */

/* The newest status; a daemon that does not answer leaves the address empty. */
static void look(struct linnet_lab_agent *a)
{
	struct daemon_status_request q = { .full = true };
	struct str msg;
	a->peer = NULL;
	a->overlay[0] = '\0';
	arena_reset(&a->arena);
	str_init(&msg, 0);
	daemon_status_request_write(&msg, &q);
	bool ok = linnet_daemon_call(&a->daemon, "Status", &msg, 10 * LN_SEC);
	str_fini(&msg);
	if (!ok ||
	    daemon_status_response_read(str_slice(&a->daemon.reply), &a->arena, &a->status) < 0)
		return;
	if (a->status.ip != NULL)
		snprintf(a->overlay, sizeof(a->overlay), "%.*s", (int)strcspn(a->status.ip, "/"),
			 a->status.ip);
	if (a->status.npeers == 1)
		a->peer = &a->status.peers[0];
}

static bool is_direct(const struct linnet_lab_agent *a)
{
	return a->peer != NULL && linnet_status_is_connected(a->peer) && !a->peer->relayed;
}

/* By the relay, and the attempt at a direct path has ended. */
static bool stays_relayed(const struct linnet_lab_agent *a)
{
	return a->peer != NULL && linnet_status_is_connected(a->peer) && a->peer->relayed &&
	       a->peer->reason != NULL && strstr(a->peer->reason, "negotiat") == NULL;
}

static int wait_addresses(struct linnet_lab_show *s, struct ln_fail *f)
{
	struct linnet_lab_agent *a = s->lab.agents;
	for (ln_time end = ev_now() + LINNET_LAB_LIMIT;;) {
		look(&a[0]);
		look(&a[1]);
		if (a[0].overlay[0] != '\0' && a[1].overlay[0] != '\0')
			return 0;
		if (ev_now() > end)
			return ln_fail(f, -ETIMEDOUT, "the agents got no address within 30 s");
		if (!linnet_lab_sleep(20 * LN_MSEC))
			return linnet_lab_stopped(f);
	}
}

/* ping ends at any error on the way, as before there is a route: it begins again. */
static int start_ping(struct linnet_lab_show *s, struct ln_fail *f)
{
	static const char script[] = "until ping -n -q -c1 -i0.02 -w5 \"$1\"; do sleep 0.01; done";
	const char *argv[] = { "sh", "-c", script, "sh", s->lab.agents[1].overlay, NULL };
	return linnet_lab_spawn(&s->lab, "ha", "first-ping.log", argv, f);
}

/* From `up` to a path that stays: direct on both sides, or relayed with a reason on both. */
static int watch(struct linnet_lab_show *s, struct ln_fail *f)
{
	struct linnet_lab_agent *a = s->lab.agents;
	for (ln_time end = ev_now() + SETTLE_LIMIT; ev_now() < end;) {
		if (s->first_ping < 0 && s->lab.procs[s->ping_proc] != 0 &&
		    linnet_lab_wait(&s->lab, s->ping_proc, 0) == 0) {
			s->first_ping = since(s->began);
			linnet_lab_tell(s, "   %5.2f s  first ping answered\n", s->first_ping);
		}
		look(&a[0]);
		look(&a[1]);
		if (is_direct(&a[0]) && is_direct(&a[1])) {
			if (s->direct < 0) {
				s->direct = since(s->began);
				linnet_lab_tell(s, "   %5.2f s  direct path on both sides\n",
						s->direct);
			}
			if (s->first_ping >= 0)
				return 0;
		} else if (stays_relayed(&a[0]) && stays_relayed(&a[1]) && s->first_ping >= 0) {
			linnet_lab_tell(s, "   %5.2f s  no direct path; the relay stays\n",
					since(s->began));
			return 0;
		}
		if (!linnet_lab_sleep(STATUS_EVERY / 5))
			return linnet_lab_stopped(f);
	}
	return 0; /* what there is will be shown */
}

static int bring_up(struct linnet_lab_show *s, struct ln_fail *f)
{
	int ups[2];
	s->began = ev_now();
	for (size_t i = 0; i < 2; i++) {
		ups[i] = start_up(s, i, f);
		if (ups[i] < 0)
			return ups[i];
	}
	int r = wait_addresses(s, f);
	if (r < 0)
		return r;
	linnet_lab_tell(s, "   %5.2f s  both registered: a is %s, b is %s\n", since(s->began),
			s->lab.agents[0].overlay, s->lab.agents[1].overlay);
	s->ping_proc = start_ping(s, f);
	if (s->ping_proc < 0)
		return s->ping_proc;
	r = watch(s, f);
	for (size_t i = 0; i < 2 && r == 0; i++)
		if (linnet_lab_wait(&s->lab, ups[i], LINNET_LAB_LIMIT) != 0)
			r = linnet_lab_interrupted() != 0
				    ? linnet_lab_stopped(f)
				    : ln_fail(f, -EIO, "`linnet up` failed on %s, see %s/up-%s.log",
					      s->lab.sites[i].name, s->lab.folder,
					      s->lab.sites[i].name);
	return r;
}

/* --- proofs ----------------------------------------------------------------------------------- */

static int ping_both(struct linnet_lab_show *s, struct ln_fail *f)
{
	for (size_t i = 0; i < 2; i++) {
		char name[16], text[1024], *rtt;
		const char *argv[] = {
			"ping", "-n", "-q", "-c5", "-i0.2", "-W2", s->lab.agents[1 - i].overlay,
			NULL
		};
		snprintf(name, sizeof(name), "h%s", s->lab.sites[i].name);
		s->pings[i] = linnet_lab_output(&s->lab, name, argv, text, sizeof(text)) == 0;
		if (linnet_lab_interrupted() != 0)
			return linnet_lab_stopped(f);
		rtt = strstr(text, "rtt ");
		if (rtt != NULL)
			rtt[strcspn(rtt, "\n")] = '\0';
		linnet_lab_tell(s, "   ping from %s: %s%s%s\n", s->lab.sites[i].name,
				s->pings[i] ? "5 answered" : "not all answered",
				rtt != NULL ? ", " : "", rtt != NULL ? rtt : "");
	}
	return 0;
}

static int measure(struct linnet_lab_show *s, struct ln_fail *f)
{
	const char *serving[] = { "iperf3", "-s", "-1", "-B", s->lab.agents[1].overlay, NULL };
	const char *asking[] = { "iperf3", "-c", s->lab.agents[1].overlay, "-t5", "--json", NULL };

	enum {
		TEXT = 1 << 18
	};

	int proc = linnet_lab_spawn(&s->lab, "hb", "iperf3.log", serving, f);
	if (proc < 0)
		return proc;
	if (!linnet_lab_sleep(500 * LN_MSEC))
		return linnet_lab_stopped(f);
	char *text = ln_alloc(TEXT);
	int r = linnet_lab_output(&s->lab, "ha", asking, text, TEXT);
	json_t *o = r == 0 ? json_loads(text, 0, NULL) : NULL;
	json_t *sum = json_object_get(json_object_get(o, "end"), "sum_received");
	json_t *bits = json_object_get(sum, "bits_per_second");
	if (bits != NULL)
		s->gbits = json_number_value(bits) / 1e9;
	json_decref(o);
	free(text);
	if (linnet_lab_interrupted() != 0)
		return linnet_lab_stopped(f);
	if (bits == NULL)
		return ln_fail(f, -EIO, "iperf3 failed (is it installed?)");
	linnet_lab_tell(s, "   iperf3 through the tunnel: %.2f Gbit/s\n", s->gbits);
	return 0;
}

static int down(struct linnet_lab_show *s, struct ln_fail *f)
{
	for (size_t i = 0; i < 2; i++) {
		struct linnet_lab_agent *a = &s->lab.agents[i];
		char name[16], text[256];
		const char *argv[] = { "ip", "link", "show", "wt0", NULL };
		snprintf(name, sizeof(name), "h%s", a->site->name);
		if (!linnet_daemon_call(&a->daemon, "Down", NULL, LINNET_LAB_LIMIT))
			return ln_fail(f, -EIO, "`down` failed on %s: %.200s", a->site->name,
				       str_c(&a->daemon.text));
		if (linnet_lab_output(&s->lab, name, argv, text, sizeof(text)) == 0)
			return ln_fail(f, -EEXIST, "%s still has its interface after `down`",
				       a->site->name);
	}
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int run(struct linnet_lab_show *s, struct ln_fail *f)
{
	struct str drawing;
	int r = linnet_lab_start(&s->lab, f);
	if (r < 0)
		return r;
	str_init(&drawing, 0);
	linnet_lab_draw(s->lab.sites, &drawing);
	linnet_lab_tell(s, "\n%s\n", str_c(&drawing));
	str_fini(&drawing);
	r = build(s, f);
	if (r == 0 && linnet_lab_interrupted() != 0)
		r = linnet_lab_stopped(f);
	if (r == 0)
		r = start_server(s, f);
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = start_daemon(s, i, f);
	if (r == 0)
		r = bring_up(s, f);
	if (r == 0)
		r = ping_both(s, f);
	if (r == 0 && linnet_on(s->lab.cli, OPT_LAB_IPERF))
		r = measure(s, f);
	if (r == 0 && !s->json)
		r = linnet_lab_show_status(s, f);
	if (r < 0)
		return r;
	linnet_lab_tell_result(s);
	if (s->json)
		linnet_lab_print_result(s);
	if (linnet_on(s->lab.cli, OPT_LAB_KEEP))
		linnet_lab_keep(s);
	else if (!s->pings[0] || !s->pings[1])
		r = ln_fail(f, -EIO, "the machines do not reach each other");
	return r < 0 ? r : down(s, f);
}

int linnet_run_lab(struct linnet_cli *cli)
{
	static struct linnet_lab_show s; /* large */
	struct ln_fail f;
	if (linnet_on(cli, OPT_LAB_LIST))
		return linnet_lab_list(cli);
	s = (struct linnet_lab_show){ .lab = { .cli = cli },
				      .json = linnet_on(cli, OPT_JSON),
				      .first_ping = -1,
				      .direct = -1,
				      .gbits = -1 };
	linnet_sibling("linnet-server", s.server, sizeof(s.server));
	linnet_sibling("linnetd", s.daemon, sizeof(s.daemon));
	linnet_sibling("linnet", s.cli, sizeof(s.cli));
	int r = choose_sites(&s, &f);
	if (r == 0)
		r = linnet_lab_check(&f);
	if (r < 0)
		return linnet_fail("%s", f.text);
	r = run(&s, &f);
	linnet_lab_end(&s.lab);
	if (r == -EINTR) {
		fprintf(stderr, "interrupted; the laboratory has been taken down\n");
		return 128 + linnet_lab_interrupted();
	}
	if (r < 0)
		return linnet_fail("%s", f.text);
	linnet_lab_tell(&s, "\nThe laboratory has been taken down.\n");
	return 0;
}

int linnet_run_lab_plan(struct linnet_cli *cli)
{
	return linnet_lab_plan(cli);
}

/* Laboratories whose program was killed before it could clean up. */
int linnet_run_lab_remove(struct linnet_cli *cli)
{
	struct ln_fail f;
	struct str script;
	(void)cli;
	if (geteuid() != 0)
		return linnet_fail("removing namespaces needs root");
	str_init(&script, 0);
	linnet_lab_plan_remove_stale(&script);
	int r = linnet_lab_script(&script, &f);
	str_fini(&script);
	return r < 0 ? linnet_fail("%s", f.text) : 0;
}
