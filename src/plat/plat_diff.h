#pragma once
/*
 * The difference between what the kernel has and what is wanted, for addresses and routes, and the
 * list both are kept in. Pure: no kernel here, so the Linux back end and the fake use the same.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#define PLAT_PREFIXES_MAX 65536 /* addresses or routes on one interface */

struct plat_prefixes { /* owns v; plat_prefixes_fini() */
	struct ip_prefix *v;
	size_t n;
	size_t cap;
};

void plat_prefixes_fini(struct plat_prefixes *l);
/* LN_E_LIMIT beyond PLAT_PREFIXES_MAX. */
LN_MUST_CHECK int plat_prefixes_add(struct plat_prefixes *l, const struct ip_prefix *p);
/* Order: family, address bytes, length. Doubles are removed. */
void plat_prefixes_sort(struct plat_prefixes *l);

/*
 * Both lists sorted. ret_missing gets what is only in `want`, ret_extra what is only in `have`;
 * both are appended to. LN_E_LIMIT as above.
 */
LN_MUST_CHECK int plat_diff(const struct plat_prefixes *have, const struct plat_prefixes *want,
			    struct plat_prefixes *ret_missing, struct plat_prefixes *ret_extra);
