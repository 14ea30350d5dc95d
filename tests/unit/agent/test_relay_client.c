/* The relay client against our relay service behind a front, all on one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/agent/relay_client.h"
#include "src/front/front.h"
#include "src/net/net_grpc.h"
#include "src/relay/relay_server.h"
#include "tests/unit/unit.h"

#define LIMIT (5 * LN_SEC)

struct place { /* a relay */
	struct front *front;
	struct relay_server *relay;
	uint16_t port;
	char url[64];
};

struct who { /* an agent */
	struct wg_key key;
	struct relay_client *client;
	char home[64];
	struct ip_addr home_ip;
	unsigned homes, losses;
	struct relay_peer *peer;
	unsigned ups, downs;
	char why[128];
	unsigned packets;
	char last[64];
};

static struct ev_loop *loop;
static struct grpc_server *grpc;
static struct relay_token_key key;
static struct place places[2];
static struct who who[2];

static void place_open(struct place *p, uint16_t port)
{
	struct grpc_server_conf gc = { 0 };
	struct ip_ep any = { .addr = ip_v4(0x7f000001), .port = port };
	struct front_conf fc = { .listen = &any, .nlisten = 1 };
	struct ln_fail f;
	size_t n;
	if (grpc == NULL)
		grpc = grpc_server_new(loop, &gc);
	fc.grpc = grpc;
	assert_int_equal(front_new(loop, &fc, &p->front, &f), 0);
	p->port = front_port(p->front, 0);
	(void)snprintf(p->url, sizeof(p->url), "rel://127.0.0.1:%u", p->port);
	struct relay_server_conf rc = { .instance_url = p->url, .keys = &key, .nkeys = 1 };
	p->relay = relay_server_new(loop, &rc);
	const struct front_row *rows = relay_server_rows(p->relay, &n);
	front_add(p->front, rows, n);
}

static void place_close(struct place *p)
{
	front_free(p->front);
	relay_server_free(p->relay);
	p->front = NULL;
	p->relay = NULL;
}

static void on_home(void *user, const char *instance, const struct ip_addr *server)
{
	struct who *w = user;
	(void)snprintf(w->home, sizeof(w->home), "%s", instance);
	w->home_ip = *server;
	if (instance[0] != '\0')
		w->homes++;
	else
		w->losses++;
}

static void on_peer(void *user, struct relay_peer *p, bool up, const char *why)
{
	struct who *w = user;
	assert_ptr_equal(relay_peer_user(p), w);
	assert_ptr_equal(p, w->peer);
	if (up) {
		w->ups++;
		return;
	}
	w->downs++;
	w->peer = NULL;
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
}

static void on_packet(void *user, struct relay_peer *p, struct slice data)
{
	struct who *w = user;
	assert_ptr_equal(p, w->peer);
	assert_true(w->ups > 0); /* never before the peer is known to be there */
	w->packets++;
	(void)snprintf(w->last, sizeof(w->last), "%.*s", (int)data.n, (const char *)data.p);
}

static void set(struct who *w, const char *const *urls, size_t n, const char *secret)
{
	struct relay_token_key k;
	struct relay_token_text t;
	relay_token_key_make(slice_str(secret), &k);
	relay_token_make(&k, ev_wall() + LN_HOUR, &t);
	assert_int_equal(relay_client_set(w->client, urls, n, t.payload, t.signature), 0);
}

static int setup(void **state)
{
	(void)state;
	loop = ev_loop_new();
	relay_token_key_make(slice_str("secret"), &key);
	memset(who, 0, sizeof(who));
	for (int i = 0; i < 2; i++) {
		place_open(&places[i], 0);
		struct wg_secret secret;
		wg_secret_generate(&secret, ev_rng());
		wg_secret_public(&secret, &who[i].key);
		struct relay_client_conf c = { .own = &who[i].key,
					       .on_home = on_home,
					       .on_peer = on_peer,
					       .on_packet = on_packet,
					       .user = &who[i],
					       .guard = { .same = 20 * LN_MSEC,
							  .first = 50 * LN_MSEC } };
		who[i].client = relay_client_new(loop, &c);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		relay_client_free(who[i].client);
	for (int i = 0; i < 8; i++)
		ev_loop_turn(loop, LN_MSEC);
	for (int i = 0; i < 2; i++)
		place_close(&places[i]);
	grpc_server_free(grpc);
	grpc = NULL;
	ev_loop_free(loop);
	return 0;
}

#define wait_for(cond)                                                                             \
 do {                                                                                              \
  ln_time end = ev_now() + LIMIT;                                                                  \
  while (!(cond) && ev_now() < end)                                                                \
   ev_loop_turn(loop, 10 * LN_MSEC);                                                               \
  assert_true(cond);                                                                               \
 } while (0)

static void both_home(int a, int b)
{
	const char *ua = places[a].url, *ub = places[b].url;
	set(&who[0], &ua, 1, "secret");
	set(&who[1], &ub, 1, "secret");
	wait_for(who[0].homes == 1 && who[1].homes == 1);
}

static void open_both(const char *url)
{
	for (int i = 0; i < 2; i++)
		who[i].peer = relay_client_open(who[i].client, &who[!i].key, url, NULL, &who[i]);
	wait_for(who[0].ups == 1 && who[1].ups == 1);
}

static void test_home_and_packets(void **state)
{
	(void)state;
	both_home(0, 0);
	assert_string_equal(who[0].home, places[0].url);
	assert_int_equal(who[0].home_ip.family, 4);
	open_both(places[0].url);
	for (int i = 0; i < 500; i++)
		relay_peer_send(who[0].peer, slice_str("hello"));
	relay_peer_send(who[1].peer, slice_str("back"));
	wait_for(who[1].packets == 500 && who[0].packets == 1);
	assert_string_equal(who[1].last, "hello");
	assert_string_equal(who[0].last, "back");
}

/* Both sides have other homes and meet at the first one's. */
static void test_foreign(void **state)
{
	(void)state;
	both_home(0, 1);
	open_both(places[0].url);
	relay_peer_send(who[1].peer, slice_str("there"));
	wait_for(who[0].packets == 1);
	struct relay_client_state v[4];
	assert_int_equal(relay_client_list(who[1].client, v, 4), 2);
	assert_true(v[0].home && v[0].connected);
	assert_true(!v[1].home && v[1].connected);
	assert_string_equal(v[1].url, places[0].url);
	assert_int_equal(relay_server_peers(places[0].relay), 2);
}

/* What came before the peer was opened here is not lost (spec relay 15). */
static void test_early_message(void **state)
{
	(void)state;
	both_home(0, 0);
	who[0].peer = relay_client_open(who[0].client, &who[1].key, places[0].url, NULL, &who[0]);
	wait_for(who[0].ups == 1);
	relay_peer_send(who[0].peer, slice_str("older"));
	relay_peer_send(who[0].peer, slice_str("newer"));
	for (int i = 0; i < 10; i++)
		ev_loop_turn(loop, 5 * LN_MSEC);
	who[1].peer = relay_client_open(who[1].client, &who[0].key, places[0].url, NULL, &who[1]);
	wait_for(who[1].packets == 1);
	assert_string_equal(who[1].last, "newer");
}

/* The other side comes to the relay after we have asked for it, and leaves. */
static void test_online_and_offline(void **state)
{
	(void)state;
	const char *url = places[0].url;
	set(&who[0], &url, 1, "secret");
	wait_for(who[0].homes == 1);
	who[0].peer = relay_client_open(who[0].client, &who[1].key, url, NULL, &who[0]);
	for (int i = 0; i < 5; i++)
		ev_loop_turn(loop, 5 * LN_MSEC);
	assert_int_equal(who[0].ups, 0);
	set(&who[1], &url, 1, "secret");
	wait_for(who[0].ups == 1);
	relay_client_set(who[1].client, NULL, 0, NULL, NULL);
	wait_for(who[0].downs == 1);
	assert_non_null(strstr(who[0].why, "left"));
	assert_int_equal(who[1].losses, 1);
}

static void test_relay_restarts(void **state)
{
	(void)state;
	both_home(0, 0);
	open_both(places[0].url);
	uint16_t port = places[0].port;
	place_close(&places[0]);
	wait_for(who[0].losses == 1 && who[1].losses == 1);
	assert_int_equal(who[0].downs, 1);
	place_open(&places[0], port);
	wait_for(who[0].homes == 2 && who[1].homes == 2);
	who[0].ups = who[1].ups = 0;
	open_both(places[0].url);
}

/* One of two is away: the other becomes home. */
static void test_several(void **state)
{
	(void)state;
	const char *urls[3] = { places[0].url, places[1].url, "nonsense" };
	uint16_t port = places[0].port;
	place_close(&places[0]);
	set(&who[0], urls, 3, "secret");
	wait_for(who[0].homes == 1);
	assert_string_equal(who[0].home, places[1].url);
	place_open(&places[0], port);
	place_close(&places[1]);
	wait_for(who[0].homes == 2);
	assert_string_equal(who[0].home, places[0].url);
	place_open(&places[1], 0);
}

static void test_wrong_secret(void **state)
{
	(void)state;
	struct relay_client_state v[2];
	const char *url = places[0].url;
	set(&who[0], &url, 1, "other");
	wait_for(relay_client_list(who[0].client, v, 2) == 1 && strstr(v[0].error, "token"));
	assert_int_equal(who[0].homes, 0);
	/* The right one comes with the next message of management. */
	set(&who[0], &url, 1, "secret");
	wait_for(who[0].homes == 1);
	assert_int_equal(relay_client_set(who[0].client, &url, 1, "1", "not base64!"),
			 LN_E_MALFORMED);
	assert_int_equal(who[0].losses, 0);
}

static void test_no_such_relay(void **state)
{
	(void)state;
	both_home(0, 0);
	who[0].peer = relay_client_open(who[0].client, &who[1].key, "http://x", NULL, &who[0]);
	wait_for(who[0].downs == 1);
	char url[64];
	(void)snprintf(url, sizeof(url), "rel://127.0.0.1:%u", 1);
	who[0].peer = relay_client_open(who[0].client, &who[1].key, url, NULL, &who[0]);
	wait_for(who[0].downs == 2);
	/* A wrong hint costs nothing but a dial. */
	struct ip_addr hint = ip_v4(0x7f000002);
	who[1].peer = relay_client_open(who[1].client, &who[0].key, places[1].url, &hint, &who[1]);
	who[0].peer = relay_client_open(who[0].client, &who[1].key, places[1].url, NULL, &who[0]);
	wait_for(who[0].ups == 1 && who[1].ups == 1);
	relay_client_close(who[0].peer);
	who[0].peer = NULL;
	relay_client_redial(who[1].client);
	assert_int_equal(who[1].downs, 1);
	wait_for(who[1].homes == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_home_and_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_online_and_offline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_relay, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
