#include "src/plat/linux/lx_link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define DUMP_TRIES 5 /* a dump that changed underneath is asked again */

static uint8_t family_of(const struct ip_prefix *p)
{
	return p->addr.family == 4 ? AF_INET : AF_INET6;
}

static void put_address(struct nlmsghdr *h, uint16_t type, const struct ip_addr *a)
{
	mnl_attr_put(h, type, ip_bits(a) / 8, a->b);
}

static bool get_address(const struct nlattr *attr, struct ip_addr *ret)
{
	size_t n = mnl_attr_get_payload_len(attr);
	if (n != 4 && n != 16)
		return false;
	/* Not ip_from_bytes(): the kernel's table is taken as it is, mapped addresses included. */
	*ret = (struct ip_addr){ .family = n == 4 ? 4 : 6 };
	memcpy(ret->b, mnl_attr_get_payload(attr), n);
	return true;
}

/* --- links ----------------------------------------------------------------------------------- */

/* Of IFLA_LINKINFO: is the kind one of these? */
static bool is_kind(const struct nlattr *info, const char *const *kinds, size_t nkinds)
{
	const struct nlattr *attr;
	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) != IFLA_INFO_KIND)
			continue;
		/* Drivers differ in whether they count the terminating zero. */
		size_t n = mnl_attr_get_payload_len(attr);
		const char *kind = mnl_attr_get_payload(attr);
		for (size_t i = 0; i < nkinds; i++)
			if (strnlen(kind, n) == strlen(kinds[i]) &&
			    memcmp(kind, kinds[i], strlen(kinds[i])) == 0)
				return true;
	}
	return false;
}

static int read_link(const struct nlmsghdr *h, void *arg)
{
	static const char *const tunnels[] = { "tun", "wireguard", "dummy" };
	static const char *const wireguard[] = { "wireguard" };
	struct lx_link *ret = arg;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return MNL_CB_OK;
	ret->ifindex = (unsigned)ifi->ifi_index;
	ret->up = (ifi->ifi_flags & IFF_UP) != 0;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*ifi))
	{
		bool number = mnl_attr_get_payload_len(attr) == sizeof(uint32_t);
		if (mnl_attr_get_type(attr) == IFLA_LINKINFO) {
			ret->tunnel = is_kind(attr, tunnels, LN_COUNT(tunnels));
			ret->wireguard = is_kind(attr, wireguard, LN_COUNT(wireguard));
		}
		if (number && mnl_attr_get_type(attr) == IFLA_MTU)
			ret->mtu = mnl_attr_get_u32(attr);
		if (number && mnl_attr_get_type(attr) == IFLA_TXQLEN)
			ret->txqueuelen = mnl_attr_get_u32(attr);
		if (number && mnl_attr_get_type(attr) == IFLA_GROUP)
			ret->group = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == IFLA_QDISC &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			ret->fresh = strcmp(mnl_attr_get_str(attr), "noop") == 0;
	}
	return MNL_CB_OK;
}

int lx_link_find(struct lx_nl *nl, const char *ifname, struct lx_link *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETLINK, NLM_F_ACK);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(h, IFLA_IFNAME, ifname);
	struct lx_link link = { 0 };
	int r = lx_nl_get(nl, h, read_link, &link);
	if (r < 0)
		return r;
	if (link.ifindex == 0)
		return -ENODEV;
	*ret = link;
	return 0;
}

int lx_link_set(struct lx_nl *nl, unsigned ifindex, unsigned mtu, unsigned txqueuelen, bool up)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = up ? IFF_UP : 0;
	if (mtu != 0)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	if (txqueuelen != 0)
		mnl_attr_put_u32(h, IFLA_TXQLEN, txqueuelen);
	return lx_nl_ask(nl, h);
}

int lx_link_set_group(struct lx_nl *nl, unsigned ifindex, unsigned group)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u32(h, IFLA_GROUP, group);
	return lx_nl_ask(nl, h);
}

int lx_link_set_noqueue(struct lx_nl *nl, unsigned ifindex)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(h, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = (int)ifindex;
	tc->tcm_parent = TC_H_ROOT;
	mnl_attr_put_strz(h, TCA_KIND, "noqueue");
	return lx_nl_ask(nl, h);
}

int lx_link_add_wireguard(struct lx_nl *nl, const char *ifname, unsigned mtu)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(h, IFLA_IFNAME, ifname);
	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "wireguard");
	mnl_attr_nest_end(h, info);
	return lx_nl_ask(nl, h);
}

int lx_link_del(struct lx_nl *nl, unsigned ifindex)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_DELLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	return lx_nl_ask(nl, h);
}

/* --- dumps ----------------------------------------------------------------------------------- */

struct dump {
	unsigned ifindex;
	struct plat_prefixes *ret;
};

static int keep(struct dump *d, const struct ip_prefix *p)
{
	if (plat_prefixes_add(d->ret, p) < 0) {
		errno = E2BIG;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static int read_addr(const struct nlmsghdr *h, void *arg)
{
	struct dump *d = arg;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*ifa) ||
	    ifa->ifa_index != d->ifindex)
		return MNL_CB_OK;
	struct ip_prefix p = { .len = ifa->ifa_prefixlen };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*ifa))
	{
		/* On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL is ours. */
		uint16_t type = mnl_attr_get_type(attr);
		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !ip_is_set(&p.addr)))
			(void)get_address(attr, &p.addr);
	}
	if (!ip_is_set(&p.addr) || (p.addr.family == 6 && ip_is_link_local(&p.addr)))
		return MNL_CB_OK;
	return keep(d, &p);
}

static int read_route(const struct nlmsghdr *h, void *arg)
{
	struct dump *d = arg;
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*rt) ||
	    rt->rtm_protocol != LX_ROUTE_PROTOCOL || rt->rtm_table != RT_TABLE_MAIN ||
	    (rt->rtm_flags & RTM_F_CLONED) != 0)
		return MNL_CB_OK;
	struct ip_prefix p = { .addr.family = rt->rtm_family == AF_INET ? 4 : 6,
			       .len = rt->rtm_dst_len };
	unsigned oif = 0;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*rt))
	{
		if (mnl_attr_get_type(attr) == RTA_DST)
			(void)get_address(attr, &p.addr);
		if (mnl_attr_get_type(attr) == RTA_OIF &&
		    mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			oif = mnl_attr_get_u32(attr);
	}
	return oif == d->ifindex ? keep(d, &p) : MNL_CB_OK;
}

int lx_addr_list(struct lx_nl *nl, unsigned ifindex, struct plat_prefixes *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct dump d = { .ifindex = ifindex, .ret = ret };
	size_t before = ret->n;
	int r = -EINTR;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		ret->n = before;
		struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETADDR, NLM_F_DUMP);
		struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
		ifa->ifa_family = AF_UNSPEC;
		ifa->ifa_index = ifindex;
		r = lx_nl_get(nl, h, read_addr, &d);
	}
	return r;
}

int lx_route_list(struct lx_nl *nl, unsigned ifindex, struct plat_prefixes *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct dump d = { .ifindex = ifindex, .ret = ret };
	size_t before = ret->n;
	int r = -EINTR;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		ret->n = before;
		r = 0;
		static const uint8_t families[] = { AF_INET, AF_INET6 };
		for (size_t k = 0; k < LN_COUNT(families) && r == 0; k++) {
			struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETROUTE, NLM_F_DUMP);
			struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
			rt->rtm_family = families[k];
			rt->rtm_table = RT_TABLE_MAIN;
			rt->rtm_protocol = LX_ROUTE_PROTOCOL;
			mnl_attr_put_u32(h, RTA_OIF, ifindex);
			r = lx_nl_get(nl, h, read_route, &d);
		}
	}
	return r;
}

/* --- changes --------------------------------------------------------------------------------- */

static struct nlmsghdr *addr_request(struct lx_nl *nl, void *buf, uint16_t type, uint16_t flags,
				     unsigned ifindex, const struct ip_prefix *p)
{
	struct nlmsghdr *h = lx_nl_begin(nl, buf, type, flags);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	ifa->ifa_family = family_of(p);
	ifa->ifa_prefixlen = p->len;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = ifindex;
	/* Nobody else can hold an address of the overlay: no waiting for duplicate detection. */
	if (p->addr.family == 6 && type == RTM_NEWADDR)
		ifa->ifa_flags = IFA_F_NODAD;
	put_address(h, IFA_LOCAL, &p->addr);
	put_address(h, IFA_ADDRESS, &p->addr);
	return h;
}

int lx_addr_add(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	return lx_nl_ask(
		nl, addr_request(nl, buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, p));
}

int lx_addr_del(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	return lx_nl_ask(nl, addr_request(nl, buf, RTM_DELADDR, 0, ifindex, p));
}

static struct nlmsghdr *route_request(struct lx_nl *nl, void *buf, uint16_t type, uint16_t flags,
				      unsigned ifindex, const struct ip_prefix *p)
{
	struct nlmsghdr *h = lx_nl_begin(nl, buf, type, flags);
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = family_of(p);
	rt->rtm_dst_len = p->len;
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = LX_ROUTE_PROTOCOL;
	rt->rtm_scope = p->addr.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	rt->rtm_type = RTN_UNICAST;
	put_address(h, RTA_DST, &p->addr);
	mnl_attr_put_u32(h, RTA_OIF, ifindex);
	return h;
}

int lx_route_add(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	return lx_nl_ask(
		nl, route_request(nl, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, ifindex, p));
}

int lx_route_del(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	return lx_nl_ask(nl, route_request(nl, buf, RTM_DELROUTE, 0, ifindex, p));
}
