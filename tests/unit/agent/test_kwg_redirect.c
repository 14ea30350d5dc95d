/*
 * The XDP redirect in a network namespace of its own: WireGuard's datagrams arrive at the wake
 * socket with their peer, nobody else's do. Needs root; skipped without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/agent/kwg/kwg_redirect.h"
#include "src/agent/kwg/kwg_wake.h"
#include "tests/unit/unit.h"

static bool possible;

static int own_namespace(void **state)
{
	(void)state;
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	possible = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	return 0;
}

/* A socket of the loopback; *port is its port afterwards. */
static int bound(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static void send_word(int fd, uint32_t to, uint16_t port, const char *word)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	sa.sin_addr.s_addr = htonl(to);
	assert_int_equal(sendto(fd, word, strlen(word), 0, (struct sockaddr *)&sa, sizeof(sa)),
			 strlen(word));
}

static int receive(struct kwg_wake *w, struct kwg_wake_msg m[KWG_WAKE_BATCH])
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	return poll(&p, 1, 2000) == 1 ? kwg_wake_recv(w, m) : 0;
}

static void expect(const struct kwg_wake_msg *m, uint32_t to, const char *word)
{
	assert_int_equal(ip_to_u32(&m->to.addr), to);
	assert_int_equal(m->data.n, strlen(word));
	assert_memory_equal(m->data.p, word, m->data.n);
}

static void wireguard_and_nobody_else(void **state)
{
	(void)state;
	struct kwg_wake w;
	struct kwg_wake_msg m[KWG_WAKE_BATCH];
	struct kwg_redirect *r = NULL, *second = NULL;
	struct ln_fail f = { 0 };
	uint16_t from, other_port;
	if (!possible)
		skip();
	int wireguard = bound(&from), other = bound(&other_port);
	assert_int_equal(kwg_wake_open(&w, from, 1280, &f), 0);
	int err = kwg_redirect_new(from, w.port, &r, &f);
	if (err == LN_E_UNSUPPORTED || err == -EPERM) {
		kwg_wake_close(&w);
		close(wireguard);
		close(other);
		skip();
	}
	assert_int_equal(err, 0);
	w.redirected = true;
	/* there is one program, and who comes second is told */
	assert_int_equal(kwg_redirect_new(from, w.port, &second, &f), -EBUSY);
	assert_non_null(strstr(f.text, "already"));

	/* by port; by address, as sleeping peers; and what a stranger sends does not arrive */
	send_word(wireguard, INADDR_LOOPBACK, 0x0309, "relayed");
	send_word(wireguard, 0x7f400001U, w.port, "asleep");
	send_word(other, INADDR_LOOPBACK, w.port, "stranger");
	send_word(wireguard, INADDR_LOOPBACK, 0xffff, "last");
	assert_int_equal(receive(&w, m), 3);
	expect(&m[0], 0x7f010309U, "relayed");
	assert_int_equal(m[0].to.port, w.port);
	expect(&m[1], 0x7f400001U, "asleep");
	expect(&m[2], 0x7f01ffffU, "last");
	/* strangers among themselves are not touched */
	char b[16];
	send_word(other, INADDR_LOOPBACK, other_port, "own");
	assert_int_equal(recv(other, b, sizeof(b), 0), 3);

	kwg_redirect_free(r);
	send_word(other, INADDR_LOOPBACK, w.port, "again");
	assert_int_equal(receive(&w, m), 1); /* nothing is left on lo */
	assert_int_equal(kwg_redirect_new(from, w.port, &second, &f), 0);
	kwg_redirect_free(second);
	kwg_redirect_free(NULL);
	kwg_wake_close(&w);
	close(wireguard);
	close(other);
}

static void names_of_peers(void **state)
{
	(void)state;
	struct ip_ep relay = { .addr = ip_v4(0x7f01abcdU), .port = 51820 };
	struct ip_ep in = kwg_redirect_endpoint(&relay);
	assert_int_equal(in.port, 0xabcd);
	assert_int_equal(ip_to_u32(&in.addr), INADDR_LOOPBACK);
	in = kwg_redirect_peer(in.port, 51820);
	assert_true(ip_ep_equal(&in, &relay));
	assert_true(kwg_redirect_can(&relay, 51820));
	assert_false(kwg_redirect_can(&relay, 0xabcd)); /* it would come back to us */
	relay.addr = ip_v4(0x7f010000U);
	assert_false(kwg_redirect_can(&relay, 51820));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_peers),
		cmocka_unit_test(wireguard_and_nobody_else),
	};
	return cmocka_run_group_tests(tests, own_namespace, NULL);
}
