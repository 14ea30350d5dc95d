/* Messages of the kernel's WireGuard: what we write, read back; what the kernel may send, split and
 * cut. */
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/plat/linux/lx_wg_msg.h"
#include "tests/unit/unit.h"

static char buf[LX_WG_REQUEST] __attribute__((aligned(8)));

static struct nlmsghdr *begin(void)
{
	memset(buf, 0xee, sizeof(buf));
	return mnl_nlmsg_put_header(buf);
}

static struct wg_key key_of(uint8_t n)
{
	struct wg_key k = { .b = { n, 1, 2, 3 } };
	return k;
}

static struct ip_ep ep(const char *text)
{
	struct ip_ep e;
	assert_int_equal(ip_ep_parse(slice_str(text), &e), 0);
	return e;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static const struct nlattr *find(const struct nlmsghdr *h, uint16_t type)
{
	const struct nlattr *a;
	mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

static const struct nlattr *find_in(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *a;
	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

static const struct nlattr *first_peer(const struct nlmsghdr *h)
{
	const struct nlattr *peers = find(h, WGDEVICE_A_PEERS);
	assert_non_null(peers);
	return mnl_attr_get_payload(peers);
}

static void device_is_set(void **state)
{
	(void)state;
	struct wg_secret s = { .b = { 7 } };
	struct lx_wg_device d = { .key = &s, .port = 51820, .fwmark = 0x1bd00 };
	struct nlmsghdr *h = begin();
	lx_wg_msg_device(h, 9, &d);
	const struct genlmsghdr *g = mnl_nlmsg_get_payload(h);
	assert_int_equal(g->cmd, WG_CMD_SET_DEVICE);
	assert_int_equal(g->version, 1);
	assert_int_equal(mnl_attr_get_u32(find(h, WGDEVICE_A_IFINDEX)), 9);
	assert_int_equal(mnl_attr_get_u32(find(h, WGDEVICE_A_FLAGS)), WGDEVICE_F_REPLACE_PEERS);
	assert_int_equal(mnl_attr_get_u16(find(h, WGDEVICE_A_LISTEN_PORT)), 51820);
	assert_int_equal(mnl_attr_get_u32(find(h, WGDEVICE_A_FWMARK)), 0x1bd00);
	assert_memory_equal(mnl_attr_get_payload(find(h, WGDEVICE_A_PRIVATE_KEY)), s.b, 32);

	d.key = NULL; /* another port: peers and key stay */
	h = begin();
	lx_wg_msg_device(h, 9, &d);
	assert_null(find(h, WGDEVICE_A_PRIVATE_KEY));
	assert_null(find(h, WGDEVICE_A_FLAGS));
}

static void peer_is_set(void **state)
{
	(void)state;
	struct ip_ep e = ep("192.0.2.7:4000");
	struct ip_prefix allowed[] = { prefix("10.0.0.1/32"), prefix("fd00::1/128") };
	struct wg_secret psk = { .b = { 5 } };
	struct plat_wg_change c = {
		.key = key_of(1),
		.replace_allowed = true,
		.allowed = allowed,
		.nallowed = 2,
		.psk = &psk,
		.keepalive = 25,
		.endpoint = &e,
	};
	struct nlmsghdr *h = begin();
	assert_int_equal(lx_wg_msg_peer(h, 3, &c, 0), 2);
	const struct nlattr *p = first_peer(h);
	assert_memory_equal(mnl_attr_get_payload(find_in(p, WGPEER_A_PUBLIC_KEY)), c.key.b, 32);
	assert_memory_equal(mnl_attr_get_payload(find_in(p, WGPEER_A_PRESHARED_KEY)), psk.b, 32);
	assert_int_equal(mnl_attr_get_u32(find_in(p, WGPEER_A_FLAGS)), WGPEER_F_REPLACE_ALLOWEDIPS);
	assert_int_equal(mnl_attr_get_u16(find_in(p, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL)), 25);
	const struct nlattr *a = find_in(p, WGPEER_A_ENDPOINT);
	assert_int_equal(mnl_attr_get_payload_len(a), sizeof(struct sockaddr_in));
	const struct sockaddr_in *sa = mnl_attr_get_payload(a);
	assert_int_equal(sa->sin_port, htons(4000));
	const struct nlattr *ips = find_in(p, WGPEER_A_ALLOWEDIPS);
	const struct nlattr *one = mnl_attr_get_payload(ips);
	assert_int_equal(mnl_attr_get_u16(find_in(one, WGALLOWEDIP_A_FAMILY)), AF_INET);
	assert_int_equal(mnl_attr_get_u8(find_in(one, WGALLOWEDIP_A_CIDR_MASK)), 32);
	assert_int_equal(mnl_attr_get_payload_len(find_in(one, WGALLOWEDIP_A_IPADDR)), 4);
	one = mnl_attr_next(one);
	assert_int_equal(mnl_attr_get_u16(find_in(one, WGALLOWEDIP_A_FAMILY)), AF_INET6);
	assert_int_equal(mnl_attr_get_payload_len(find_in(one, WGALLOWEDIP_A_IPADDR)), 16);
}

static void peer_changes_are_only_what_is_asked(void **state)
{
	(void)state;
	struct plat_wg_change c = { .key = key_of(1),
				    .update_only = true,
				    .keepalive = PLAT_WG_KEEP };
	struct nlmsghdr *h = begin();
	assert_int_equal(lx_wg_msg_peer(h, 3, &c, 0), 0);
	const struct nlattr *p = first_peer(h);
	assert_int_equal(mnl_attr_get_u32(find_in(p, WGPEER_A_FLAGS)), WGPEER_F_UPDATE_ONLY);
	assert_null(find_in(p, WGPEER_A_ENDPOINT));
	assert_null(find_in(p, WGPEER_A_PRESHARED_KEY));
	assert_null(find_in(p, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL));
	assert_null(find_in(p, WGPEER_A_ALLOWEDIPS));

	c = (struct plat_wg_change){ .key = key_of(1), .remove = true };
	h = begin();
	assert_int_equal(lx_wg_msg_peer(h, 3, &c, 0), 0);
	p = first_peer(h);
	assert_int_equal(mnl_attr_get_u32(find_in(p, WGPEER_A_FLAGS)), WGPEER_F_REMOVE_ME);
	assert_null(find_in(p, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL));
}

static size_t prefixes_in(const struct nlmsghdr *h)
{
	size_t n = 0;
	const struct nlattr *a;
	const struct nlattr *list = find_in(first_peer(h), WGPEER_A_ALLOWEDIPS);
	assert_non_null(list);
	mnl_attr_for_each_nested(a, list)
	{
		n++;
	}
	return n;
}

/* Every prefix exactly once, the list replaced once, and never more than the room. */
static void long_lists_are_split(void **state)
{
	(void)state;

	enum {
		N = 1000
	};
	static struct ip_prefix v[N];
	struct wg_secret psk = { .b = { 5 } };
	struct ip_ep e = ep("[2001:db8::1]:1");
	for (unsigned i = 0; i < N; i++) {
		v[i] = prefix("fd00::/128");
		v[i].addr.b[14] = (uint8_t)(i >> 8);
		v[i].addr.b[15] = (uint8_t)i;
	}
	struct plat_wg_change c = { .key = key_of(1),
				    .replace_allowed = true,
				    .allowed = v,
				    .nallowed = N,
				    .psk = &psk,
				    .keepalive = 25,
				    .endpoint = &e };
	size_t at = 0, messages = 0;
	while (at < N) {
		struct nlmsghdr *h = begin();
		size_t next = lx_wg_msg_peer(h, 3, &c, at);
		assert_true(next > at);
		assert_true(h->nlmsg_len <= LX_WG_REQUEST);
		assert_int_equal(prefixes_in(h), next - at);
		const struct nlattr *flags = find_in(first_peer(h), WGPEER_A_FLAGS);
		assert_int_equal(mnl_attr_get_u32(flags),
				 at == 0 ? WGPEER_F_REPLACE_ALLOWEDIPS : WGPEER_F_UPDATE_ONLY);
		assert_int_equal(find_in(first_peer(h), WGPEER_A_ENDPOINT) != NULL, at == 0);
		at = next;
		messages++;
	}
	assert_int_equal(at, N);
	assert_in_range(messages, 5, 6);
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct plat_wg_peer got[16];
static size_t ngot;

static void on_peer(void *user, const struct plat_wg_peer *p)
{
	(void)user;
	assert_true(ngot < LN_COUNT(got));
	got[ngot++] = *p;
}

static void put_prefixes(struct nlmsghdr *h, unsigned n)
{
	struct nlattr *list = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);
	for (unsigned i = 0; i < n; i++) {
		struct nlattr *one = mnl_attr_nest_start(h, 0);
		uint8_t address[4] = { 10, 0, 0, (uint8_t)i };
		mnl_attr_put_u16(h, WGALLOWEDIP_A_FAMILY, AF_INET);
		mnl_attr_put(h, WGALLOWEDIP_A_IPADDR, 4, address);
		mnl_attr_put_u8(h, WGALLOWEDIP_A_CIDR_MASK, 32);
		mnl_attr_nest_end(h, one);
	}
	mnl_attr_nest_end(h, list);
}

/* As the kernel writes a peer: everything in the first message, only key and prefixes later. */
static void put_peer(struct nlmsghdr *h, uint8_t n, bool rest, unsigned prefixes)
{
	struct nlattr *p = mnl_attr_nest_start(h, 0);
	struct wg_key k = key_of(n);
	mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, 32, k.b);
	if (!rest) {
		const int64_t at[2] = { 1700000000 + n, 5 };
		struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(1000 + n) };
		sa.sin6_addr.s6_addr[0] = 0x20;
		sa.sin6_addr.s6_addr[15] = n;
		mnl_attr_put(h, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(at), at);
		mnl_attr_put_u16(h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25);
		mnl_attr_put_u64(h, WGPEER_A_TX_BYTES, 100U + n);
		mnl_attr_put_u64(h, WGPEER_A_RX_BYTES, 200U + n);
		mnl_attr_put_u32(h, WGPEER_A_PROTOCOL_VERSION, 1);
		mnl_attr_put(h, WGPEER_A_ENDPOINT, sizeof(sa), &sa);
	}
	put_prefixes(h, prefixes);
	mnl_attr_nest_end(h, p);
}

static struct nlmsghdr *answer(struct nlattr **peers)
{
	struct nlmsghdr *h = begin();
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = WG_CMD_GET_DEVICE;
	mnl_attr_put_u16(h, WGDEVICE_A_LISTEN_PORT, 51820);
	mnl_attr_put_strz(h, WGDEVICE_A_IFNAME, "wt0");
	*peers = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
	return h;
}

static void split_peers_are_joined(void **state)
{
	(void)state;
	struct lx_wg_reader r = { .fn = on_peer };
	struct nlattr *peers;
	ngot = 0;
	struct nlmsghdr *h = answer(&peers);
	put_peer(h, 1, false, 2);
	put_peer(h, 2, false, 3);
	mnl_attr_nest_end(h, peers);
	assert_int_equal(lx_wg_msg_read(&r, h), 0);
	assert_int_equal(ngot, 1); /* the second one may go on */
	h = answer(&peers);
	put_peer(h, 2, true, 4);
	mnl_attr_nest_end(h, peers);
	assert_int_equal(lx_wg_msg_read(&r, h), 0);
	h = answer(&peers);
	put_peer(h, 2, true, 1);
	put_peer(h, 3, false, 0);
	mnl_attr_nest_end(h, peers);
	assert_int_equal(lx_wg_msg_read(&r, h), 0);
	lx_wg_msg_read_end(&r);
	lx_wg_msg_read_end(&r);
	assert_int_equal(ngot, 3);
	assert_int_equal(r.port, 51820);
	for (unsigned i = 0; i < 3; i++) {
		struct wg_key k = key_of((uint8_t)(i + 1));
		assert_true(wg_key_equal(&got[i].key, &k));
		assert_int_equal(got[i].rx_bytes, 201 + i);
		assert_int_equal(got[i].tx_bytes, 101 + i);
		assert_int_equal(got[i].keepalive, 25);
		assert_int_equal(got[i].endpoint.port, 1001 + i);
		assert_int_equal(got[i].last_handshake, (1700000001 + i) * LN_SEC + 5);
	}
	assert_int_equal(got[0].nallowed, 2);
	assert_int_equal(got[1].nallowed, 8);
	assert_int_equal(got[2].nallowed, 0);
}

static void device_without_peers(void **state)
{
	(void)state;
	struct lx_wg_reader r = { .fn = on_peer };
	struct nlmsghdr *h = begin();
	ngot = 0;
	mnl_nlmsg_put_extra_header(h, sizeof(struct genlmsghdr));
	assert_int_equal(lx_wg_msg_read(&r, h), 0);
	lx_wg_msg_read_end(&r);
	assert_int_equal(ngot, 0);
}

/* Every length of an answer, in memory of that size (libmnl rounds up to 4): nothing is read
 * behind. */
static void truncations(void **state)
{
	(void)state;
	struct nlattr *peers;
	struct nlmsghdr *h = answer(&peers);
	put_peer(h, 1, false, 2);
	put_peer(h, 2, false, 1);
	mnl_attr_nest_end(h, peers);
	for (uint32_t n = sizeof(struct nlmsghdr); n <= h->nlmsg_len; n++) {
		struct lx_wg_reader r = { .fn = on_peer };
		struct nlmsghdr *cut = calloc(1, MNL_ALIGN(n));
		memcpy(cut, h, n);
		cut->nlmsg_len = n;
		ngot = 0;
		int err = lx_wg_msg_read(&r, cut);
		assert_true(err == 0 || err == LN_E_MALFORMED);
		lx_wg_msg_read_end(&r);
		free(cut);
	}
	assert_int_equal(ngot, 2);
}

static void impossible_sizes(void **state)
{
	(void)state;
	static const uint16_t types[] = { WGPEER_A_PUBLIC_KEY,
					  WGPEER_A_LAST_HANDSHAKE_TIME,
					  WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
					  WGPEER_A_TX_BYTES,
					  WGPEER_A_RX_BYTES,
					  WGPEER_A_ENDPOINT };
	for (size_t i = 0; i < LN_COUNT(types); i++) {
		struct lx_wg_reader r = { .fn = on_peer };
		struct wg_key k = key_of(1);
		struct nlattr *peers;
		struct nlmsghdr *h = answer(&peers);
		struct nlattr *p = mnl_attr_nest_start(h, 0);
		if (types[i] != WGPEER_A_PUBLIC_KEY)
			mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, 32, k.b);
		mnl_attr_put(h, types[i], 3, "abc");
		mnl_attr_nest_end(h, p);
		mnl_attr_nest_end(h, peers);
		assert_int_equal(lx_wg_msg_read(&r, h), LN_E_MALFORMED);
	}
}

static void handshake_times_out_of_range(void **state)
{
	(void)state;
	static const int64_t times[][2] = {
		{ -1, 0 }, { INT64_MAX, 0 }, { 1, -1 }, { 1, 2000000000 }
	};
	for (size_t i = 0; i < LN_COUNT(times); i++) {
		struct lx_wg_reader r = { .fn = on_peer };
		struct wg_key k = key_of(1);
		struct nlattr *peers;
		struct nlmsghdr *h = answer(&peers);
		struct nlattr *p = mnl_attr_nest_start(h, 0);
		mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, 32, k.b);
		mnl_attr_put(h, WGPEER_A_LAST_HANDSHAKE_TIME, 16, times[i]);
		mnl_attr_nest_end(h, p);
		mnl_attr_nest_end(h, peers);
		assert_int_equal(lx_wg_msg_read(&r, h), LN_E_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_is_set),
		cmocka_unit_test(peer_is_set),
		cmocka_unit_test(peer_changes_are_only_what_is_asked),
		cmocka_unit_test(long_lists_are_split),
		cmocka_unit_test(split_peers_are_joined),
		cmocka_unit_test(device_without_peers),
		cmocka_unit_test(truncations),
		cmocka_unit_test(impossible_sizes),
		cmocka_unit_test(handshake_times_out_of_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
