#pragma once
/*
 * DNS labels of peers from what a host calls itself (spec management-protocol 5.1): the text before
 * the first dot, punycode for what is not ASCII, every other character a hyphen, lower case, at
 * most 59 characters so that "-xxx-yyy" fits behind it.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"

#define STORE_LABEL_BASE_MAX 59
#define STORE_LABEL_TEXT 72 /* base, "-255-255", zero */

/*
 * dst has room for STORE_LABEL_TEXT. LN_E_MALFORMED when nothing but hyphens is left (an empty
 * name, "...") or the text is not UTF-8.
 */
LN_MUST_CHECK int store_label_base(const char *name, char dst[STORE_LABEL_TEXT]);
/* base + "-" + third + "-" + fourth byte of the address. */
void store_label_with_address(const char *base, const struct ip_addr *v4,
			      char dst[STORE_LABEL_TEXT]);
