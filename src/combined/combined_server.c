#include "src/combined/combined_server.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/crypto/ct.h"

#include "src/combined/combined_folder.h"
#include "src/combined/combined_page.h"
#include "src/combined/combined_port.h"
#include "src/ev/ev.h"
#include "src/management/management.h"
#include "src/net/net_grpc.h"
#include "src/obs/obs_log.h"
#include "src/obs/obs_metrics.h"
#include "src/relay/relay_server.h"
#include "src/signal/signal_service.h"
#include "src/store/store.h"
#include "src/stun/stun_server.h"

#define MODULE "server"
#define LEGACY_MANAGEMENT 33073
#define LEGACY_SIGNAL 10000
#define FEW_PROCESSORS 4
#define DRAIN_RATE 1000   /* peers of a stopping relay sent away a second */
#define TURNS_TO_CLOSE 16 /* loop turns after which every closed() has come */

struct combined {
	struct ev_loop *loop;
	const struct combined_conf *conf;
	const struct combined_plan *plan;
	unsigned roles;
	int folder; /* lock of the data folder, or -1 */
	struct store *store;
	bool store_started;
	bool stopping;
	struct management *management;
	struct signal_service *signal;
	struct stun_server *stun;
	struct relay_server *relay;
	char relay_secret[COMBINED_SECRET_TEXT];
	struct grpc_server *grpc;
	struct combined_ports *ports;
	struct combined_pages *pages;
	/* A drain in progress: parts that have not finished. */
	unsigned draining;
	void (*drained)(void *arg);
	void *drained_arg;
};

/* --- start ------------------------------------------------------------------------------------*/

/* The secret of the tokens: from the settings, or one of our own that lives in the data folder. */
static int find_relay_secret(struct combined *s, struct ln_fail *f)
{
	const char *given = s->plan->relay_secret;
	if (given[0] == '\0' && s->folder >= 0)
		return combined_secret_open(s->plan->relay_secret_path, s->relay_secret, f);
	if (given[0] == '\0')
		return ln_fail(f, LN_E_MALFORMED,
			       "a relay needs the secret of its management server: set "
			       "server.authSecret, --auth-secret or NB_AUTH_SECRET");
	if (strlen(given) >= sizeof(s->relay_secret))
		return ln_fail(f, LN_E_LIMIT, "the secret of the relay is longer than %zu bytes",
			       sizeof(s->relay_secret) - 1);
	strcpy(s->relay_secret, given);
	return 0;
}

static bool wants_relay(const struct combined *s)
{
	return (s->roles & COMBINED_RELAY) != 0 &&
	       (s->plan->local_relay || s->roles == COMBINED_RELAY);
}

/*
 * One for each processor this process may run on; one of all where there are few: there the mail
 * between loops costs more than the second one brings (docs/decisions/0007).
 */
static unsigned relay_loops(const struct combined *s)
{
	cpu_set_t set;
	int n = 1;
	if (s->conf->relay_loops != 0)
		return (unsigned)s->conf->relay_loops;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n < FEW_PROCESSORS ? 1 : (unsigned)LN_MIN(n, RELAY_SERVER_LOOPS_MAX);
}

static int start_relay(struct combined *s, struct ln_fail *f)
{
	struct relay_token_key key;
	const struct relay_server_conf conf = {
		.instance_url = s->plan->relay_url,
		.keys = &key,
		.nkeys = 1,
		.max_peers = (size_t)s->conf->relay_max_peers,
		.health_threshold = (unsigned)s->conf->relay_health_threshold,
		.loops = relay_loops(s),
	};
	int err = s->relay_secret[0] == '\0' ? find_relay_secret(s, f) : 0;
	if (err < 0)
		return err;
	relay_token_key_make(slice_str(s->relay_secret), &key);
	s->relay = relay_server_new(s->loop, &conf);
	relay_token_key_wipe(&key);
	return 0;
}

static int start_management(struct combined *s, struct ln_fail *f)
{
	const struct store_conf store = { .path = s->plan->store_path, .rng = ev_rng() };
	const struct management_conf conf = {
		.stuns = s->plan->stuns,
		.nstuns = s->plan->nstuns,
		.signal_uri = s->plan->signal_uri,
		.signal_tls = s->plan->signal_tls,
		.relay = { .urls = s->plan->relays,
			   .nurls = s->plan->nrelays,
			   .secret = s->relay_secret,
			   .ttl = s->conf->relay_ttl },
		.turn = { .uris = s->conf->turns.v,
			  .nuris = s->conf->turns.n,
			  .secret = s->conf->turn_secret,
			  .username = s->conf->turn_username,
			  .password = s->conf->turn_password,
			  .ttl = s->conf->turn_ttl },
		.admin_socket = s->plan->admin_socket,
		.sync_version = (int)s->conf->sync_version,
	};
	s->folder = combined_folder_open(s->conf->data_dir, f);
	if (s->folder < 0)
		return s->folder;
	int err = find_relay_secret(s, f);
	if (err < 0)
		return err;
	struct ln_fail why = { 0 };
	err = store_open(&store, &s->store, &why);
	if (err == -ENOSPC)
		return ln_fail(f, err, "%.200s: free some space there", why.text);
	if (err < 0)
		return ln_fail(f, err, "%s", why.text);
	err = management_new(s->loop, &conf, s->store, &s->management, f);
	if (err < 0)
		return err;
	store_start(s->store, s->loop);
	s->store_started = true;
	management_register(s->management, s->grpc);
	return 0;
}

static void start_signal(struct combined *s)
{
	const struct signal_service_conf conf = {
		.hub = { .max_message = (size_t)s->conf->signal_max_message,
			 .send_timeout = s->conf->signal_send_timeout },
		.limit = { .rate = (unsigned)s->conf->signal_rate },
	};
	s->signal = signal_service_new(s->loop, &conf);
	signal_service_register(s->signal, s->grpc);
}

static int start_stun(struct combined *s, struct ln_fail *f)
{
	struct ip_addr addr;
	uint16_t ports[STUN_SERVER_SOCKETS_MAX];
	struct ln_fail why = { 0 };
	const struct svc_conf_ints *wanted = &s->conf->stun_ports;
	struct stun_server_conf conf = { .ports = ports, .rate = (unsigned)s->conf->stun_rate };
	if (wanted->n == 0)
		return 0;
	if (wanted->n > LN_COUNT(ports))
		return ln_fail(f, LN_E_LIMIT, "server.stunPorts: at most %zu ports",
			       LN_COUNT(ports));
	for (size_t i = 0; i < wanted->n; i++)
		ports[i] = (uint16_t)wanted->v[i];
	conf.nports = wanted->n;
	if (s->conf->stun_address[0] != '\0' &&
	    ip_parse(slice_str(s->conf->stun_address), &addr) == 0) {
		conf.addrs = &addr;
		conf.naddrs = 1;
	}
	int err = stun_server_new(s->loop, &conf, &s->stun, &why);
	if (err == -EADDRINUSE)
		return ln_fail(
			f, err,
			"a UDP port of the STUN server is in use by another program (%.80s): "
			"stop that one, or choose others with --stun-ports",
			why.text);
	if (err < 0)
		return ln_fail(f, err, "the STUN server cannot start: %.180s", why.text);
	return 0;
}

static int start_ports(struct combined *s, struct ln_fail *f)
{
	uint16_t legacy[2];
	struct combined_ports_conf conf = {
		.conf = s->conf, .plan = s->plan, .grpc = s->grpc, .legacy = legacy
	};
	if (s->relay != NULL)
		conf.rows = relay_server_rows(s->relay, &conf.nrows);
	if (s->conf->legacy_ports && s->management != NULL)
		legacy[conf.nlegacy++] = LEGACY_MANAGEMENT;
	if (s->conf->legacy_ports && s->signal != NULL)
		legacy[conf.nlegacy++] = LEGACY_SIGNAL;
	return combined_ports_new(s->loop, &conf, &s->ports, f);
}

/* The relay's UDP side (spec relay 11). Agents have the WebSocket, so a server starts without. */
static void start_quic(struct combined *s)
{
	const struct relay_server_quic conf = {
		.at = s->plan->listen.ep,
		.cert_file = s->conf->cert_file,
		.key_file = s->conf->key_file,
	};
	struct ln_fail f = { 0 };
	if (s->relay == NULL || s->conf->relay_without_quic || s->conf->cert_file[0] == '\0')
		return;
	if (relay_server_listen_quic(s->relay, &conf, &f) < 0)
		log_warn(MODULE, "the relay does without QUIC", LOG_STR("reason", f.text),
			 LOG_UINT("port", conf.at.port));
}

/* --- pages for operators ----------------------------------------------------------------------*/

static void write_metrics(void *user, struct str *dst)
{
	struct combined *s = user;
	obs_metrics_head(dst, "linnet_build_info", "gauge", "1, with the version as label");
	obs_metrics_value(dst, "linnet_build_info", "version=\"" LINNET_VERSION "\"", 1);
	if (s->relay != NULL)
		relay_server_metrics(s->relay, dst);
}

static bool is_ready(void *user)
{
	struct combined *s = user;
	return s->ports != NULL && !s->stopping;
}

static bool has_certificate(void *user)
{
	struct combined *s = user;
	return s->ports != NULL && combined_ports_certificate_valid(s->ports);
}

static int start_pages(struct combined *s, struct ln_fail *f)
{
	const struct combined_pages_conf conf = {
		.metrics_port = (uint16_t)s->conf->metrics_port,
		.health_address = s->conf->health_address,
		.user = s,
		.metrics = write_metrics,
		.ready = is_ready,
		.certificate = has_certificate,
		.has_relay = s->relay != NULL,
		.has_quic = s->relay != NULL && relay_server_has_quic(s->relay),
	};
	return combined_pages_new(s->loop, &conf, &s->pages, f);
}

static int start_all(struct combined *s, struct ln_fail *f)
{
	const struct grpc_server_conf grpc = { 0 };
	int err = 0;
	if ((s->roles & (COMBINED_MANAGEMENT | COMBINED_SIGNAL)) != 0)
		s->grpc = grpc_server_new(s->loop, &grpc);
	if ((s->roles & COMBINED_MANAGEMENT) != 0)
		err = start_management(s, f);
	/* A role that was asked for by name runs also when agents are sent elsewhere. */
	if (err == 0 && (s->roles & COMBINED_SIGNAL) != 0 &&
	    (s->plan->local_signal || s->roles == COMBINED_SIGNAL))
		start_signal(s);
	if (err == 0 && (s->roles & COMBINED_STUN) != 0 &&
	    (s->plan->local_stun || s->roles == COMBINED_STUN))
		err = start_stun(s, f);
	if (err == 0 && wants_relay(s))
		err = start_relay(s, f);
	if (err == 0 && (s->grpc != NULL || s->relay != NULL))
		err = start_ports(s, f);
	if (err == 0)
		start_quic(s);
	if (err == 0)
		err = start_pages(s, f);
	/* Last: who can reach the administration socket may rely on the rest. */
	if (err == 0 && s->management != NULL)
		err = management_start(s->management, f);
	return err;
}

int combined_new(struct ev_loop *loop, const struct combined_conf *conf,
		 const struct combined_plan *plan, unsigned roles, struct combined **ret,
		 struct ln_fail *f)
{
	struct combined *s = ln_alloc(sizeof(*s));
	*s = (struct combined){
		.loop = loop, .conf = conf, .plan = plan, .roles = roles, .folder = -1
	};
	int err = start_all(s, f);
	if (err < 0) {
		combined_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void combined_reload(struct combined *s)
{
	struct ln_fail f;
	if (s->ports != NULL)
		combined_ports_reload(s->ports);
	if (s->relay != NULL && relay_server_reload_quic(s->relay, &f) < 0)
		log_error(MODULE, "the new certificate is refused for QUIC, the old one stays",
			  LOG_STR("reason", f.text));
}

/* --- end --------------------------------------------------------------------------------------*/

static void part_drained(void *arg)
{
	struct combined *s = arg;
	ln_assert(s->draining > 0);
	if (--s->draining == 0)
		s->drained(s->drained_arg);
}

void combined_drain(struct combined *s, ln_time limit, void (*done)(void *arg), void *arg)
{
	s->drained = done;
	s->drained_arg = arg;
	s->draining = 1; /* ourselves, so that a part may finish at once */
	s->stopping = true;
	if (s->management != NULL) {
		s->draining++;
		management_stop(s->management, part_drained, s);
	}
	if (s->signal != NULL)
		signal_service_stop(s->signal);
	if (s->relay != NULL) {
		/* So many clients a second come back somewhere else (spec relay trap 22). */
		ln_time over = (ln_time)relay_server_peers(s->relay) * (LN_SEC / DRAIN_RATE);
		s->draining++;
		relay_server_drain(s->relay, LN_MIN(over, limit / 10 * 8), limit, part_drained, s);
	}
	if (s->ports != NULL) {
		s->draining++;
		combined_ports_drain(s->ports, limit, part_drained, s);
	}
	part_drained(s);
}

void combined_free(struct combined *s)
{
	if (s == NULL)
		return;
	stun_server_free(s->stun);
	combined_pages_free(s->pages);
	relay_server_free(s->relay); /* gives back its places at the ports */
	combined_ports_free(s->ports);
	grpc_server_free(s->grpc);
	/* The calls that were open still tell the services that they are closed. */
	for (int i = 0; i < TURNS_TO_CLOSE; i++)
		ev_loop_turn(s->loop, 0);
	if (s->management != NULL)
		management_free(s->management);
	signal_service_free(s->signal);
	if (s->store_started) {
		store_stop(s->store);
		for (int i = 0; i < TURNS_TO_CLOSE; i++)
			ev_loop_turn(s->loop, 0);
	}
	if (s->store != NULL)
		store_close(s->store);
	if (s->folder >= 0)
		close(s->folder);
	ct_wipe(s->relay_secret, sizeof(s->relay_secret));
	free(s);
}
