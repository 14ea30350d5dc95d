#pragma once
/*
 * The nftables side of one network: one table per family, named by the caller, replaced as a whole
 * in one transaction of `nft -j -f -`. The chains and their meaning are those of spec agent 5.2:
 *
 *	chain netbird-acl-input-rules  { <drop rules> ct state established,related accept <rules> }
 *	chain netbird-acl-input-filter { hook input; iifname X jump input-rules; iifname X drop }
 *
 * Everything that goes into the text is a number, an address or a name that lx_nft_name_ok() or
 * lx_nft_ifname_ok() has passed.
 */
#include "lib/base/str.h"

#include "src/plat/plat.h"

#define LX_NFT_MARK_LEN 16

struct lx_nft_facts {                   /* what a listing of one table must show */
	char mark[LX_NFT_MARK_LEN + 1]; /* digest of the whole text, in a comment */
	unsigned handles[2];            /* table, chains, sets, rules; for ip and ip6 */
};

bool lx_nft_name_ok(const char *table);
bool lx_nft_ifname_ok(const char *ifname);

/*
 * Writes the transaction for `want` (filter is true). ipv6: the kernel has IPv6, so a second table
 * is made. LN_E_LIMIT, LN_E_MALFORMED.
 */
LN_MUST_CHECK int lx_nft_text(const struct plat_want *want, bool ipv6, struct str *dst,
			      struct lx_nft_facts *ret);
/* The transaction that leaves no table of that name, whether or not there was one. */
void lx_nft_text_remove(const char *table, bool ipv6, struct str *dst);

/* Runs the transaction: 0, or the reason in words in f. -ENOENT: the program nft is missing. */
LN_MUST_CHECK int lx_nft_run(const struct str *text, struct ln_fail *f);
/* Lists the tables: 0 as made, LN_E_STALE when somebody changed or removed them. */
LN_MUST_CHECK int lx_nft_check(const char *table, bool ipv6, const struct lx_nft_facts *facts,
			       struct ln_fail *f);
