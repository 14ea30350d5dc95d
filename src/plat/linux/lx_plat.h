#pragma once
/* Private to the Linux back end: the object behind plat.h. */
#include "lib/base/list.h"

#include "src/plat/linux/lx_dns.h"
#include "src/plat/linux/lx_journal.h"
#include "src/plat/linux/lx_nft.h"
#include "src/plat/linux/lx_nl.h"
#include "src/plat/linux/lx_watch.h"
#include "src/plat/plat.h"

struct lx_network { /* one per interface name that was applied */
	struct list node;
	struct lx_journal journal; /* as last written */
	bool journaled;
	bool journal_failed;       /* said already */
	char table[LX_TABLE_MAX];  /* our tables of that name are in the kernel; "" = none */
	struct lx_nft_facts facts; /* of what they hold */
	bool filter_current;       /* false: send the text again although its mark is equal */
	bool v6_refused;           /* said once per network */
	uint32_t mark;             /* its rules are in the kernel; 0 none */
	unsigned ifindex;          /* of the last plat_apply() */
	bool mark_complained;      /* said already */
};

struct plat {
	struct lx_nl nl;
	struct lx_watch watch;
	struct lx_dns dns;
	int event_fd; /* epoll over both */
	char *state_dir;
	struct list networks;
	bool ipv6;  /* the kernel has IPv6 */
	bool no_wg; /* it has no WireGuard: plat_wg_probe() has asked */
};

/* Writes what is wanted to be noted unless it is: on disk before anything it speaks of is done. */
LN_MUST_CHECK int lx_plat_journal(struct plat *p, struct lx_network *n, const struct lx_journal *j,
				  struct ln_fail *f);
