/*
 * The raw sockets beside the kernel's WireGuard: the filter, run by a small interpreter over
 * packets of every kind; reading what a raw socket delivers; the checksum; and, with the right to
 * open raw sockets, the real thing over loopback.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/plat/linux/lx_spoof.h"
#include "src/plat/linux/lx_stunsock.h"
#include "tests/unit/unit.h"

#define PORT 51820

/* --- an interpreter for the instructions the program uses ------------------------------------- */

static bool load(const uint8_t *p, size_t n, size_t at, size_t width, uint32_t *ret)
{
	*ret = 0;
	if (at + width > n)
		return false;
	for (size_t i = 0; i < width; i++)
		*ret = *ret << 8 | p[at + i];
	return true;
}

static uint32_t run(const struct sock_filter *f, size_t nf, const uint8_t *p, size_t n)
{
	uint32_t a = 0, x = 0;
	for (size_t pc = 0; pc < nf; pc++) {
		const struct sock_filter *i = &f[pc];
		bool yes;
		switch (i->code) {
		case BPF_LDX | BPF_B | BPF_MSH:
			if (!load(p, n, i->k, 1, &x))
				return 0;
			x = (x & 0xf) * 4;
			continue;
		case BPF_LDX | BPF_W | BPF_IMM:
			x = i->k;
			continue;
		case BPF_LD | BPF_B | BPF_IND:
		case BPF_LD | BPF_H | BPF_IND:
		case BPF_LD | BPF_W | BPF_IND:
			if (!load(p, n, x + i->k,
				  BPF_SIZE(i->code) == BPF_B   ? 1
				  : BPF_SIZE(i->code) == BPF_H ? 2
							       : 4,
				  &a))
				return 0;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & i->k) != 0;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("unknown instruction %x", i->code);
			return 0;
		}
		pc += yes ? i->jt : i->jf;
	}
	fail_msg("the program runs off its end");
	return 0;
}

/* A datagram as the raw socket of a family sees it; options: bytes of IP options (IPv4). */
static size_t packet(uint8_t *b, unsigned family, size_t options, uint16_t port, struct slice data)
{
	size_t at = family == 4 ? 20 + options : 0;
	memset(b, 0, at + 8);
	if (family == 4)
		b[0] = (uint8_t)(0x40 | at / 4);
	b[at] = 0x12;
	b[at + 1] = 0x34;
	b[at + 2] = (uint8_t)(port >> 8);
	b[at + 3] = (uint8_t)port;
	b[at + 4] = (uint8_t)((data.n + 8) >> 8);
	b[at + 5] = (uint8_t)(data.n + 8);
	memcpy(b + at + 8, data.p, data.n);
	return at + 8 + data.n;
}

static bool passes(unsigned family, size_t options, uint16_t port, const uint8_t *data, size_t n)
{
	struct sock_filter f[LX_STUNSOCK_FILTER_MAX];
	uint8_t b[2048];
	size_t nf = lx_stunsock_filter(family, PORT, f);
	return run(f, nf, b, packet(b, family, options, port, slice_of(data, n))) != 0;
}

static const uint8_t cookie[4] = { 0x21, 0x12, 0xa4, 0x42 };

static void filter_takes_stun(void **state)
{
	(void)state;
	static const uint8_t types[][2] = {
		{ 0, 1 }, { 1, 1 }, { 1, 0x11 }, { 0, 0x11 }, { 2, 1 }
	};
	uint8_t d[1400] = { 0 };
	memcpy(d + 4, cookie, 4);
	for (unsigned family = 4; family <= 6; family += 2) {
		for (size_t t = 0; t < LN_COUNT(types); t++) {
			memcpy(d, types[t], 2);
			for (size_t n = 20; n <= sizeof(d); n += 4)
				assert_true(passes(family, 0, PORT, d, n));
		}
	}
	assert_true(passes(4, 4, PORT, d, 20)); /* IP options */
	assert_true(passes(4, 40, PORT, d, 20));
}

static void filter_refuses_the_rest(void **state)
{
	(void)state;
	uint8_t d[64] = { 0, 1 };
	for (unsigned family = 4; family <= 6; family += 2) {
		memset(d + 4, 0, 4);
		assert_false(passes(family, 0, PORT, d, 20)); /* no cookie */
		memcpy(d + 4, cookie, 4);
		assert_false(passes(family, 0, PORT + 1, d, 20));
		for (size_t n = 0; n < 20; n++)
			assert_false(passes(family, 0, PORT, d, n));
		for (unsigned bits = 1; bits < 4; bits++) { /* of DTLS, RTP, TURN channels */
			d[0] = (uint8_t)(bits << 6);
			assert_false(passes(family, 0, PORT, d, 20));
		}
		d[0] = 0;
		d[4] ^= 1;
		assert_false(passes(family, 0, PORT, d, 20));
	}
}

/* A session whose receiver index equals the cookie is WireGuard's all the same (spec trap 38). */
static void filter_leaves_wireguard_alone(void **state)
{
	(void)state;
	uint8_t d[1400] = { 0 };
	memcpy(d + 4, cookie, 4);
	for (unsigned family = 4; family <= 6; family += 2) {
		for (uint8_t type = 0; type <= 6; type++) {
			bool wireguard = type >= 1 && type <= 4;
			d[0] = type;
			assert_int_equal(passes(family, 0, PORT, d, 32), !wireguard);
			assert_int_equal(passes(family, 0, PORT, d, 1400), !wireguard);
			assert_true(passes(family, 0, PORT, d, 28)); /* too short for WireGuard */
			d[1] = 1; /* reserved bytes are zero there */
			assert_true(passes(family, 0, PORT, d, 32));
			d[1] = 0;
			d[3] = 1;
			assert_true(passes(family, 0, PORT, d, 32));
			d[3] = 0;
		}
	}
}

static void packets_are_parsed(void **state)
{
	(void)state;
	uint8_t b[256];
	struct slice data;
	uint16_t port;
	for (unsigned family = 4; family <= 6; family += 2) {
		for (size_t options = 0; options <= (family == 4 ? 40 : 0); options += 4) {
			size_t n = packet(b, family, options, PORT, slice_str("hello"));
			assert_int_equal(lx_stunsock_parse(family, slice_of(b, n), &data, &port),
					 0);
			assert_true(slice_is(data, "hello"));
			assert_int_equal(port, 0x1234);
			/* what is padded behind the datagram is not part of it */
			assert_int_equal(
				lx_stunsock_parse(family, slice_of(b, n + 3), &data, &port), 0);
			assert_true(slice_is(data, "hello"));
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(
					lx_stunsock_parse(family, slice_of(b, cut), &data, &port),
					LN_E_MALFORMED);
		}
	}
	size_t n = packet(b, 4, 0, PORT, slice_str("hello"));
	b[0] = 0x65;
	assert_int_equal(lx_stunsock_parse(4, slice_of(b, n), &data, &port), LN_E_MALFORMED);
	b[0] = 0x44; /* a header of 16 bytes */
	assert_int_equal(lx_stunsock_parse(4, slice_of(b, n), &data, &port), LN_E_MALFORMED);
	n = packet(b, 6, 0, PORT, slice_str("hello"));
	b[5] = 7; /* shorter than its header */
	assert_int_equal(lx_stunsock_parse(6, slice_of(b, n), &data, &port), LN_E_MALFORMED);
}

/* By hand: pseudo header 192.0.2.1, 192.0.2.2, 17, 10 and the datagram below. */
static void checksum_vectors(void **state)
{
	(void)state;
	struct ip_addr src, dst;
	const uint8_t udp[] = { 0x10, 0x00, 0x20, 0x00, 0x00, 0x0a, 0x00, 0x00, 0xab, 0xcd };
	assert_int_equal(ip_parse(slice_str("192.0.2.1"), &src), 0);
	assert_int_equal(ip_parse(slice_str("192.0.2.2"), &dst), 0);
	/* c000+0201+c000+0202+0011+000a + 1000+2000+000a+abcd = 25ff5 -> 5ff7 -> ~a008 */
	assert_int_equal(lx_stunsock_checksum(&src, &dst, slice_of(udp, 8),
					      slice_of(udp + 8, sizeof(udp) - 8)),
			 0xa008);
	/* an odd byte counts as the high one */
	assert_int_equal(lx_stunsock_checksum(&src, &dst, slice_of(udp, 8), slice_of(udp + 8, 1)),
			 0xa0d6);
	/* never 0, which would say that there is none */
	const uint8_t zero[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xe0 };
	assert_int_equal(
		lx_stunsock_checksum(&src, &dst, slice_of(zero, sizeof(zero)), slice_of(NULL, 0)),
		0xffff);
}

/* --- real sockets ----------------------------------------------------------------------------- */

static int owner(unsigned family, uint16_t *port)
{
	struct sockaddr_storage sa = { .ss_family = family == 4 ? AF_INET : AF_INET6 };
	socklen_t len = sizeof(sa);
	struct ip_ep any = { .addr.family = (uint8_t)family, .port = *port };
	const int on = 1;
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (family == 6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	unsigned n = ip_ep_to_sockaddr(&any, &sa);
	if (bind(fd, (struct sockaddr *)&sa, n) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(ip_ep_from_sockaddr((struct sockaddr *)&sa, &any), 0);
	*port = any.port;
	return fd;
}

static void loopback(unsigned family, const char *address)
{
	struct lx_stunsock s;
	struct ln_fail f = { 0 };
	struct ip_ep to = { 0 }, from;
	struct slice got;
	uint8_t room[2048], d[64] = { 0, 1 };
	uint16_t port = 0;
	int fd = owner(family, &port); /* in the place of WireGuard */
	if (fd < 0)
		skip();
	int r = lx_stunsock_open(&s, port, 0, &f);
	unsigned which = family == 6;
	if (r == -EPERM || (r == 0 && s.fd[which] < 0)) {
		close(fd);
		lx_stunsock_close(&s);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(ip_parse(slice_str(address), &to.addr), 0);
	to.port = port;
	memcpy(d + 4, cookie, 4);
	/* Not STUN: comes to the owner only. Then STUN: to both, with the right checksum. */
	assert_int_equal(lx_stunsock_send(&s, &to, slice_of(d + 8, 20)), 0);
	assert_int_equal(lx_stunsock_send(&s, &to, slice_of(d, 20)), 0);
	struct pollfd p = { .fd = s.fd[which], .events = POLLIN };
	assert_int_equal(poll(&p, 1, 2000), 1);
	assert_int_equal(lx_stunsock_recv(&s, which, mslice_of(room, sizeof(room)), &got, &from),
			 0);
	assert_int_equal(got.n, 20);
	assert_memory_equal(got.p, d, 20);
	assert_true(ip_ep_equal(&from, &to)); /* from ourselves: address and port are the same */
	assert_int_equal(lx_stunsock_recv(&s, which, mslice_of(room, sizeof(room)), &got, &from),
			 -EAGAIN);
	assert_int_equal(recv(fd, room, sizeof(room), MSG_DONTWAIT), 20);
	assert_int_equal(recv(fd, room, sizeof(room), MSG_DONTWAIT), 20);
	/* too long for the room of the receiver, too long to be sent */
	assert_int_equal(lx_stunsock_send(&s, &to, slice_of(d, 64)), 0);
	assert_int_equal(poll(&p, 1, 2000), 1);
	assert_int_equal(lx_stunsock_recv(&s, which, mslice_of(room, 40), &got, &from),
			 LN_E_MALFORMED);
	assert_int_equal(lx_stunsock_send(&s, &to, slice_of(room, LX_STUNSOCK_DATA_MAX + 1)),
			 LN_E_LIMIT);
	to.addr.family = 0;
	assert_int_equal(lx_stunsock_send(&s, &to, slice_of(d, 20)), -EAFNOSUPPORT);
	lx_stunsock_close(&s);
	close(fd);
}

static void loopback_v4(void **state)
{
	(void)state;
	loopback(4, "127.0.0.1");
}

static void loopback_v6(void **state)
{
	(void)state;
	loopback(6, "::1");
}

/* Any source reaches a local port: loopback, elsewhere, and with a checksum the kernel accepts. */
static void spoofed_sources(void **state)
{
	(void)state;
	static const char *const sources[] = { "127.1.2.3:40000", "198.51.100.7:1",
					       "10.0.0.1:65535", "[2001:db8::7]:51820", "[::1]:5" };
	static uint8_t out[LX_SPOOF_DATA_MAX + 1], in[LX_SPOOF_DATA_MAX + 1];
	static const size_t lengths[] = { 1, 32, 148, 1313, 9000, LX_SPOOF_DATA_MAX };
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < LN_COUNT(sources); i++) {
		struct ip_ep want, got;
		struct lx_spoof s;
		uint16_t port = 0;
		assert_int_equal(ip_ep_parse(slice_str(sources[i]), &want), 0);
		int fd = owner(want.addr.family, &port);
		if (fd < 0)
			continue; /* no IPv6 here */
		lx_spoof_init(&s, port);
		for (size_t n = 0; n < LN_COUNT(lengths); n++) {
			struct sockaddr_storage sa;
			socklen_t len = sizeof(sa);
			struct pollfd p = { .fd = fd, .events = POLLIN };
			int r = lx_spoof_send(&s, &want, slice_of(out, lengths[n]), lengths[n]);
			if (r == -EPERM) {
				close(fd);
				skip();
			}
			assert_int_equal(r, 0);
			assert_int_equal(poll(&p, 1, 2000), 1);
			assert_int_equal(
				recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&sa, &len),
				lengths[n]);
			assert_memory_equal(in, out, lengths[n]);
			assert_int_equal(ip_ep_from_sockaddr((struct sockaddr *)&sa, &got), 0);
			assert_true(ip_ep_equal(&got, &want));
		}
		assert_int_equal(lx_spoof_send(&s, &want, slice_of(out, LX_SPOOF_DATA_MAX + 1),
					       LX_SPOOF_DATA_MAX + 1),
				 LN_E_LIMIT);
		lx_spoof_close(&s);
		lx_spoof_close(&s);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filter_takes_stun),
		cmocka_unit_test(filter_refuses_the_rest),
		cmocka_unit_test(filter_leaves_wireguard_alone),
		cmocka_unit_test(packets_are_parsed),
		cmocka_unit_test(checksum_vectors),
		cmocka_unit_test(loopback_v4),
		cmocka_unit_test(loopback_v6),
		cmocka_unit_test(spoofed_sources),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
