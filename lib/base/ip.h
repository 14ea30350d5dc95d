#pragma once
/*
 * IP addresses, endpoints and prefixes as plain values in network byte order.
 *
 * An IPv4 address uses bytes 0..3 of `b`; the rest is zero, so two values compare with memcmp.
 * IPv4-mapped IPv6 addresses are turned into IPv4 by every reader here: normalise once, then match.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct ip_addr {
	uint8_t family; /* 4, 6, or 0 for none */
	uint8_t b[16];
};

struct ip_ep {
	struct ip_addr addr;
	uint16_t port; /* host byte order */
};

struct ip_prefix {
	struct ip_addr addr; /* host bits may be set: ip_prefix_mask() clears them */
	uint8_t len;
};

#define IP_TEXT_MAX 46 /* longest address with its zero */
#define IP_EP_TEXT_MAX 56
#define IP_PREFIX_TEXT_MAX 50

struct sockaddr;
struct sockaddr_storage;

static inline bool ip_is_set(const struct ip_addr *a)
{
	return a->family != 0;
}

static inline unsigned ip_bits(const struct ip_addr *a)
{
	return a->family == 4 ? 32 : a->family == 6 ? 128 : 0;
}

struct ip_addr ip_v4(uint32_t host_order);
uint32_t ip_to_u32(const struct ip_addr *a); /* IPv4 only, host order */
/* 4 or 16 bytes; LN_E_MALFORMED for another length. */
LN_MUST_CHECK int ip_from_bytes(struct slice bytes, struct ip_addr *ret);
LN_MUST_CHECK int ip_parse(struct slice text,
			   struct ip_addr *ret); /* literal, no zone, no brackets */
void ip_format(const struct ip_addr *a, char dst[IP_TEXT_MAX]);
int ip_cmp(const struct ip_addr *a, const struct ip_addr *b); /* v4 before v6, then bytes */
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
bool ip_is_loopback(const struct ip_addr *a);
bool ip_is_link_local(const struct ip_addr *a);
bool ip_is_multicast(const struct ip_addr *a); /* broadcast 255.255.255.255 counts too */
bool ip_is_unspecified(const struct ip_addr *a);
bool ip_is_private(const struct ip_addr *a); /* RFC 1918, 100.64/10, fc00::/7 */

bool ip_ep_equal(const struct ip_ep *a, const struct ip_ep *b);
/* "1.2.3.4:5" or "[::1]:5". */
LN_MUST_CHECK int ip_ep_parse(struct slice text, struct ip_ep *ret);
void ip_ep_format(const struct ip_ep *e, char dst[IP_EP_TEXT_MAX]);
/* sockaddr_in or sockaddr_in6; returns its length. Zero length for family 0. */
unsigned ip_ep_to_sockaddr(const struct ip_ep *e, struct sockaddr_storage *ret);
LN_MUST_CHECK int ip_ep_from_sockaddr(const struct sockaddr *sa, struct ip_ep *ret);

/* "a.b.c.d/len"; without a slash the length is 32 or 128. */
LN_MUST_CHECK int ip_prefix_parse(struct slice text, struct ip_prefix *ret);
void ip_prefix_format(const struct ip_prefix *p, char dst[IP_PREFIX_TEXT_MAX]);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
struct ip_prefix ip_prefix_mask(const struct ip_prefix *p);
struct ip_prefix ip_prefix_host(const struct ip_addr *a); /* /32 or /128 */
/*
 * Compact form: address bytes then one length byte, 5 or 17 bytes (spec management-protocol 1.5).
 * LN_E_MALFORMED for another size or a length beyond the family's.
 */
LN_MUST_CHECK int ip_prefix_from_compact(struct slice bytes, struct ip_prefix *ret);
size_t ip_prefix_to_compact(const struct ip_prefix *p, uint8_t dst[17]);
