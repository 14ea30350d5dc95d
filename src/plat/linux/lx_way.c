#include "src/plat/linux/lx_way.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct ip_addr address_of(const struct nlattr *attr)
{
	struct ip_addr a = { 0 };
	size_t n = mnl_attr_get_payload_len(attr);
	if (n != 4 && n != 16)
		return a;
	a.family = n == 4 ? 4 : 6;
	memcpy(a.b, mnl_attr_get_payload(attr), n);
	return a;
}

static int read_way(const struct nlmsghdr *h, void *arg)
{
	struct plat_way *ret = arg;
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*rt))
		return MNL_CB_OK;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*rt))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_OIF:
			if (mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
				ret->ifindex = mnl_attr_get_u32(attr);
			break;
		case RTA_GATEWAY:
			ret->gateway = address_of(attr);
			break;
		case RTA_PREFSRC:
			ret->source = address_of(attr);
			break;
		}
	}
	/* One answer and no end of a dump: nothing more comes. */
	return MNL_CB_STOP;
}

int lx_way_find(struct lx_nl *nl, const struct ip_addr *to, uint32_t mark, struct plat_way *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct plat_way way = { 0 };
	struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETROUTE, 0);
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = to->family == 4 ? AF_INET : AF_INET6;
	rt->rtm_dst_len = (uint8_t)ip_bits(to);
	mnl_attr_put(h, RTA_DST, ip_bits(to) / 8, to->b);
	if (mark != 0)
		mnl_attr_put_u32(h, RTA_MARK, mark);
	int r = lx_nl_get(nl, h, read_way, &way);
	if (r == 0)
		*ret = way;
	return r;
}
