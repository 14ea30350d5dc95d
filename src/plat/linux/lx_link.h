#pragma once
/*
 * Links, addresses and routes of one interface over rtnetlink. Each call is one request (or one
 * dump) and reports the kernel's answer as it is; what a refusal means is decided above.
 */
#include <stdbool.h>

#include "lib/base/ip.h"

#include "src/plat/linux/lx_nl.h"
#include "src/plat/plat_diff.h"

/* Marks our routes in the kernel's tables (rtm_protocol); 0x4e is free in iproute2's rt_protos. */
#define LX_ROUTE_PROTOCOL 0x4e

struct lx_link {
	unsigned ifindex;
	unsigned mtu;
	unsigned txqueuelen;
	unsigned group;
	bool up;
	bool tunnel;    /* of a kind we work on: tun, wireguard, dummy (tests) */
	bool wireguard; /* the kernel's own WireGuard */
	bool fresh;     /* nobody has chosen a queueing discipline yet, not even the kernel */
};

/* -ENODEV when no interface has that name. */
LN_MUST_CHECK int lx_link_find(struct lx_nl *nl, const char *ifname, struct lx_link *ret);
/* Changes MTU, queue length (0 = leave either) and administrative state in one request. */
LN_MUST_CHECK int lx_link_set(struct lx_nl *nl, unsigned ifindex, unsigned mtu, unsigned txqueuelen,
			      bool up);
LN_MUST_CHECK int lx_link_set_group(struct lx_nl *nl, unsigned ifindex, unsigned group);
/* No queueing discipline. */
LN_MUST_CHECK int lx_link_set_noqueue(struct lx_nl *nl, unsigned ifindex);

/* A link of type wireguard, down. -EOPNOTSUPP: the kernel knows no such type; -EEXIST. */
LN_MUST_CHECK int lx_link_add_wireguard(struct lx_nl *nl, const char *ifname, unsigned mtu);
LN_MUST_CHECK int lx_link_del(struct lx_nl *nl, unsigned ifindex);

/* Addresses of the interface without IPv6 link-local ones (those are the kernel's). */
LN_MUST_CHECK int lx_addr_list(struct lx_nl *nl, unsigned ifindex, struct plat_prefixes *ret);
LN_MUST_CHECK int lx_addr_add(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p);
LN_MUST_CHECK int lx_addr_del(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p);

/* Routes of ours (protocol) through the interface in the main table. */
LN_MUST_CHECK int lx_route_list(struct lx_nl *nl, unsigned ifindex, struct plat_prefixes *ret);
/* -EEXIST when somebody else holds the same destination. */
LN_MUST_CHECK int lx_route_add(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p);
LN_MUST_CHECK int lx_route_del(struct lx_nl *nl, unsigned ifindex, const struct ip_prefix *p);
