#include "src/plat/linux/lx_detour.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/plat/linux/lx_link.h"
#include "src/plat/plat_detour.h"

#define DUMP_TRIES 5
#define ROUTES_MAX 16384  /* of a main table that is searched */
#define MESSAGE_MAX 4096u /* of one route, with all its next hops */

struct routes {
	struct plat_detour_route *v;
	struct nlmsghdr **message; /* as the kernel told it; null when not kept */
	size_t n, cap;
	const unsigned *tunnels;
	size_t ntunnels;
	uint32_t table;
	bool keep;    /* messages too */
	bool capture; /* there is a route into a tunnel that somebody has added */
};

static void drop(struct routes *rs)
{
	for (size_t i = 0; i < rs->n; i++)
		free(rs->message[i]);
	rs->n = 0;
	rs->capture = false;
}

static void routes_fini(struct routes *rs)
{
	drop(rs);
	free(rs->v);
	free(rs->message);
}

static bool grow(struct routes *rs)
{
	if (rs->n < rs->cap)
		return true;
	if (rs->cap == ROUTES_MAX)
		return false;
	rs->cap = rs->cap == 0 ? 64 : 2 * rs->cap;
	rs->v = ln_realloc(rs->v, rs->cap * sizeof(rs->v[0]));
	rs->message = ln_realloc(rs->message, rs->cap * sizeof(rs->message[0]));
	return true;
}

static bool is_tunnel(const struct routes *rs, uint32_t ifindex)
{
	for (size_t i = 0; i < rs->ntunnels; i++)
		if (rs->tunnels[i] == ifindex)
			return true;
	return false;
}

/* Destination, metric, table and interface of a route. */
static void describe(const struct routes *rs, const struct nlmsghdr *h,
		     struct plat_detour_route *ret, uint32_t *ret_table)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	const struct nlattr *attr;
	*ret = (struct plat_detour_route){
		.dst = { .addr.family = rt->rtm_family == AF_INET ? 4 : 6, .len = rt->rtm_dst_len },
		.unusable = (rt->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0,
	};
	*ret_table = rt->rtm_table;
	mnl_attr_for_each(attr, h, sizeof(*rt))
	{
		size_t n = mnl_attr_get_payload_len(attr);
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			if (n == ip_bits(&ret->dst.addr) / 8)
				memcpy(ret->dst.addr.b, mnl_attr_get_payload(attr), n);
			break;
		case RTA_PRIORITY:
			if (n == sizeof(uint32_t))
				ret->metric = mnl_attr_get_u32(attr);
			break;
		case RTA_TABLE:
			if (n == sizeof(uint32_t))
				*ret_table = mnl_attr_get_u32(attr);
			break;
		case RTA_OIF:
			if (n == sizeof(uint32_t))
				ret->tunnel = is_tunnel(rs, mnl_attr_get_u32(attr));
			break;
		}
	}
}

static int read_route(const struct nlmsghdr *h, void *arg)
{
	struct routes *rs = arg;
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	struct plat_detour_route r;
	uint32_t table;
	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*rt) ||
	    (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6) ||
	    (rt->rtm_flags & RTM_F_CLONED) != 0 || rt->rtm_type == RTN_THROW ||
	    h->nlmsg_len > MESSAGE_MAX)
		return MNL_CB_OK;
	describe(rs, h, &r, &table);
	if (table != rs->table)
		return MNL_CB_OK;
	if (!grow(rs)) {
		errno = E2BIG;
		return MNL_CB_ERROR;
	}
	/* Those the kernel makes of an address lead to the overlay, where no server of ours is. */
	rs->capture |= r.tunnel && rt->rtm_protocol != RTPROT_KERNEL;
	rs->v[rs->n] = r;
	rs->message[rs->n] = NULL;
	if (rs->keep)
		rs->message[rs->n] = memcpy(ln_alloc(h->nlmsg_len), h, h->nlmsg_len);
	rs->n++;
	return MNL_CB_OK;
}

/* oif: 0, or only routes through this interface. */
static int dump(struct lx_nl *nl, uint8_t family, unsigned oif, struct routes *rs)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	int r = -EINTR;
	size_t before = rs->n;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		while (rs->n > before)
			free(rs->message[--rs->n]);
		struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETROUTE, NLM_F_DUMP);
		struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
		rt->rtm_family = family;
		if (rs->table < 256)
			rt->rtm_table = (uint8_t)rs->table;
		mnl_attr_put_u32(h, RTA_TABLE, rs->table);
		if (oif != 0)
			mnl_attr_put_u32(h, RTA_OIF, oif);
		r = lx_nl_get(nl, h, read_route, rs);
	}
	/* A table that was never used does not exist. */
	return r == -ENOENT ? 0 : r == -E2BIG ? LN_E_LIMIT : r;
}

/* --- changes ---------------------------------------------------------------------------------- */

static int del(struct lx_nl *nl, const struct ip_prefix *dst, uint32_t table)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_DELROUTE, 0);
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = dst->addr.family == 4 ? AF_INET : AF_INET6;
	rt->rtm_dst_len = dst->len;
	rt->rtm_protocol = LX_ROUTE_PROTOCOL;
	rt->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put(h, RTA_DST, ip_bits(&dst->addr) / 8, dst->addr.b);
	mnl_attr_put_u32(h, RTA_TABLE, table);
	int r = lx_nl_ask(nl, h);
	return r == -ESRCH ? 0 : r;
}

/* What the kernel tells about a route, and does not want to hear. */
static bool is_told_only(const struct nlattr *attr, bool by_id)
{
	switch (mnl_attr_get_type(attr)) {
	case RTA_DST:
	case RTA_TABLE:
	case RTA_PRIORITY:
	case RTA_CACHEINFO:
	case RTA_EXPIRES:
		return true;
	case RTA_OIF: /* told beside the object that holds them */
	case RTA_GATEWAY:
	case RTA_VIA:
	case RTA_MULTIPATH:
	case RTA_ENCAP:
	case RTA_ENCAP_TYPE:
		return by_id;
	default:
		return false;
	}
}

/* The route `below`, for the packets to dst. */
static int add(struct lx_nl *nl, const struct nlmsghdr *below, const struct ip_prefix *dst,
	       uint32_t table)
{
	char buf[MESSAGE_MAX + 64] __attribute__((aligned(8)));
	const struct rtmsg *from = mnl_nlmsg_get_payload(below);
	const struct nlattr *attr;
	bool by_id = false;
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = from->rtm_family;
	rt->rtm_dst_len = dst->len;
	rt->rtm_tos = from->rtm_tos;
	rt->rtm_protocol = LX_ROUTE_PROTOCOL;
	rt->rtm_scope = from->rtm_scope;
	rt->rtm_type = from->rtm_type;
	rt->rtm_flags = from->rtm_flags & RTNH_F_ONLINK;
	mnl_attr_put(h, RTA_DST, ip_bits(&dst->addr) / 8, dst->addr.b);
	mnl_attr_put_u32(h, RTA_TABLE, table);
	mnl_attr_for_each(attr, below, sizeof(*from)) by_id |= mnl_attr_get_type(attr) == RTA_NH_ID;
	mnl_attr_for_each(attr, below, sizeof(*from))
	{
		if (!is_told_only(attr, by_id))
			mnl_attr_put(h, attr->nla_type, mnl_attr_get_payload_len(attr),
				     mnl_attr_get_payload(attr));
	}
	return lx_nl_ask(nl, h);
}

/* --- the table -------------------------------------------------------------------------------- */

static bool holds(const struct routes *rs, const struct ip_prefix *dst)
{
	for (size_t i = 0; i < rs->n; i++)
		if (ip_prefix_equal(&rs->v[i].dst, dst))
			return true;
	return false;
}

static int find_captures(struct lx_nl *nl, uint8_t family, struct routes *main)
{
	int r = 0;
	for (size_t i = 0; i < main->ntunnels && r == 0; i++)
		r = dump(nl, family, main->tunnels[i], main);
	return r;
}

static int refresh_family(struct lx_nl *nl, uint8_t family, struct routes *main,
			  struct routes *have, struct routes *want)
{
	int r = find_captures(nl, family, main);
	bool any = main->capture;
	drop(main);
	main->keep = true;
	if (r == 0 && any) /* the usual host never comes here */
		r = dump(nl, family, 0, main);
	for (size_t i = 0; i < main->n && r == 0; i++) {
		size_t k = main->v[i].tunnel ? plat_detour_below(main->v, main->n, i) : main->n;
		if (k == main->n || holds(want, &main->v[i].dst) || !grow(want))
			continue;
		want->message[want->n] = NULL;
		want->v[want->n++] = main->v[i];
		r = add(nl, main->message[k], &main->v[i].dst, have->table);
	}
	if (r == 0)
		r = dump(nl, family, 0, have);
	for (size_t i = 0; i < have->n && r == 0; i++)
		if (!holds(want, &have->v[i].dst))
			r = del(nl, &have->v[i].dst, have->table);
	return r;
}

int lx_detour_refresh(struct lx_nl *nl, const unsigned *tunnels, size_t n, uint32_t table,
		      bool ipv6)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int r = 0;
	for (size_t i = 0; i < (ipv6 ? 2u : 1u); i++) {
		struct routes main = { .tunnels = tunnels, .ntunnels = n, .table = RT_TABLE_MAIN };
		struct routes have = { .table = table }, want = { 0 };
		int e = refresh_family(nl, families[i], &main, &have, &want);
		routes_fini(&main);
		routes_fini(&have);
		routes_fini(&want);
		r = r == 0 ? e : r;
	}
	return r;
}

int lx_detour_clear(struct lx_nl *nl, uint32_t table, bool ipv6)
{
	return lx_detour_refresh(nl, NULL, 0, table, ipv6);
}
