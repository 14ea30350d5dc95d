#pragma once
/*
 * The header fields of one HTTP message, in one block of memory: "name\0value\0" and so on, names
 * in lower case as HTTP/2 demands. Bounded in bytes and in number.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define NET_HEADERS_BYTES (32u << 10)
#define NET_HEADERS_COUNT 128

struct net_headers {
	char *p;
	size_t n;
	size_t cap;
	unsigned count;
};

/* LN_E_LIMIT when the block is full, LN_E_MALFORMED for a zero byte inside. */
LN_MUST_CHECK int net_headers_add(struct net_headers *h, struct slice name, struct slice value);
/* First value of that name, or null. */
const char *net_headers_get(const struct net_headers *h, const char *name);
void net_headers_trim(struct net_headers *h); /* no more will come: give back spare memory */
void net_headers_fini(struct net_headers *h);
