/* The answer as a function, the limiter against time, and the service over loopback. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#include "src/ev/ev.h"
#include "src/stun/stun_answer.h"
#include "src/stun/stun_limit.h"
#include "src/stun/stun_server.h"
#include "tests/unit/stun/stun_vector.h"
#include "tests/unit/unit.h"

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static const uint8_t bare[20] = { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3 };

static void answers(void **state)
{
	static const char *const sources[] = { "203.0.113.7:51820", "[2001:db8::7]:51820" };
	uint8_t buf[STUN_ANSWER_MAX];
	struct slice answer;
	struct stun_msg m;
	struct ip_ep mapped;
	for (size_t i = 0; i < LN_COUNT(sources); i++) {
		struct ip_ep from = ep(sources[i]);
		assert_int_equal(stun_answer_write(slice_of(bare, 20), &from,
						   mslice_of(buf, sizeof(buf)), &answer),
				 STUN_ANSWER_SUCCESS);
		assert_int_equal(answer.n, i == 0 ? 40 : 52); /* as upstream's server answers */
		assert_int_equal(stun_msg_read(answer, &m), 0);
		assert_int_equal(m.cls, STUN_SUCCESS);
		assert_memory_equal(m.tid.b, bare + 8, STUN_TID_LEN);
		assert_true(stun_msg_has(&m, STUN_ATTR_FINGERPRINT));
		assert_true(stun_auth_fingerprint_ok(&m));
		assert_int_equal(stun_msg_mapped(&m, &mapped), 0);
		assert_true(ip_ep_equal(&mapped, &from));
	}
}

/* What upstream's own server answered to its agent, byte for byte. */
static void answers_like_upstream(void **state)
{
	struct stun_vector request;
	struct stun_vector v = { 0 };
	unsigned count = 0;
	FILE *f = stun_vector_open("pair-0.77.1.txt");
	assert_non_null(f);
	do {
		request = v;
		if (!stun_vector_next(f, &v))
			break;
		if (strstr(v.name, "success-server") == NULL)
			continue;
		struct stun_msg m;
		struct ip_ep from;
		uint8_t buf[STUN_ANSWER_MAX];
		struct slice answer;
		assert_int_equal(stun_msg_read(slice_of(v.bytes, v.n), &m), 0);
		assert_int_equal(stun_msg_mapped(&m, &from), 0);
		assert_non_null(strstr(request.name, "request-server"));
		assert_int_equal(stun_answer_write(slice_of(request.bytes, request.n), &from,
						   mslice_of(buf, sizeof(buf)), &answer),
				 STUN_ANSWER_SUCCESS);
		assert_true(slice_equal(answer, slice_of(v.bytes, v.n)));
		count++;
	} while (true);
	assert_true(count >= 2);
	fclose(f);
}

static void stays_silent(void **state)
{
	uint8_t buf[STUN_ANSWER_MAX];
	uint8_t pkt[256];
	struct slice answer;
	struct ip_ep from = ep("203.0.113.7:51820");
	struct mslice into = mslice_of(buf, sizeof(buf));
	for (size_t n = 0; n < sizeof(bare); n++)
		assert_int_equal(stun_answer_write(slice_of(bare, n), &from, into, &answer),
				 STUN_ANSWER_NONE);
	for (unsigned c = 1; c < 4; c++) {
		struct writer w = writer_of(mslice_of(pkt, sizeof(pkt)));
		stun_msg_begin(&w, (enum stun_class)c, &(struct stun_tid){ { 0 } });
		assert_int_equal(stun_answer_write(writer_slice(&w), &from, into, &answer),
				 STUN_ANSWER_NONE);
	}
	/* Another method. */
	memcpy(pkt, bare, sizeof(bare));
	pkt[1] = 3;
	assert_int_equal(stun_answer_write(slice_of(pkt, 20), &from, into, &answer),
			 STUN_ANSWER_NONE);
	/* FINGERPRINT counts when it is there. */
	struct writer w = writer_of(mslice_of(pkt, sizeof(pkt)));
	stun_msg_begin(&w, STUN_REQUEST, &(struct stun_tid){ { 0 } });
	stun_auth_fingerprint(&w);
	assert_int_equal(stun_answer_write(writer_slice(&w), &from, into, &answer),
			 STUN_ANSWER_SUCCESS);
	pkt[27] ^= 1;
	assert_int_equal(stun_answer_write(writer_slice(&w), &from, into, &answer),
			 STUN_ANSWER_NONE);
}

/* Unknown attributes are named in a 420, and no answer is three times the request. */
static void unknown_attributes(void **state)
{
	uint8_t buf[STUN_ANSWER_MAX];
	uint8_t pkt[256];
	struct slice answer;
	struct stun_msg m;
	unsigned code;
	struct ip_ep from = ep("[2001:db8::7]:51820");
	for (unsigned n = 1; n <= 40; n++) {
		struct writer w = writer_of(mslice_of(pkt, sizeof(pkt)));
		stun_msg_begin(&w, STUN_REQUEST, &(struct stun_tid){ { 0 } });
		for (unsigned i = 0; i < n; i++)
			writer_u32(&w, (0x7000u + i) << 16);
		stun_msg_set_len(&w, 0);
		assert_int_equal(stun_answer_write(writer_slice(&w), &from,
						   mslice_of(buf, sizeof(buf)), &answer),
				 STUN_ANSWER_UNKNOWN_ATTR);
		assert_true(answer.n <= 3 * writer_len(&w));
		assert_int_equal(stun_msg_read(answer, &m), 0);
		assert_int_equal(stun_attr_read_error(m.attr[STUN_ATTR_ERROR_CODE], &code), 0);
		assert_int_equal(code, 420);
		assert_int_equal(m.attr[STUN_ATTR_UNKNOWN_ATTRIBUTES].n, 2 * LN_MIN(n, 8u));
	}
}

static unsigned pass_many(struct stun_limit *l, ln_time now, const char *source, unsigned n)
{
	struct ip_ep e = ep(source);
	unsigned passed = 0;
	for (unsigned i = 0; i < n; i++)
		passed += stun_limit_pass(l, now, &e.addr);
	return passed;
}

static void limits(void **state)
{
	struct stun_limit *l = stun_limit_new(50, 100, ev_rng());
	assert_int_equal(pass_many(l, 0, "203.0.113.7:1", 1000), 100);
	assert_int_equal(pass_many(l, 0, "203.0.113.200:1", 10), 0); /* the same /24 */
	assert_int_equal(pass_many(l, 0, "203.0.114.7:1", 10), 10);
	assert_int_equal(pass_many(l, LN_SEC, "203.0.113.8:1", 1000), 50);
	assert_int_equal(pass_many(l, LN_HOUR, "203.0.113.8:1", 1000), 100);
	assert_int_equal(pass_many(l, 0, "[2001:db8:0:aa00::1]:1", 1000), 100);
	assert_int_equal(pass_many(l, 0, "[2001:db8:0:aaff::2]:1", 10), 0); /* the same /56 */
	assert_int_equal(pass_many(l, 0, "[2001:db8:0:ab00::1]:1", 10), 10);
	/* A hundred thousand networks: the table does not grow, the busy one stays limited. */
	unsigned busy = 0;
	for (uint32_t i = 0; i < 100000; i++) {
		struct ip_addr a = ip_v4(0x01000000u + (i << 8));
		struct ip_addr b = ip_v4(0xcb007107u);
		(void)stun_limit_pass(l, LN_HOUR + 1, &a);
		busy += stun_limit_pass(l, LN_HOUR + 1, &b);
	}
	assert_true(busy < 10000);
	stun_limit_free(l);
}

static void turns(struct ev_loop *loop, const struct stun_server *s, uint64_t requests)
{
	struct stun_server_count c;
	for (int i = 0; i < 200; i++) {
		stun_server_count(s, &c);
		if (c.requests >= requests)
			return;
		ev_loop_turn(loop, 10 * LN_MSEC);
	}
}

static int client(const struct ip_ep *server, struct ip_ep *ret_self)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_ep_to_sockaddr(server, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	len = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(ip_ep_from_sockaddr((struct sockaddr *)&ss, ret_self), 0);
	return fd;
}

static void serves(void **state)
{
	static const uint16_t any_port = 0;
	struct ip_addr addrs[2] = { ip_v4(0x7f000001), { .family = 6, .b = { [15] = 1 } } };
	struct stun_server_conf conf = { .addrs = addrs,
					 .naddrs = 2,
					 .ports = &any_port,
					 .nports = 1,
					 .rate = 10,
					 .burst = 100 };
	struct ev_loop *loop = ev_loop_new();
	struct stun_server *s;
	struct stun_server_count c;
	struct ln_fail f;
	struct ip_ep addr;
	if (access("/proc/net/if_inet6", F_OK) != 0)
		conf.naddrs = 1;
	assert_int_equal(stun_server_new(loop, &conf, &s, &f), 0);
	uint64_t sent = 0;
	for (size_t i = 0; stun_server_addr(s, i, &addr); i++) {
		struct ip_ep self;
		struct ip_ep mapped;
		struct stun_msg m;
		uint8_t buf[256];
		int fd = client(&addr, &self);
		assert_int_equal(send(fd, bare, sizeof(bare), 0), sizeof(bare));
		turns(loop, s, ++sent);
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		assert_true(n > 0);
		assert_int_equal(stun_msg_read(slice_of(buf, (size_t)n), &m), 0);
		assert_int_equal(stun_msg_mapped(&m, &mapped), 0);
		assert_true(ip_ep_equal(&mapped, &self));
		/* Two hundred more: a burst of a hundred at most. */
		for (int k = 0; k < 200; k++, sent++)
			assert_int_equal(send(fd, bare, sizeof(bare), 0), sizeof(bare));
		assert_int_equal(send(fd, "x", 1, 0), 1);
		turns(loop, s, ++sent);
		int got = 0;
		while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			got++;
		assert_true(got >= 90 && got <= 110);
		close(fd);
	}
	stun_server_count(s, &c);
	assert_int_equal(c.requests, sent);
	assert_int_equal(c.answered + c.limited + c.refused, sent);
	assert_int_equal(c.refused, conf.naddrs);
	assert_true(c.limited > 0);

	/* The port is in use: a sentence, not a crash. */
	struct stun_server *second;
	assert_true(stun_server_addr(s, 0, &addr));
	conf.ports = &addr.port;
	conf.naddrs = 1;
	assert_true(stun_server_new(loop, &conf, &second, &f) < 0);
	assert_non_null(strstr(f.text, "STUN cannot listen on UDP 127.0.0.1:"));
	stun_server_free(s);
	ev_loop_turn(loop, 0);
	ev_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),      cmocka_unit_test(answers_like_upstream),
		cmocka_unit_test(stays_silent), cmocka_unit_test(unknown_attributes),
		cmocka_unit_test(limits),       cmocka_unit_test(serves),
	};
	return cmocka_run_group_tests_name("stun_server", tests, NULL, NULL);
}
