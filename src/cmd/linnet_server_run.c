/* `linnet-server [run|management|signal|stun|relay]`: the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_server.h"
#include "src/combined/combined_server.h"
#include "src/obs/obs_log.h"
#include "src/svc/svc_prog.h"

#define MODULE "server"
#define DESCRIPTORS 65536 /* one per agent and some; the hard limit decides */

struct server {
	struct linnet_server_conf conf;
	struct svc_prog *prog;
	struct combined *services;
	int argc; /* the command line, for a reload */
	char **argv;
};

static void on_drained(void *arg)
{
	struct server *s = arg;
	svc_prog_drained(s->prog);
}

static void on_stop(void *user)
{
	struct server *s = user;
	combined_drain(s->services, s->conf.v.drain_timeout, on_drained, s);
}

/* Builds a new configuration, checks all of it, and takes over what may change. */
static void on_reload(void *user)
{
	struct server *s = user;
	struct linnet_server_conf fresh;
	if (linnet_server_conf_load(&fresh, s->argc, s->argv) != 0) {
		log_error(MODULE, "reload refused, the old configuration stays in force",
			  LOG_STR("reason", "the configuration is not good, see standard error"));
		linnet_server_conf_fini(&fresh);
		return;
	}
	const char *key = svc_conf_unreloadable(&s->conf.c, &fresh.c);
	if (key != NULL)
		log_error(MODULE, "reload: this key needs a restart, its old value stays in force",
			  LOG_STR("key", key));
	if (strcmp(s->conf.v.log_level, fresh.v.log_level) != 0 &&
	    obs_log_set_level("", fresh.v.log_level) == 0)
		log_info(MODULE, "log level changed", LOG_STR("level", fresh.v.log_level));
	linnet_server_conf_fini(&fresh);
	combined_reload(s->services);
}

static const char *role_names(unsigned roles)
{
	switch ((enum combined_roles)roles) {
	case COMBINED_MANAGEMENT:
		return "management";
	case COMBINED_SIGNAL:
		return "signal";
	case COMBINED_STUN:
		return "stun";
	case COMBINED_RELAY:
		return "relay";
	case COMBINED_ALL:
		return "all";
	}
	return "some";
}

static void log_start(const struct linnet_server_conf *c, unsigned roles)
{
	struct str later;
	str_init(&later, 0);
	svc_conf_later(&c->c, &later);
	if (later.n > 0)
		log_warn(MODULE, "accepted, but these parts are not built yet",
			 LOG_STR("keys", str_c(&later)));
	str_fini(&later);
	log_info(MODULE, "started", LOG_STR("version", LINNET_VERSION),
		 LOG_STR("config", c->file != NULL ? c->file : "defaults"),
		 LOG_STR("data", c->v.data_dir), LOG_STR("host", c->plan.exposed_host),
		 LOG_UINT("port", c->plan.exposed_port), LOG_STR("signal", c->plan.signal_uri),
		 LOG_STR("services", role_names(roles)));
}

/* Said to people on standard error, and to the log when that goes elsewhere. */
static int start_failed(const struct linnet_server_conf *c, const char *reason)
{
	if (strstr(c->v.log_file, "console") == NULL)
		log_error(MODULE, "cannot start", LOG_STR("reason", reason));
	return linnet_server_fail(LINNET_SERVER_FAILED, "%s", reason);
}

static int serve(struct server *s, unsigned roles)
{
	struct ln_fail f;
	const struct svc_prog_conf conf = {
		.name = LINNET_SERVER,
		.log_level = s->conf.v.log_level,
		.log_file = s->conf.v.log_file,
		/* The services bound their own drain; this is the net below. */
		.drain_limit = s->conf.v.drain_timeout + 2 * LN_SEC,
		.descriptors = DESCRIPTORS,
		.stop = on_stop,
		.reload = on_reload,
		.user = s,
	};
	if (svc_prog_start(&conf, &s->prog, &f) < 0)
		return linnet_server_fail(LINNET_SERVER_FAILED, "%s", f.text);
	int status = LINNET_SERVER_DONE;
	if (combined_new(svc_prog_loop(s->prog), &s->conf.v, &s->conf.plan, roles, &s->services,
			 &f) < 0) {
		status = start_failed(&s->conf, f.text);
	} else {
		log_start(&s->conf, roles);
		svc_prog_ready(s->prog, "serving");
		if (svc_prog_run(s->prog) < 0)
			status = LINNET_SERVER_FAILED;
		combined_free(s->services);
		log_info(MODULE, "stopped");
	}
	svc_prog_free(s->prog);
	return status;
}

int linnet_server_run(int argc, char **argv, unsigned roles)
{
	struct server s = { .argc = argc, .argv = argv };
	int status = linnet_server_conf_load(&s.conf, argc, argv);
	if (status == 0)
		status = serve(&s, roles);
	linnet_server_conf_fini(&s.conf);
	return status;
}
