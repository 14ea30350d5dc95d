#include "src/plat/linux/lx_watch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "src/plat/linux/lx_link.h"

static const int groups[] = { RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
			      RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
			      RTNLGRP_IPV6_RULE };

int lx_watch_open(struct lx_watch *w, struct ln_fail *f)
{
	*w = (struct lx_watch){ 0 };
	w->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (w->sock == NULL || mnl_socket_bind(w->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;
		lx_watch_close(w);
		return ln_fail(f, err, "cannot watch the network: %s", strerror(-err));
	}
	for (size_t i = 0; i < LN_COUNT(groups); i++) {
		int group = groups[i];
		/* Without IPv6 in the kernel its groups may be refused: nothing to watch then. */
		(void)mnl_socket_setsockopt(w->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	}
	return 0;
}

void lx_watch_close(struct lx_watch *w)
{
	if (w->sock != NULL)
		mnl_socket_close(w->sock);
	w->sock = NULL;
}

static bool link_event(const struct nlmsghdr *h, struct plat_event *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return false;
	*ret = (struct plat_event){ .kind = PLAT_EV_LINK,
				    .ifindex = (unsigned)ifi->ifi_index,
				    .gone = h->nlmsg_type == RTM_DELLINK };
	return true;
}

static bool address_event(const struct nlmsghdr *h, struct plat_event *ret)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifa))
		return false;
	*ret = (struct plat_event){ .kind = PLAT_EV_ADDRESS,
				    .ifindex = ifa->ifa_index,
				    .gone = h->nlmsg_type == RTM_DELADDR };
	return true;
}

/* Of the main table, and not our own; unicast default routes with their interface. */
static bool route_event(const struct nlmsghdr *h, struct plat_event *ret)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*rt) || rt->rtm_table != RT_TABLE_MAIN ||
	    rt->rtm_protocol == LX_ROUTE_PROTOCOL || (rt->rtm_flags & RTM_F_CLONED) != 0)
		return false;
	if (rt->rtm_dst_len != 0 || rt->rtm_type != RTN_UNICAST) {
		*ret = (struct plat_event){ .kind = PLAT_EV_ROUTES,
					    .gone = h->nlmsg_type == RTM_DELROUTE };
		return true;
	}
	*ret = (struct plat_event){ .kind = PLAT_EV_DEFAULT_ROUTE,
				    .gone = h->nlmsg_type == RTM_DELROUTE };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*rt))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF &&
		    mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			ret->ifindex = mnl_attr_get_u32(attr);
	}
	return true;
}

static bool event_of(const struct nlmsghdr *h, struct plat_event *ret)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_event(h, ret);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return address_event(h, ret);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_event(h, ret);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		*ret = (struct plat_event){ .kind = PLAT_EV_ROUTES,
					    .gone = h->nlmsg_type == RTM_DELRULE };
		return true;
	default:
		return false;
	}
}

/* One datagram into the buffer; false when none waits. */
static bool refill(struct lx_watch *w, bool *ret_overflow)
{
	ssize_t n;
	do {
		n = recv(mnl_socket_get_fd(w->sock), w->buf, sizeof(w->buf), MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	*ret_overflow = n < 0 && errno == ENOBUFS;
	w->at = 0;
	w->have = n > 0 ? (size_t)n : 0;
	return n > 0;
}

bool lx_watch_next(struct lx_watch *w, struct plat_event *ret)
{
	for (;;) {
		while (w->at < w->have) {
			const struct nlmsghdr *h = (const void *)(w->buf + w->at);
			if (!mnl_nlmsg_ok(h, (int)(w->have - w->at))) {
				w->at = w->have;
				break;
			}
			w->at += NLMSG_ALIGN(h->nlmsg_len);
			if (event_of(h, ret))
				return true;
		}
		bool overflow;
		if (refill(w, &overflow))
			continue;
		if (overflow)
			*ret = (struct plat_event){ .kind = PLAT_EV_ADDRESS };
		return overflow;
	}
}
