/* The sentences that status shows. */
#include "tests/unit/peer/peer_pair.h"

static struct pair w;
static struct peer_info info;

#define CRED "RemoteUfragAbcde:RemotePasswordRemotePasswordRemo"

static const char *reason(int i)
{
	peer_conn_info(w.side[i].conn, &info);
	return info.reason;
}

static void assert_says(const char *part)
{
	if (strstr(reason(0), part) == NULL)
		fail_msg("'%s' does not say '%s'", info.reason, part);
}

static void offer(void)
{
	struct signal_body m = { .type = SIGNAL_OFFER,
				 .payload = slice_str(CRED),
				 .has_session = true };
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), 0);
}

static void candidate(const char *text)
{
	struct signal_body m = { .type = SIGNAL_CANDIDATE, .payload = slice_str(text) };
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), 0);
}

static void test_asleep_and_offline(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ .lazy = true });
	assert_says("asleep until the first packet");
	w.side[1].deaf_signal = true;
	peer_conn_wake(w.side[0].conn, w.now);
	pair_run(&w, w.now + 4 * LN_SEC);
	assert_says("no answer to 4 offers: the other side is offline or asleep");
	w.side[0].local.signal_down = true;
	assert_says("no connection to the signal server");
	pair_fini(&w);
}

static void test_direct(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	pair_run(&w, w.now + LN_SEC);
	assert_says("direct to 10.2.0.2:51820 (host to host)");
	pair_fini(&w);
}

static void test_checks(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	w.side[1].deaf_signal = w.side[0].deaf_net = true;
	offer();
	pair_drain(&w, 0);
	assert_says("no candidates from the other side");
	candidate("1 1 udp 1694498815 198.51.100.1 4000 typ srflx raddr 0.0.0.0 rport 51820");
	for (ln_time end = w.now + 2 * LN_SEC; w.now < end; w.now += 100 * LN_MSEC)
		pair_drain(&w, 0);
	assert_says("0 of ");
	assert_says("checks answered");
	w.side[0].local.nat_per_destination = true;
	assert_says("NAT maps per destination");
	w.side[0].local.nat_per_destination = false;
	w.side[0].local.stun_servers = 1;
	w.side[0].local.stun_silent = pair_ep("192.0.2.7:3478");
	assert_says("no STUN answer from 192.0.2.7:3478");
	w.side[0].local.udp_refused = true;
	assert_says("refuses to send UDP");
	w.side[0].local.nhosts = 0;
	assert_says("no usable network address");
	pair_fini(&w);
}

static void test_silence(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	pair_run(&w, w.now + LN_SEC);
	w.side[0].deaf_net = w.side[1].deaf_net = true;
	w.side[0].deaf_signal = w.side[1].deaf_signal = true;
	pair_run(&w, w.now + 8 * LN_SEC);
	assert_says("the path was lost (silence)");
	pair_fini(&w);
}

static void test_no_ice(void **state)
{
	(void)state;
	pair_init(&w, (struct peer_conn_conf){ 0 });
	struct signal_body m = { .type = SIGNAL_ANSWER, .payload = slice_str(":") };
	assert_int_equal(peer_conn_signal(w.side[0].conn, w.now, &m), 0);
	assert_says("accepts no direct connections");
	pair_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asleep_and_offline),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_no_ice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
