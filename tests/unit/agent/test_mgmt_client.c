/* The management client against a server of src/net that seals and opens real boxes. */
#include "src/agent/mgmt_client.h"
#include "tests/unit/agent/agent_server.h"

#define PATH "/management.ManagementService/"

/* --- the server --------------------------------------------------------------------------------*/

static struct wg_secret server_secret, agent_secret;
static struct wg_key server_key, agent_key;
static struct box_key box;

static struct {                  /* how it answers, and what it saw */
	enum grpc_status refuse; /* every sealed unary call */
	unsigned refuse_first;   /* only so many of them */
	enum grpc_status refuse_sync, refuse_job;
	unsigned keys, logins, logouts, metas, syncs, jobs;
	char setup_key[64], hostname[64];
	struct grpc_call *sync;
	bool silent;
} srv;

static void new_server_key(void)
{
	wg_secret_generate(&server_secret, ev_rng());
	wg_secret_public(&server_secret, &server_key);
	assert_int_equal(box_key_init(&box, &server_secret, &agent_key), 0);
}

static bool refused(struct grpc_call *c)
{
	if (srv.silent)
		return true;
	if (srv.refuse == GRPC_OK || srv.refuse_first == 0)
		return false;
	srv.refuse_first--;
	grpc_call_finish(c, srv.refuse, "not so");
	return true;
}

/* The opened body in the arena; null after the call was refused for a box that does not open. */
static struct slice open_box(struct grpc_call *c, struct slice msg, struct arena *a, bool *ok)
{
	struct mgmt_envelope e;
	struct slice none = { 0 };
	*ok = false;
	assert_int_equal(mgmt_envelope_read(msg, &e), 0);
	assert_true(wg_key_equal(&e.key, &agent_key));
	uint8_t *plain = arena_alloc(a, e.body.n);
	if (box_open(&box, e.body, mslice_of(plain, e.body.n)) < 0) {
		grpc_call_finish(c, GRPC_INVALID_ARGUMENT, "invalid request message");
		return none;
	}
	*ok = true;
	return slice_of(plain, e.body.n - BOX_OVERHEAD);
}

static void send_sealed(struct grpc_call *c, struct slice plain)
{
	struct str msg = { 0 };
	struct mslice body = host_seal(&box, plain);
	mgmt_envelope_write(&msg, &server_key, slice_of(body.p, body.n));
	assert_int_equal(grpc_call_send(c, str_slice(&msg)), 0);
	free(body.p);
	str_fini(&msg);
}

static void on_key(struct grpc_call *c, struct slice msg)
{
	struct str out = { 0 };
	(void)msg;
	srv.keys++;
	mgmt_server_key_write(&out, &server_key, ev_wall());
	assert_int_equal(grpc_call_send(c, str_slice(&out)), 0);
	str_fini(&out);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_login(struct grpc_call *c, struct slice msg)
{
	struct arena a;
	struct mgmt_login_request m;
	bool ok;
	srv.logins++;
	if (refused(c))
		return;
	arena_init(&a, 1 << 20);
	struct slice plain = open_box(c, msg, &a, &ok);
	if (ok) {
		struct str out = { 0 };
		struct mgmt_login_response r = { .has_self = true };
		assert_int_equal(mgmt_login_request_read(plain, &a, &m), 0);
		(void)snprintf(srv.setup_key, sizeof(srv.setup_key), "%s", m.setup_key);
		(void)snprintf(srv.hostname, sizeof(srv.hostname), "%s", m.meta.hostname);
		r.self.address = (struct ip_prefix){ ip_v4(0x64400001), 16 };
		r.self.fqdn = "a.example";
		mgmt_login_response_write(&out, &r);
		send_sealed(c, str_slice(&out));
		str_fini(&out);
		grpc_call_finish(c, GRPC_OK, NULL);
	}
	arena_fini(&a);
}

static void on_empty(struct grpc_call *c, struct slice msg)
{
	struct arena a;
	bool ok;
	unsigned *count = grpc_call_user(c);
	++*count;
	if (refused(c))
		return;
	arena_init(&a, 1 << 20);
	(void)open_box(c, msg, &a, &ok);
	arena_fini(&a);
	if (!ok)
		return;
	assert_int_equal(grpc_call_send(c, slice_of("", 0)), 0);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_sync(struct grpc_call *c, struct slice msg)
{
	struct arena a;
	bool ok;
	srv.syncs++;
	if (srv.refuse_sync != GRPC_OK) {
		grpc_call_finish(c, srv.refuse_sync, "peer is not registered");
		return;
	}
	arena_init(&a, 1 << 20);
	(void)open_box(c, msg, &a, &ok);
	arena_fini(&a);
	srv.sync = ok ? c : NULL;
}

static void on_job(struct grpc_call *c, struct slice msg)
{
	(void)msg;
	srv.jobs++;
	if (srv.refuse_job != GRPC_OK)
		grpc_call_finish(c, srv.refuse_job, "no jobs here");
}

static void note_count(void *service, struct grpc_call *c)
{
	grpc_call_set_user(c, service);
}

static void nothing(void *service, struct grpc_call *c)
{
	(void)service;
	(void)c;
}

static void closed(struct grpc_call *c)
{
	if (srv.sync == c)
		srv.sync = NULL;
}

static const struct grpc_method rows[] = {
	{ .path = PATH "GetServerKey", .open = nothing, .message = on_key, .closed = closed },
	{ .path = PATH "Login", .open = nothing, .message = on_login, .closed = closed },
	{ .path = PATH "Logout",
	  .service = &srv.logouts,
	  .open = note_count,
	  .message = on_empty,
	  .closed = closed },
	{ .path = PATH "SyncMeta",
	  .service = &srv.metas,
	  .open = note_count,
	  .message = on_empty,
	  .closed = closed },
	{ .path = PATH "Sync", .open = nothing, .message = on_sync, .closed = closed },
	{ .path = PATH "Job", .open = nothing, .message = on_job, .closed = closed },
};

static void send_map(uint64_t serial)
{
	struct str out = { 0 };
	struct mgmt_sync_response m = { .has_map = true };
	const struct mgmt_map_options opt = { true, true, false };
	m.map.serial = serial;
	mgmt_sync_response_write(&out, &m, &opt);
	send_sealed(srv.sync, str_slice(&out));
	str_fini(&out);
}

/* --- the agent ---------------------------------------------------------------------------------*/

static struct {
	struct mgmt_client *c;
	unsigned logins, dones, syncs, denied, states;
	enum grpc_status status;
	char text[128], fqdn[64], why[256];
	uint64_t serial;
	bool connected;
} agent;

static void meta(void *user, struct arena *a, struct mgmt_meta *ret)
{
	(void)user;
	(void)a;
	ret->hostname = "here";
}

static void got_sync(void *user, const struct mgmt_sync_response *m)
{
	(void)user;
	agent.syncs++;
	agent.serial = m->map.serial;
}

static void got_denied(void *user, const char *text)
{
	(void)user;
	agent.denied++;
	(void)snprintf(agent.text, sizeof(agent.text), "%s", text);
}

static void got_state(void *user, bool connected, const char *why)
{
	(void)user;
	agent.states++;
	agent.connected = connected;
	(void)snprintf(agent.why, sizeof(agent.why), "%s", why);
}

static void got_login(void *user, enum grpc_status status, const char *text,
		      const struct mgmt_login_response *r)
{
	(void)user;
	agent.logins++;
	agent.status = status;
	(void)snprintf(agent.text, sizeof(agent.text), "%s", text);
	agent.fqdn[0] = '\0';
	if (r != NULL)
		(void)snprintf(agent.fqdn, sizeof(agent.fqdn), "%s", r->self.fqdn);
}

static void got_done(void *user, enum grpc_status status, const char *text)
{
	(void)user;
	(void)text;
	agent.dones++;
	agent.status = status;
}

static void log_in(const char *setup_key)
{
	struct mgmt_login_request m = { .setup_key = setup_key, .jwt = "", .has_meta = true };
	m.meta.hostname = "here";
	mgmt_client_login(agent.c, &m, got_login, NULL);
}

static int begin(void **state)
{
	(void)state;
	memset(&srv, 0, sizeof(srv));
	memset(&agent, 0, sizeof(agent));
	wg_secret_generate(&agent_secret, ev_rng());
	wg_secret_public(&agent_secret, &agent_key);
	new_server_key();
	host_start(rows, LN_COUNT(rows));
	struct mgmt_client_conf c = { .key = &agent_secret,
				      .meta = meta,
				      .on_sync = got_sync,
				      .on_denied = got_denied,
				      .on_state = got_state };
	c.url = (struct agent_url){ .host = "127.0.0.1", .port = host.port };
	agent.c = mgmt_client_new(host.loop, &c);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mgmt_client_free(agent.c);
	host_turns(5);
	host_stop();
	return 0;
}

/* --- calls -------------------------------------------------------------------------------------*/

static void test_login(void **state)
{
	(void)state;
	log_in("KEY-1");
	assert_int_equal(agent.logins, 0); /* never from inside */
	HOST_UNTIL(agent.logins == 1);
	assert_int_equal(agent.status, GRPC_OK);
	assert_string_equal(agent.fqdn, "a.example");
	assert_string_equal(srv.setup_key, "KEY-1");
	assert_string_equal(srv.hostname, "here");
	/* The key is asked for once. */
	mgmt_client_logout(agent.c, got_done, NULL);
	HOST_UNTIL(agent.dones == 1);
	assert_int_equal(srv.logouts, 1);
	assert_int_equal(srv.keys, 1);
}

static void test_server_has_another_key(void **state)
{
	(void)state;
	log_in("");
	HOST_UNTIL(agent.logins == 1);
	new_server_key(); /* restored from another backup, say */
	log_in("");
	HOST_UNTIL(agent.logins == 2);
	assert_int_equal(agent.status, GRPC_OK);
	assert_int_equal(srv.keys, 2);
	assert_int_equal(srv.logins, 3);
}

static void test_refusals(void **state)
{
	(void)state;
	srv.refuse = GRPC_INVALID_ARGUMENT;
	srv.refuse_first = 100;
	log_in("");
	HOST_UNTIL(agent.logins == 1);
	assert_int_equal(agent.status, GRPC_INVALID_ARGUMENT);
	assert_int_equal(srv.logins, 2); /* once more with a fresh key, not for ever */
	srv.refuse = GRPC_PERMISSION_DENIED;
	log_in("");
	HOST_UNTIL(agent.logins == 2);
	assert_int_equal(agent.status, GRPC_PERMISSION_DENIED);
	assert_string_equal(agent.text, "not so");
	assert_int_equal(srv.logins, 3);
}

static void test_replaced_and_freed(void **state)
{
	(void)state;
	srv.silent = true;
	log_in("one");
	HOST_UNTIL(srv.logins == 1);
	srv.silent = false;
	log_in("two");
	HOST_UNTIL(agent.logins == 1);
	host_turns(20);
	assert_int_equal(agent.logins, 1);
	assert_string_equal(srv.setup_key, "two");
	/* Freed with calls in flight, sent and waiting: no callback comes. */
	srv.silent = true;
	log_in("three");
	mgmt_client_logout(agent.c, got_done, NULL);
	HOST_UNTIL(srv.logins == 3);
	mgmt_client_free(agent.c);
	agent.c = NULL;
	host_turns(20);
	assert_int_equal(agent.logins + agent.dones, 1);
}

static void test_no_server(void **state)
{
	(void)state;
	struct mgmt_client_conf c = { .key = &agent_secret, .meta = meta, .on_state = got_state };
	struct mgmt_client *mine = agent.c;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	c.url = (struct agent_url){ .host = "127.0.0.1", .port = ntohs(sa.sin_port) };
	agent.c = mgmt_client_new(host.loop, &c);
	log_in("");
	HOST_UNTIL(agent.logins == 1);
	assert_int_equal(agent.status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(agent.text, "refused"));
	mgmt_client_free(agent.c);
	agent.c = mine;
	close(fd);
}

/* --- streams -----------------------------------------------------------------------------------*/

static void test_sync(void **state)
{
	(void)state;
	mgmt_client_start(agent.c);
	HOST_UNTIL(srv.sync != NULL && srv.jobs == 1);
	assert_false(mgmt_client_connected(agent.c));
	send_map(7);
	HOST_UNTIL(agent.syncs == 1);
	assert_true(agent.connected && mgmt_client_connected(agent.c));
	assert_int_equal(agent.serial, 7);
	/* What cannot be read is skipped: a wrong box, a box around nonsense, no envelope. */
	struct str msg = { 0 };
	mgmt_envelope_write(&msg, &server_key,
			    slice_str("not sealed, and longer than forty bytes"));
	assert_int_equal(grpc_call_send(srv.sync, str_slice(&msg)), 0);
	str_fini(&msg);
	send_sealed(srv.sync, slice_str("\xff\xff\xff\xff nonsense"));
	assert_int_equal(grpc_call_send(srv.sync, slice_str("\x0a")), 0);
	send_map(8);
	HOST_UNTIL(agent.serial == 8);
	assert_int_equal(agent.syncs, 2);
	mgmt_client_send_meta(agent.c);
	HOST_UNTIL(srv.metas == 1);
	/* The stream ends: said, and opened again. */
	grpc_call_finish(srv.sync, GRPC_UNAVAILABLE, "going down");
	HOST_UNTIL(!agent.connected);
	assert_non_null(strstr(agent.why, "going down"));
	HOST_UNTIL(srv.syncs == 2 && srv.sync != NULL);
	send_map(9);
	HOST_UNTIL(agent.serial == 9);
	assert_true(agent.connected);
	/* Stopped: both streams close and stay closed. */
	mgmt_client_stop(agent.c);
	HOST_UNTIL(srv.sync == NULL);
	host_turns(50);
	assert_int_equal(srv.syncs, 2);
}

static void test_denied(void **state)
{
	(void)state;
	srv.refuse_sync = GRPC_PERMISSION_DENIED;
	srv.refuse_job = GRPC_UNIMPLEMENTED;
	mgmt_client_start(agent.c);
	HOST_UNTIL(agent.denied == 1);
	assert_string_equal(agent.text, "peer is not registered");
	host_turns(200);
	assert_int_equal(srv.syncs, 1); /* the owner logs in again; nothing is repeated here */
	assert_int_equal(srv.jobs, 1);  /* a server without jobs is asked once */
	assert_int_equal(agent.denied, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_login),     T(test_server_has_another_key),
		T(test_refusals),  T(test_replaced_and_freed),
		T(test_no_server), T(test_sync),
		T(test_denied),
	};
	return cmocka_run_group_tests_name("mgmt_client", tests, NULL, NULL);
}
