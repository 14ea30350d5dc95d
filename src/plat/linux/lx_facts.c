/* Facts about the host that come from netlink: the addresses of all interfaces. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/plat/linux/lx_plat.h"

#define DUMP_TRIES 5
#define LINKS_MAX 4096

struct links {
	struct link {
		unsigned ifindex, flags;
		uint8_t mac[6];
		char ifname[PLAT_IFNAME_MAX];
	} * v;

	size_t n, cap;
};

struct addresses {
	const struct links *links;
	struct plat_addr *v;
	size_t n, cap;
};

static int read_link(const struct nlmsghdr *h, void *arg)
{
	struct links *l = arg;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) ||
	    l->n == LINKS_MAX)
		return MNL_CB_OK;
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 16;
		l->v = ln_realloc(l->v, l->cap * sizeof(l->v[0]));
	}
	struct link *k = &l->v[l->n++];
	*k = (struct link){ .ifindex = (unsigned)ifi->ifi_index, .flags = ifi->ifi_flags };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*ifi))
	{
		uint16_t type = mnl_attr_get_type(attr);
		if (type == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == sizeof(k->mac))
			memcpy(k->mac, mnl_attr_get_payload(attr), sizeof(k->mac));
		if (type == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			strncpy(k->ifname, mnl_attr_get_str(attr), sizeof(k->ifname) - 1);
	}
	return MNL_CB_OK;
}

static const struct link *find_link(const struct links *l, unsigned ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ifindex == ifindex)
			return &l->v[i];
	return NULL;
}

static bool read_attributes(const struct nlmsghdr *h, const struct ifaddrmsg *ifa,
			    struct plat_addr *ret)
{
	unsigned flags = ifa->ifa_flags;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*ifa))
	{
		uint16_t type = mnl_attr_get_type(attr);
		size_t n = mnl_attr_get_payload_len(attr);
		if (type == IFA_FLAGS && n == sizeof(uint32_t))
			flags = mnl_attr_get_u32(attr);
		if ((n == 4 || n == 16) &&
		    (type == IFA_LOCAL || (type == IFA_ADDRESS && !ip_is_set(&ret->prefix.addr)))) {
			ret->prefix.addr = (struct ip_addr){ .family = n == 4 ? 4 : 6 };
			memcpy(ret->prefix.addr.b, mnl_attr_get_payload(attr), n);
		}
	}
	/* IFA_F_SECONDARY has the value of IFA_F_TEMPORARY and means another thing in IPv4. */
	bool v6 = ret->prefix.addr.family == 6;
	ret->temporary = v6 && (flags & IFA_F_TEMPORARY) != 0;
	ret->deprecated = (flags & IFA_F_DEPRECATED) != 0;
	ret->tentative = v6 && (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
	return ip_is_set(&ret->prefix.addr);
}

static int read_addr(const struct nlmsghdr *h, void *arg)
{
	struct addresses *a = arg;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*ifa) ||
	    a->n == a->cap)
		return MNL_CB_OK;
	struct plat_addr x = { .ifindex = ifa->ifa_index, .prefix.len = ifa->ifa_prefixlen };
	const struct link *k = find_link(a->links, x.ifindex);
	if (k == NULL || !read_attributes(h, ifa, &x))
		return MNL_CB_OK;
	memcpy(x.ifname, k->ifname, sizeof(x.ifname));
	memcpy(x.mac, k->mac, sizeof(x.mac));
	x.up = (k->flags & IFF_UP) != 0;
	x.loopback = (k->flags & IFF_LOOPBACK) != 0;
	a->v[a->n++] = x;
	return MNL_CB_OK;
}

static int dump_links(struct lx_nl *nl, struct links *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	ret->n = 0;
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETLINK, NLM_F_DUMP);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return lx_nl_get(nl, h, read_link, ret);
}

static int dump_addresses(struct lx_nl *nl, struct addresses *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	ret->n = 0;
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	ifa->ifa_family = AF_UNSPEC;
	return lx_nl_get(nl, h, read_addr, ret);
}

int plat_addresses(struct plat *p, struct plat_addr *ret, size_t cap)
{
	struct links links = { 0 };
	struct addresses a = { .links = &links, .v = ret, .cap = LN_MIN(cap, (size_t)INT32_MAX) };
	int r = -EINTR;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		r = dump_links(&p->nl, &links);
		if (r == 0)
			r = dump_addresses(&p->nl, &a);
	}
	free(links.v);
	return r < 0 ? r : (int)a.n;
}
