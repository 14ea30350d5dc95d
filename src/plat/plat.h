#pragma once
/*
 * The host's network as one desired state per network. The engine says what it wants; the platform
 * finds the difference and applies it. Message-shaped: nothing keeps the caller's pointers, no
 * callback crosses, so the same interface can later run over a socket to a privileged helper.
 *
 * Every object we make is recognisable (owner mark: the interface, route protocol 0x4e, rule
 * priorities, one nftables table per network) so that a later start can remove what a crash left.
 * Blocking calls, milliseconds each; call from the loop for small changes.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/crypto/key.h"

#define PLAT_IFNAME_MAX 16

struct plat_rule {               /* inbound filter on the overlay interface; spec agent 5.2, 5.3 */
	struct ip_prefix source; /* /0 = any */
	uint8_t protocol;        /* IP protocol number; 0 = all. 1 means ICMP in v4, ICMPv6 in v6 */
	uint16_t port_first;     /* 0 = all ports */
	uint16_t port_last;
	bool drop;
};

struct plat_want {
	char ifname[PLAT_IFNAME_MAX]; /* exists already (TUN) or is made (kernel WireGuard) */
	unsigned mtu;                 /* 0 = leave */
	unsigned txqueuelen;          /* packets; 0 = leave */
	bool up;
	const struct ip_prefix *addresses; /* with host bits: 100.90.1.2/16 */
	size_t naddresses;
	const struct ip_prefix *routes; /* via the interface, beyond the connected ones */
	size_t nroutes;
	/* Filter: absent = no table of ours (everything open). */
	bool filter;
	const char *filter_table; /* "netbird" by default; one per network */
	bool filter_allow_all;    /* old server without rules: accept everything */
	const struct plat_rule *rules;
	size_t nrules;
	uint32_t mark; /* of the network's own packets (plat_mark.h); 0: no routing rules */
};

struct plat;
/* state_dir: where the journal of undo information lies (0700). f: what is missing and what to do.
 */
LN_MUST_CHECK int plat_new(const char *state_dir, struct plat **ret, struct ln_fail *f);
void plat_free(struct plat *p); /* leaves the host as it is */
/*
 * Brings the host to `want`; applying the same twice sends nothing the second time. When the filter
 * cannot be set it stays as it was and nothing else is touched (never wider than before). Otherwise
 * everything possible is done and the first failure reported. LN_E_MALFORMED, LN_E_LIMIT: the want
 * itself; LN_E_CONFLICT: the table or the mark belongs to another network; LN_E_DENIED: the
 * interface is not a tunnel; -EPERM: CAP_NET_ADMIN; -ENOENT: the program nft; LN_E_UNSUPPORTED: no
 * nf_tables; -ENODEV.
 */
LN_MUST_CHECK int plat_apply(struct plat *p, const struct plat_want *want, struct ln_fail *f);
/*
 * Asks the kernel whether the filter of a network still is what was applied last (somebody may have
 * flushed it). 0; LN_E_STALE with what is wrong: the next plat_apply() sends it again;
 * LN_E_NOTFOUND when nothing was applied to the interface.
 */
LN_MUST_CHECK int plat_filter_check(struct plat *p, const char *ifname, struct ln_fail *f);
/* Removes everything of one network (by interface name and table), also what an earlier process
 * left. 0 also when there was nothing. */
LN_MUST_CHECK int plat_remove(struct plat *p, const char *ifname, const char *filter_table,
			      struct ln_fail *f);
/* Removes what the journal says earlier processes left behind. */
LN_MUST_CHECK int plat_recover(struct plat *p, struct ln_fail *f);

/* --- facts about the host ------------------------------------------------------------------- */

struct plat_addr {
	char ifname[PLAT_IFNAME_MAX];
	unsigned ifindex;
	struct ip_prefix prefix;
	uint8_t mac[6];
	bool up, loopback, temporary, deprecated, tentative;
};

/* Up to `cap` addresses of all interfaces; the number found, or -errno. */
LN_MUST_CHECK int plat_addresses(struct plat *p, struct plat_addr *ret, size_t cap);

struct plat_sysinfo { /* what management wants to know; spec agent 2.5 "System info" */
	char hostname[256], kernel[64], kernel_version[128], platform[64], os[128], os_version[64];
	char serial[128], product[128], manufacturer[128], cloud[64], environment[64];
};

void plat_sysinfo(struct plat *p, struct plat_sysinfo *ret);

struct plat_way { /* how packets leave this host */
	unsigned ifindex;
	struct ip_addr gateway; /* family 0: none, the destination is on the link */
	struct ip_addr source;  /* chosen by the kernel; family 0 unknown */
};

/* The route the kernel takes to an address now, for packets that bear `mark` (0 none).
 * -ENETUNREACH and the like when there is none. */
LN_MUST_CHECK int plat_way(struct plat *p, const struct ip_addr *to, uint32_t mark,
			   struct plat_way *ret);

/*
 * Changes of links, addresses, routes, routing rules and name servers: a descriptor that turns
 * readable, and what came.
 */
enum plat_event_kind {
	PLAT_EV_NONE,
	PLAT_EV_ADDRESS,
	PLAT_EV_DEFAULT_ROUTE,
	PLAT_EV_LINK,
	PLAT_EV_ROUTES, /* others of the main table, or routing rules: plat_mark_refresh() */
	PLAT_EV_DNS     /* the host asks other name servers, or in another way */
};

struct plat_event {
	enum plat_event_kind kind;
	unsigned ifindex;
	bool gone; /* link deleted, address or route removed */
};

int plat_event_fd(struct plat *p);
/* false when nothing is waiting. */
bool plat_event_next(struct plat *p, struct plat_event *ret);
