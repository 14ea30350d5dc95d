#include <stdio.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/mgmt/mgmt_msg.h"

#include "tests/bench/sync/sync_load.h"

#define SERVICE "/management.ManagementService/"
/* As the agent's (src/agent/mgmt_client.c). */
#define BACKOFF_FIRST (800 * LN_MSEC)
#define BACKOFF_CAP (10 * LN_SEC)

static void agent_send_sync(struct agent *a);

static void agent_retry(struct ev_timer *t)
{
	struct agent *a = ln_container(t, struct agent, retry);
	agent_send_sync(a);
}

struct agent *agent_new(unsigned number)
{
	struct agent *a = ln_alloc(sizeof(*a));
	a->number = number;
	wg_secret_generate(&a->secret, ev_rng());
	wg_secret_public(&a->secret, &a->key);
	if (box_key_init(&a->box, &a->secret, &load.server_key) != 0)
		abort();
	ev_timer_init(&a->retry, load.loop, agent_retry);
	return a;
}

void agent_free(struct agent *a)
{
	ev_timer_fini(&a->retry);
	free(a);
}

void agent_connect(struct agent *a)
{
	struct grpc_channel_conf conf = {
		.target = { .host = load.host,
			    .port = load.url.port,
			    .tls = load.url.tls,
			    .ca_file = load.ca },
	};
	a->channel = grpc_channel_new(load.loop, &conf);
}

void agent_drop(struct agent *a)
{
	ev_timer_stop(&a->retry);
	if (a->sync != NULL)
		grpc_call_set_user(a->sync, NULL);
	a->sync = NULL;
	if (a->channel != NULL)
		grpc_channel_reset(a->channel);
}

void agent_cut(struct agent *a)
{
	agent_drop(a);
	if (a->channel != NULL)
		grpc_channel_free(a->channel);
	a->channel = NULL;
}

/* The plain message sealed and put into an envelope. */
static void seal(const struct agent *a, const struct str *plain, struct str *ret)
{
	size_t n = plain->n + BOX_OVERHEAD;
	uint8_t *body = ln_alloc(n);
	int len = box_seal(&a->box, ev_rng(), str_slice(plain), mslice_of(body, n));
	if (len < 0)
		abort();
	mgmt_envelope_write(ret, &a->key, slice_of(body, (size_t)len));
	free(body);
}

static struct mgmt_meta meta_of(const struct agent *a, char host[32])
{
	static char kernel[32];
	snprintf(kernel, sizeof(kernel), "6.1.%u", load.checks);
	snprintf(host, 32, "load-%u", a->number);
	return (struct mgmt_meta){
		.hostname = host,
		.go_os = "linux",
		.kernel = "Linux",
		.core = "12",
		.platform = "x86_64",
		.os = "Debian GNU/Linux",
		.version = "0.77.1",
		.ui_version = "",
		.kernel_version = kernel,
		.os_version = "12",
		.serial = "",
		.product = "",
		.manufacturer = "",
		.cloud = "",
		.environment = "",
		.sync_version = load.sync_version,
		.capabilities = 1u << MGMT_CAP_SOURCE_PREFIXES | 1u << MGMT_CAP_IPV6_OVERLAY,
	};
}

bool agent_open_reply(const struct agent *a, struct slice msg, struct arena *arena,
		      struct slice *ret)
{
	struct mgmt_envelope e;
	if (mgmt_envelope_read(msg, &e) != 0 || e.body.n < BOX_OVERHEAD)
		return false;
	uint8_t *plain = arena_alloc(arena, e.body.n);
	int n = plain != NULL ? box_open(&a->box, e.body, mslice_of(plain, e.body.n)) : -1;
	*ret = slice_of(plain, n < 0 ? 0 : (size_t)n);
	return n >= 0;
}

static void read_map(struct agent *a, struct slice msg)
{
	struct mgmt_sync_response m;
	struct arena arena;
	struct slice plain;
	arena_init(&arena, (size_t)64 << 20);
	if (!agent_open_reply(a, msg, &arena, &plain) ||
	    mgmt_sync_response_read(plain, &arena, &m) != 0) {
		load.failed++;
	} else if (m.has_map) {
		if (m.map.serial < a->serial)
			load.failed++;
		a->serial = m.map.serial;
		a->npeers = m.map.npeers;
	}
	arena_fini(&arena);
}

static void on_sync_message(struct grpc_call *c, struct slice msg)
{
	struct agent *a = grpc_call_user(c);
	if (a == NULL)
		return;
	load.messages++;
	load.bytes += msg.n;
	a->answers++;
	a->answer_at = ev_now();
	if (load.reading)
		read_map(a, msg);
	if (!a->answered) {
		a->answered = true;
		load.done++;
		load.times[load.ntimes++] = a->answer_at - load.began;
		if (load.busy > 0)
			load.busy--;
		phase_step();
	}
}

static void on_sync_closed(struct grpc_call *c, enum grpc_status status, const char *text)
{
	struct agent *a = grpc_call_user(c);
	if (a == NULL)
		return;
	a->sync = NULL;
	if (!a->answered && load.retries < 10 * load.nagents) {
		load.retries++;
		ev_timer_after(&a->retry, rng_below64(ev_rng(), 2 * a->backoff));
		a->backoff = LN_MIN(a->backoff * 17 / 10, BACKOFF_CAP);
		return;
	}
	load.failed++;
	if (load.failed < 5)
		fprintf(stderr, "sync of %u ended: %s %s\n", a->number, grpc_status_name(status),
			text);
}

static void agent_send_sync(struct agent *a)
{
	static const struct grpc_client_cbs cbs = { .message = on_sync_message,
						    .closed = on_sync_closed };
	struct str plain, msg;
	char host[32];
	struct mgmt_sync_request m = { .has_meta = true, .meta = meta_of(a, host) };
	str_init(&plain, 0);
	str_init(&msg, 0);
	mgmt_sync_request_write(&plain, &m);
	seal(a, &plain, &msg);
	if (a->channel == NULL)
		agent_connect(a);
	a->answered = false;
	a->answers = 0;
	a->sync = grpc_channel_call(a->channel, SERVICE "Sync", NULL, 0, LN_TIME_NEVER, &cbs, a);
	if (grpc_call_send(a->sync, str_slice(&msg)) != 0)
		load.failed++;
	grpc_call_half_close(a->sync);
	str_fini(&plain);
	str_fini(&msg);
}

void agent_sync(struct agent *a)
{
	ev_timer_stop(&a->retry);
	a->backoff = BACKOFF_FIRST;
	agent_send_sync(a);
}

static void on_login(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct agent *a = user;
	load.busy--;
	a->asking = false;
	if (status != GRPC_OK) {
		load.failed++;
		if (load.failed < 5)
			fprintf(stderr, "login of %u: %s %s\n", a->number, grpc_status_name(status),
				text);
	} else {
		a->registered = true;
		load.times[load.ntimes++] = ev_now() - load.began;
	}
	load.done++;
	phase_step();
}

void agent_send_login(struct agent *a, grpc_unary_fn *done)
{
	struct str plain, msg;
	char host[32];
	struct mgmt_login_request m = {
		.setup_key = load.setup_key, .jwt = "", .has_meta = true, .meta = meta_of(a, host)
	};
	str_init(&plain, 0);
	str_init(&msg, 0);
	mgmt_login_request_write(&plain, &m, &a->key);
	seal(a, &plain, &msg);
	if (a->channel == NULL)
		agent_connect(a);
	grpc_channel_unary(a->channel, SERVICE "Login", str_slice(&msg), ev_now() + 60 * LN_SEC,
			   done, a);
	str_fini(&plain);
	str_fini(&msg);
}

void agent_login(struct agent *a)
{
	a->asking = true;
	agent_send_login(a, on_login);
}

static void on_logout(void *user, enum grpc_status status, const char *text, struct slice reply)
{
	struct agent *a = user;
	a->asking = false;
	if (status == GRPC_OK)
		return;
	load.failed++;
	fprintf(stderr, "logout of %u: %s %s\n", a->number, grpc_status_name(status), text);
}

void agent_logout(struct agent *a)
{
	struct str plain, msg;
	str_init(&plain, 0);
	str_init(&msg, 0);
	seal(a, &plain, &msg);
	if (a->channel == NULL)
		agent_connect(a);
	grpc_channel_unary(a->channel, SERVICE "Logout", str_slice(&msg), ev_now() + 15 * LN_SEC,
			   on_logout, a);
	str_fini(&plain);
	str_fini(&msg);
	a->registered = false;
	a->asking = true;
}
