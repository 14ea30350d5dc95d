/* linnetd: the agent as a daemon (spec agent 1.1, 1.4 `service run`). */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/agent/agent.h"
#include "src/agent/agent_version.h"
#include "src/obs/obs_log.h"
#include "src/plat/plat_mark.h"
#include "src/svc/svc_conf.h"
#include "src/svc/svc_opts.h"
#include "src/svc/svc_prog.h"

#define LINNETD "linnetd"
#define LINNETD_MAX_OPTS 32

enum {
	LINNETD_DONE = 0,
	LINNETD_FAILED = 1,
	LINNETD_USAGE = 2
};

struct linnetd_conf {
	const char *daemon_addr, *config, *state_dir, *log_level, *lazy, *filter_table, *transport;
	struct svc_conf_strs log_file;
	const char *mark, *idle_after;
	bool no_mark;
	bool multi, no_kernel, no_redirect, no_portmap, no_portmap_health;
};

static const char *check_addr(const char *text)
{
	return strncmp(text, "unix:///", 8) == 0 ? NULL : "unix:///PATH";
}

static const char *check_lazy(const char *text)
{
	static const char *const words[] = { "", "on", "off", "true", "false", "1", "0" };
	for (size_t i = 0; i < LN_COUNT(words); i++)
		if (strcmp(text, words[i]) == 0)
			return NULL;
	return "on, off, true, false, 1, 0";
}

/* A Go duration, or minutes (spec agent 1.1). */
static bool linnetd_idle(const char *text, ln_time *ret)
{
	if (text[0] == '\0') {
		*ret = 0;
		return true;
	}
	size_t n = strlen(text);
	if (n < 6 && strspn(text, "0123456789") == n)
		*ret = (ln_time)strtoul(text, NULL, 10) * LN_MINUTE;
	else if (svc_conf_parse_duration(text, ret) < 0)
		return false;
	return *ret >= LN_SEC;
}

static const char *check_idle(const char *text)
{
	ln_time t;
	return linnetd_idle(text, &t) ? NULL
				      : "minutes, or a duration of at least a second: 15, 90s";
}

static const char *check_mark(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 0);
	return text[0] != '-' && *end == '\0' && v > 0 && v <= PLAT_MARK_BITS
		       ? NULL
		       : "a number from 1 to 0xffffff";
}

#define ROW(key_, type_, field, preset_, env_, flag_, arg_, check_, help_)                         \
 {                                                                                                 \
  .key = (key_), .type = (type_), .offset = offsetof(struct linnetd_conf, field),                  \
  .preset = (preset_), .env = (env_), .flag = (flag_), .arg = (arg_), .check = (check_),           \
  .help = (help_)                                                                                  \
 }

static const struct svc_conf_row linnetd_rows[] = {
	ROW("daemonAddr", CONF_STR, daemon_addr, "unix://" AGENT_SOCKET, "NB_DAEMON_ADDR",
	    "daemon-addr", "unix:///PATH", check_addr, "where the command line finds this agent"),
	ROW("config", CONF_STR, config, NULL, "NB_CONFIG", "config", "FILE", NULL,
	    "file of the default profile; in the state folder unless given"),
	ROW("stateDir", CONF_STR, state_dir, AGENT_STATE_DIR, "NB_STATE_DIR", "state-dir", "FOLDER",
	    NULL, "profiles and what must be undone after a crash"),
	ROW("logLevel", CONF_STR, log_level, "info", "NB_LOG_LEVEL", "log-level", "LEVEL", NULL,
	    "panic, fatal, error, warn, info, debug or trace"),
	ROW("logFile", CONF_STR_LIST, log_file, "console", "NB_LOG_FILE", "log-file", "WHERE", NULL,
	    "console, syslog, journal or a path; several by commas"),
	ROW("multi", CONF_BOOL, multi, "false", "NB_MULTI", "multi", NULL, NULL,
	    "profiles stay up beside each other"),
	ROW("lazyConn", CONF_STR, lazy, NULL, "NB_LAZY_CONN", "lazy-conn", "on|off", check_lazy,
	    "overrules the server about connecting at the first packet"),
	ROW("lazyConnInactivityThreshold", CONF_STR, idle_after, NULL,
	    "NB_LAZY_CONN_INACTIVITY_THRESHOLD", "lazy-conn-inactivity-threshold", "TIME",
	    check_idle, "without data for so long a peer sleeps again; 15m"),
	ROW("wgKernelDisabled", CONF_BOOL, no_kernel, "false", "NB_WG_KERNEL_DISABLED",
	    "wg-kernel-disabled", NULL, NULL,
	    "WireGuard in user space even where the kernel has it"),
	ROW("natMapperDisabled", CONF_BOOL, no_portmap, "false", "NB_DISABLE_NAT_MAPPER",
	    "disable-nat-mapper", NULL, NULL,
	    "ask no gateway to map our port (PCP, NAT-PMP, UPnP)"),
	ROW("pcpHealthCheckDisabled", CONF_BOOL, no_portmap_health, "false",
	    "NB_DISABLE_PCP_HEALTH_CHECK", "disable-pcp-health-check", NULL, NULL,
	    "do not look every minute whether the gateway has kept the mapping"),
	ROW("relayTransport", CONF_STR, transport, "auto", "NB_RELAY_TRANSPORT", "relay-transport",
	    "HOW", NULL,
	    "relays by quic, ws, prefer-quic, prefer-ws, or auto: the faster to answer"),
	ROW("disableEbpfWgProxy", CONF_BOOL, no_redirect, "true", "NB_DISABLE_EBPF_WG_PROXY", NULL,
	    NULL, NULL, "false: relayed peers of the kernel by an XDP program on lo"),
	ROW("socketMark", CONF_STR, mark, "0x1bd00", "NB_SOCKET_MARK", "socket-mark", "NUMBER",
	    check_mark,
	    "mark of the tunnel's own packets: the low 24 bits, for each network another"),
	ROW("skipSocketMark", CONF_BOOL, no_mark, "false", "NB_SKIP_SOCKET_MARK",
	    "skip-socket-mark", NULL, NULL,
	    "no marks and no routing rules: routes into the tunnel capture its own packets"),
	ROW("nftablesTable", CONF_STR, filter_table, "netbird", "NB_NFTABLES_TABLE",
	    "nftables-table", "NAME", NULL, "name of the packet filter's table"),
};

static int fail(int status, const char *text)
{
	fprintf(stderr, LINNETD ": %s\n", text);
	return status;
}

/* Both prefixes count, the newer one more (spec agent 1.1). */
static const char *linnetd_env(const char *name)
{
	char old[64];
	const char *v = getenv(name);
	if (v != NULL || strncmp(name, "NB_", 3) != 0)
		return v;
	(void)snprintf(old, sizeof(old), "WT_%s", name + 3);
	return getenv(old);
}

static size_t linnetd_opts(struct svc_opt opts[LINNETD_MAX_OPTS])
{
	static const struct svc_opt more[] = {
		{ .name = "help", .letter = 'h', .help = "show this text" },
		{ .name = "version", .help = "print the version" },
	};
	size_t n = svc_opts_from_conf(linnetd_rows, LN_COUNT(linnetd_rows), opts,
				      LINNETD_MAX_OPTS - LN_COUNT(more));
	for (size_t i = 0; i < n; i++) {
		if (strcmp(opts[i].name, "config") == 0)
			opts[i].letter = 'c';
		if (strcmp(opts[i].name, "log-level") == 0)
			opts[i].letter = 'l';
	}
	for (size_t i = 0; i < LN_COUNT(more); i++)
		opts[n++] = more[i];
	return n;
}

static int usage(const struct svc_opt *opts, size_t n)
{
	struct str text;
	str_init(&text, 0);
	str_add(&text, "Usage: linnetd [OPTIONS]\n\n"
		       "The linnet agent. `linnet` talks to it; see linnetd(8).\n\nOptions:\n");
	svc_opts_help(opts, n, &text);
	str_add(&text, "\nThe environment (NB_...) wins over the command line.\n"
		       "Exit status: 0 stopped in order, 1 failed, 2 wrong usage.\n");
	fputs(str_c(&text), stdout);
	str_fini(&text);
	return LINNETD_DONE;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct svc_conf *c, struct ln_fail *f)
{
	struct svc_opt opts[LINNETD_MAX_OPTS];
	size_t n = linnetd_opts(opts);
	struct svc_opts o;
	svc_opts_init(&o, argc - 1, argv + 1, opts, n);
	for (;;) {
		int kind = svc_opts_next(&o, f);
		if (kind < 0)
			return fail(LINNETD_USAGE, f->text);
		if (kind == SVC_OPTS_END)
			break;
		if (kind == SVC_OPTS_WORD)
			return fail(LINNETD_USAGE, "no words are wanted here; see linnetd --help");
		if (o.opt->row != NULL) {
			char where[64];
			(void)snprintf(where, sizeof(where), "--%s", o.opt->name);
			if (svc_conf_set(c, o.opt->row, o.value, SVC_CONF_FLAG, where, f) < 0)
				return fail(LINNETD_USAGE, f->text);
			continue;
		}
		if (strcmp(o.opt->name, "help") == 0)
			return usage(opts, n);
		puts(LINNETD " " LINNET_VERSION " (speaks NetBird " AGENT_NETBIRD_VERSION ")");
		return LINNETD_DONE;
	}
	if (svc_conf_read_env(c, linnetd_env, f) < 0)
		return fail(LINNETD_USAGE, f->text);
	return -1;
}

/* --- running -----------------------------------------------------------------------------------*/

struct linnetd {
	struct svc_prog *prog;
	struct agent *agent;
};

static void linnetd_drained(void *arg)
{
	struct linnetd *d = arg;
	svc_prog_drained(d->prog);
}

static void linnetd_stop(void *user)
{
	struct linnetd *d = user;
	agent_stop(d->agent, linnetd_drained, d);
}

static int linnetd_lazy(const char *word)
{
	if (word[0] == '\0')
		return -1;
	return strcmp(word, "on") == 0 || strcmp(word, "true") == 0 || strcmp(word, "1") == 0;
}

/* The folder of the socket is made when it is missing; /var/run often is empty after a boot. */
static void linnetd_socket_folder(const char *path)
{
	char copy[PATH_MAX];
	if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
		return;
	if (mkdir(dirname(copy), 0755) < 0 && errno != EEXIST)
		log_warn("linnetd", "the folder of the socket cannot be made", LOG_ERRNO(-errno));
}

static int linnetd_run(struct linnetd *d, const struct linnetd_conf *conf, const char *log_file,
		       struct ln_fail *f)
{
	struct agent_options o = {
		.state_dir = conf->state_dir,
		.config = conf->config[0] != '\0' ? conf->config : NULL,
		.socket = conf->daemon_addr + strlen("unix://"),
		.filter_table = conf->filter_table,
		.log_file = log_file,
		.mark_base = conf->no_mark ? 0 : (uint32_t)strtoul(conf->mark, NULL, 0),
		.multi = conf->multi,
		.lazy = linnetd_lazy(conf->lazy),
		.no_kernel = conf->no_kernel,
		.portmap = conf->no_portmap          ? AGENT_PORTMAP_OFF
			   : conf->no_portmap_health ? AGENT_PORTMAP_UNWATCHED
						     : AGENT_PORTMAP_ON,
		.relay_transport = conf->transport,
		.redirect = !conf->no_redirect,
	};
	(void)linnetd_idle(conf->idle_after, &o.idle_after);
	log_info("linnetd", "starting", LOG_STR("version", LINNET_VERSION),
		 LOG_STR("speaks", "NetBird " AGENT_NETBIRD_VERSION));
	linnetd_socket_folder(o.socket);
	int err = agent_new(svc_prog_loop(d->prog), &o, &d->agent, f);
	if (err < 0)
		return err;
	err = agent_start(d->agent, f);
	if (err == 0) {
		svc_prog_ready(d->prog, "running");
		err = svc_prog_run(d->prog);
		if (err < 0)
			(void)ln_fail(f, err, "stopped before everything was closed");
	}
	agent_free(d->agent);
	d->agent = NULL;
	return err;
}

static void linnetd_log_file(const struct svc_conf_strs *list, struct str *dst)
{
	for (size_t i = 0; i < list->n; i++)
		str_addf(dst, "%s%s", i > 0 ? "," : "", list->v[i]);
}

/*
 * An agent is small and mostly idle: one heap for both threads, for the packet path allocates
 * nothing, and what is large comes from the system and goes back to it, however often it did.
 */
static void linnetd_memory(void)
{
	(void)!mallopt(M_ARENA_MAX, 1);
	(void)!mallopt(M_MMAP_THRESHOLD, 128 << 10);
	(void)!mallopt(M_TRIM_THRESHOLD, 1 << 20); /* batches of a relay come and go */
}

int main(int argc, char **argv)
{
	linnetd_memory();
	struct linnetd_conf conf;
	struct linnetd d = { 0 };
	struct svc_conf c;
	struct ln_fail f = { 0 };
	struct str log_file;
	svc_conf_init(&c, linnetd_rows, LN_COUNT(linnetd_rows), &conf);
	str_init(&log_file, 0);
	int status = parse(argc, argv, &c, &f);
	if (status < 0) {
		linnetd_log_file(&conf.log_file, &log_file);
		struct svc_prog_conf pc = {
			.name = LINNETD,
			.log_level = conf.log_level,
			.log_file = str_c(&log_file),
			.drain_limit = 10 * LN_SEC,
			.descriptors = 4096,
			.stop = linnetd_stop,
			.user = &d,
		};
		int err = svc_prog_start(&pc, &d.prog, &f);
		if (err == 0)
			err = linnetd_run(&d, &conf, str_c(&log_file), &f);
		status = err < 0 ? fail(LINNETD_FAILED, f.text) : LINNETD_DONE;
		svc_prog_free(d.prog);
	}
	str_fini(&log_file);
	svc_conf_fini(&c);
	return status;
}
