#include "lib/base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct ip_addr ip_v4(uint32_t host_order)
{
	struct ip_addr a = { .family = 4 };
	uint32_t be = htonl(host_order);
	memcpy(a.b, &be, sizeof(be));
	return a;
}

uint32_t ip_to_u32(const struct ip_addr *a)
{
	uint32_t be;
	memcpy(&be, a->b, sizeof(be));
	return ntohl(be);
}

int ip_from_bytes(struct slice bytes, struct ip_addr *ret)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	struct ip_addr a = { 0 };
	if (bytes.n == 16 && memcmp(bytes.p, mapped, sizeof(mapped)) == 0)
		bytes = slice_after(bytes, sizeof(mapped));
	if (bytes.n != 4 && bytes.n != 16)
		return LN_E_MALFORMED;
	a.family = bytes.n == 4 ? 4 : 6;
	memcpy(a.b, bytes.p, bytes.n);
	*ret = a;
	return 0;
}

int ip_parse(struct slice text, struct ip_addr *ret)
{
	char buf[IP_TEXT_MAX];
	uint8_t raw[16];
	if (text.n == 0 || text.n >= sizeof(buf) || memchr(text.p, 0, text.n) != NULL)
		return LN_E_MALFORMED;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	if (inet_pton(AF_INET, buf, raw) == 1)
		return ip_from_bytes(slice_of(raw, 4), ret);
	if (inet_pton(AF_INET6, buf, raw) == 1)
		return ip_from_bytes(slice_of(raw, 16), ret);
	return LN_E_MALFORMED;
}

void ip_format(const struct ip_addr *a, char dst[IP_TEXT_MAX])
{
	if (a->family == 0) {
		dst[0] = '\0';
		return;
	}
	inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, dst, IP_TEXT_MAX);
}

int ip_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return ip_cmp(a, b) == 0;
}

bool ip_is_loopback(const struct ip_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };
	return a->family == 4 ? a->b[0] == 127 : a->family == 6 && memcmp(a->b, one, 16) == 0;
}

bool ip_is_link_local(const struct ip_addr *a)
{
	if (a->family == 4)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->family == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ip_is_multicast(const struct ip_addr *a)
{
	if (a->family == 4)
		return (a->b[0] & 0xf0) == 0xe0 || ip_to_u32(a) == 0xffffffffu;
	return a->family == 6 && a->b[0] == 0xff;
}

bool ip_is_unspecified(const struct ip_addr *a)
{
	static const uint8_t zero[16];
	return a->family != 0 && memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool ip_is_private(const struct ip_addr *a)
{
	if (a->family == 6)
		return (a->b[0] & 0xfe) == 0xfc;
	return a->family == 4 &&
	       (a->b[0] == 10 || (a->b[0] == 172 && (a->b[1] & 0xf0) == 16) ||
		(a->b[0] == 192 && a->b[1] == 168) || (a->b[0] == 100 && (a->b[1] & 0xc0) == 64));
}

bool ip_ep_equal(const struct ip_ep *a, const struct ip_ep *b)
{
	return a->port == b->port && ip_equal(&a->addr, &b->addr);
}

/* Decimal without sign or space, at most `max`; -1 when it is not that. */
static long parse_number(struct slice text, long max)
{
	long v = 0;
	if (text.n == 0 || text.n > 5)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return -1;
		v = v * 10 + (text.p[i] - '0');
	}
	return v <= max ? v : -1;
}

static const uint8_t *last_char(struct slice s, int c)
{
	return s.n != 0 ? memrchr(s.p, c, s.n) : NULL;
}

int ip_ep_parse(struct slice text, struct ip_ep *ret)
{
	struct ip_ep e;
	const uint8_t *colon = last_char(text, ':');
	if (colon == NULL)
		return LN_E_MALFORMED;
	struct slice host = slice_of(text.p, (size_t)(colon - text.p));
	long port = parse_number(slice_after(text, host.n + 1), 65535);
	bool bracket = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (bracket)
		host = slice_of(host.p + 1, host.n - 2);
	if (port < 0 || ip_parse(host, &e.addr) != 0)
		return LN_E_MALFORMED;
	if (!bracket && memchr(host.p, ':', host.n) != NULL)
		return LN_E_MALFORMED;
	e.port = (uint16_t)port;
	*ret = e;
	return 0;
}

void ip_ep_format(const struct ip_ep *e, char dst[IP_EP_TEXT_MAX])
{
	char addr[IP_TEXT_MAX];
	ip_format(&e->addr, addr);
	snprintf(dst, IP_EP_TEXT_MAX, e->addr.family == 6 ? "[%s]:%u" : "%s:%u", addr, e->port);
}

unsigned ip_ep_to_sockaddr(const struct ip_ep *e, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (e->addr.family == 4) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ret;
		sin->sin_family = AF_INET;
		sin->sin_port = htons(e->port);
		memcpy(&sin->sin_addr, e->addr.b, 4);
		return sizeof(*sin);
	}
	if (e->addr.family == 6) {
		struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(e->port);
		memcpy(&sin6->sin6_addr, e->addr.b, 16);
		return sizeof(*sin6);
	}
	return 0;
}

int ip_ep_from_sockaddr(const struct sockaddr *sa, struct ip_ep *ret)
{
	struct ip_ep e = { 0 };
	int err = LN_E_UNSUPPORTED;
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)(const void *)sa;
		err = ip_from_bytes(slice_of(&sin->sin_addr, 4), &e.addr);
		e.port = ntohs(sin->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)(const void *)sa;
		err = ip_from_bytes(slice_of(&sin6->sin6_addr, 16), &e.addr);
		e.port = ntohs(sin6->sin6_port);
	}
	if (err == 0)
		*ret = e;
	return err;
}

int ip_prefix_parse(struct slice text, struct ip_prefix *ret)
{
	struct ip_prefix p;
	const uint8_t *slash = last_char(text, '/');
	struct slice addr = slash != NULL ? slice_of(text.p, (size_t)(slash - text.p)) : text;
	if (ip_parse(addr, &p.addr) != 0)
		return LN_E_MALFORMED;
	long len = (long)ip_bits(&p.addr);
	if (slash != NULL)
		len = parse_number(slice_after(text, addr.n + 1), len);
	if (len < 0)
		return LN_E_MALFORMED;
	p.len = (uint8_t)len;
	*ret = p;
	return 0;
}

void ip_prefix_format(const struct ip_prefix *p, char dst[IP_PREFIX_TEXT_MAX])
{
	char addr[IP_TEXT_MAX];
	ip_format(&p->addr, addr);
	snprintf(dst, IP_PREFIX_TEXT_MAX, "%s/%u", addr, p->len);
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
	if (p->addr.family != a->family || p->len > ip_bits(a))
		return false;
	size_t whole = p->len / 8;
	unsigned rest = p->len % 8;
	if (memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_equal(&a->addr, &b->addr);
}

struct ip_prefix ip_prefix_mask(const struct ip_prefix *p)
{
	struct ip_prefix m = *p;
	for (unsigned bit = p->len; bit < ip_bits(&p->addr); bit++)
		m.addr.b[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
	return m;
}

struct ip_prefix ip_prefix_host(const struct ip_addr *a)
{
	return (struct ip_prefix){ .addr = *a, .len = (uint8_t)ip_bits(a) };
}

int ip_prefix_from_compact(struct slice bytes, struct ip_prefix *ret)
{
	struct ip_prefix p = { 0 };
	if (bytes.n != 5 && bytes.n != 17)
		return LN_E_MALFORMED;
	p.addr.family = bytes.n == 5 ? 4 : 6;
	memcpy(p.addr.b, bytes.p, bytes.n - 1);
	p.len = bytes.p[bytes.n - 1];
	if (p.len > ip_bits(&p.addr))
		return LN_E_MALFORMED;
	*ret = p;
	return 0;
}

size_t ip_prefix_to_compact(const struct ip_prefix *p, uint8_t dst[17])
{
	size_t n = ip_bits(&p->addr) / 8;
	memcpy(dst, p->addr.b, n);
	dst[n] = p->len;
	return n + 1;
}
