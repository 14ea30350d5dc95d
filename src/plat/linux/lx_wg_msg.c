#include "src/plat/linux/lx_wg_msg.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* A prefix: nest, family, address, length; each attribute with its header and padding. */
#define PREFIX_ROOM (4 + 8 + 20 + 8)

/* --- writing ---------------------------------------------------------------------------------- */

static void put_head(struct nlmsghdr *h, uint8_t cmd, unsigned ifindex)
{
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = cmd;
	g->version = WG_GENL_VERSION;
	mnl_attr_put_u32(h, WGDEVICE_A_IFINDEX, ifindex);
}

void lx_wg_msg_get(struct nlmsghdr *h, unsigned ifindex)
{
	put_head(h, WG_CMD_GET_DEVICE, ifindex);
}

void lx_wg_msg_device(struct nlmsghdr *h, unsigned ifindex, const struct lx_wg_device *d)
{
	put_head(h, WG_CMD_SET_DEVICE, ifindex);
	if (d->key != NULL) {
		mnl_attr_put(h, WGDEVICE_A_PRIVATE_KEY, sizeof(d->key->b), d->key->b);
		mnl_attr_put_u32(h, WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
	}
	mnl_attr_put_u16(h, WGDEVICE_A_LISTEN_PORT, d->port);
	mnl_attr_put_u32(h, WGDEVICE_A_FWMARK, d->fwmark);
}

static void put_prefix(struct nlmsghdr *h, const struct ip_prefix *p)
{
	struct nlattr *nest = mnl_attr_nest_start(h, 0);
	bool v4 = p->addr.family == 4;
	mnl_attr_put_u16(h, WGALLOWEDIP_A_FAMILY, v4 ? AF_INET : AF_INET6);
	mnl_attr_put(h, WGALLOWEDIP_A_IPADDR, v4 ? 4 : 16, p->addr.b);
	mnl_attr_put_u8(h, WGALLOWEDIP_A_CIDR_MASK, p->len);
	mnl_attr_nest_end(h, nest);
}

static void put_facts(struct nlmsghdr *h, const struct plat_wg_change *c)
{
	if (c->psk != NULL)
		mnl_attr_put(h, WGPEER_A_PRESHARED_KEY, sizeof(c->psk->b), c->psk->b);
	if (c->endpoint != NULL) {
		struct sockaddr_storage sa;
		unsigned len = ip_ep_to_sockaddr(c->endpoint, &sa);
		if (len != 0)
			mnl_attr_put(h, WGPEER_A_ENDPOINT, len, &sa);
	}
	/* Behind the endpoint: turning it on makes the kernel send a packet there at once. */
	if (c->keepalive != PLAT_WG_KEEP)
		mnl_attr_put_u16(h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, (uint16_t)c->keepalive);
}

static uint32_t flags_of(const struct plat_wg_change *c, size_t from)
{
	if (c->remove)
		return WGPEER_F_REMOVE_ME;
	if (from > 0) /* the rest of a list belongs to a peer that is there */
		return WGPEER_F_UPDATE_ONLY;
	return (c->update_only ? WGPEER_F_UPDATE_ONLY : 0U) |
	       (c->replace_allowed ? WGPEER_F_REPLACE_ALLOWEDIPS : 0U);
}

size_t lx_wg_msg_peer(struct nlmsghdr *h, unsigned ifindex, const struct plat_wg_change *c,
		      size_t from)
{
	put_head(h, WG_CMD_SET_DEVICE, ifindex);
	struct nlattr *peers = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
	struct nlattr *peer = mnl_attr_nest_start(h, 0);
	uint32_t flags = flags_of(c, from);
	mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, sizeof(c->key.b), c->key.b);
	if (flags != 0)
		mnl_attr_put_u32(h, WGPEER_A_FLAGS, flags);
	size_t i = from;
	if (c->remove) {
		i = c->nallowed;
	} else {
		if (from == 0)
			put_facts(h, c);
		if (i < c->nallowed) {
			struct nlattr *list = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);
			while (i < c->nallowed && h->nlmsg_len + PREFIX_ROOM <= LX_WG_REQUEST)
				put_prefix(h, &c->allowed[i++]);
			mnl_attr_nest_end(h, list);
		}
	}
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, peers);
	return i;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Tables of attributes by number; those we do not know are skipped. */
struct attrs {
	const struct nlattr *v[WGPEER_A_MAX + WGDEVICE_A_MAX + 2];
	unsigned max;
};

static void keep(struct attrs *t, const struct nlattr *a)
{
	uint16_t type = mnl_attr_get_type(a);
	if (type <= t->max)
		t->v[type] = a;
}

static const void *value(const struct attrs *t, unsigned type, size_t size, bool *bad)
{
	const struct nlattr *a = t->v[type];
	if (a == NULL)
		return NULL;
	if (mnl_attr_get_payload_len(a) != size) {
		*bad = true;
		return NULL;
	}
	return mnl_attr_get_payload(a);
}

static int read_endpoint(const struct nlattr *a, struct ip_ep *ret)
{
	struct sockaddr_storage sa = { 0 };
	size_t n = mnl_attr_get_payload_len(a);
	if (n < sizeof(sa.ss_family) || n > sizeof(sa))
		return LN_E_MALFORMED;
	memcpy(&sa, mnl_attr_get_payload(a), n);
	return ip_ep_from_sockaddr((const struct sockaddr *)&sa, ret) < 0 ? LN_E_MALFORMED : 0;
}

static size_t count_nested(const struct nlattr *list)
{
	size_t n = 0;
	const struct nlattr *a;
	mnl_attr_for_each_nested(a, list)
	{
		n++;
	}
	return n;
}

static int read_facts(const struct attrs *t, struct plat_wg_peer *ret)
{
	bool bad = false;
	const void *v;
	uint16_t keepalive;

	struct {
		int64_t sec, nsec;
	} at;

	if ((v = value(t, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(at), &bad)) != NULL) {
		memcpy(&at, v, sizeof(at));
		if (at.sec < 0 || at.sec > INT64_MAX / LN_SEC - 1 || at.nsec < 0 ||
		    at.nsec > LN_SEC)
			return LN_E_MALFORMED;
		ret->last_handshake = at.sec * LN_SEC + at.nsec;
	}
	if ((v = value(t, WGPEER_A_RX_BYTES, sizeof(uint64_t), &bad)) != NULL)
		memcpy(&ret->rx_bytes, v, sizeof(uint64_t));
	if ((v = value(t, WGPEER_A_TX_BYTES, sizeof(uint64_t), &bad)) != NULL)
		memcpy(&ret->tx_bytes, v, sizeof(uint64_t));
	if ((v = value(t, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, sizeof(keepalive), &bad)) !=
	    NULL) {
		memcpy(&keepalive, v, sizeof(keepalive));
		ret->keepalive = keepalive;
	}
	return bad ? LN_E_MALFORMED : 0;
}

static int read_peer(struct lx_wg_reader *r, const struct nlattr *nest)
{
	struct attrs t = { .max = WGPEER_A_MAX };
	const struct nlattr *a;
	mnl_attr_for_each_nested(a, nest)
	{
		keep(&t, a);
	}
	bool bad = false;
	const void *key = value(&t, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, &bad);
	if (key == NULL)
		return LN_E_MALFORMED;
	struct plat_wg_peer p = { 0 };
	memcpy(p.key.b, key, WG_KEY_LEN);
	if (t.v[WGPEER_A_ALLOWEDIPS] != NULL)
		p.nallowed = count_nested(t.v[WGPEER_A_ALLOWEDIPS]);
	if (r->open && wg_key_equal(&r->peer.key, &p.key)) {
		r->peer.nallowed += p.nallowed;
		return 0;
	}
	int err = read_facts(&t, &p);
	if (err == 0 && t.v[WGPEER_A_ENDPOINT] != NULL)
		err = read_endpoint(t.v[WGPEER_A_ENDPOINT], &p.endpoint);
	if (err < 0)
		return err;
	lx_wg_msg_read_end(r);
	r->open = true;
	r->peer = p;
	return 0;
}

int lx_wg_msg_read(struct lx_wg_reader *r, const struct nlmsghdr *h)
{
	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct genlmsghdr))
		return LN_E_MALFORMED;
	struct attrs t = { .max = WGDEVICE_A_MAX };
	const struct nlattr *a;
	mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
	{
		keep(&t, a);
	}
	bool bad = false;
	const void *port = value(&t, WGDEVICE_A_LISTEN_PORT, sizeof(r->port), &bad);
	if (bad)
		return LN_E_MALFORMED;
	if (port != NULL)
		memcpy(&r->port, port, sizeof(r->port));
	if (r->fn == NULL || t.v[WGDEVICE_A_PEERS] == NULL)
		return 0;
	mnl_attr_for_each_nested(a, t.v[WGDEVICE_A_PEERS])
	{
		int err = read_peer(r, a);
		if (err < 0)
			return err;
	}
	return 0;
}

void lx_wg_msg_read_end(struct lx_wg_reader *r)
{
	if (r->open)
		r->fn(r->user, &r->peer);
	r->open = false;
}
