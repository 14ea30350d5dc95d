#include "lib/wire/url.h"

#include "lib/base/ip.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool take_scheme(struct slice *s, const char *scheme)
{
	size_t n = strlen(scheme);
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(s->p[i]) != (uint8_t)scheme[i])
			return false;
	*s = slice_after(*s, n);
	return true;
}

static bool is_host_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

int url_parse_port(struct slice s, uint16_t *ret)
{
	unsigned v = 0;
	if (s.n == 0 || s.n > 5)
		return LN_E_MALFORMED;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return LN_E_MALFORMED;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	if (v == 0 || v > 65535)
		return LN_E_MALFORMED;
	*ret = (uint16_t)v;
	return 0;
}

/* Splits "[v6]" or "name" from what follows it. */
static int take_host(struct slice *s, struct url *u, struct ln_fail *f)
{
	struct slice host = *s;
	if (s->n != 0 && s->p[0] == '[') {
		const uint8_t *end = memchr(s->p, ']', s->n);
		if (end == NULL)
			return ln_fail(f, LN_E_MALFORMED, "URL: ']' is missing");
		host = slice_of(s->p + 1, (size_t)(end - s->p) - 1);
		*s = slice_after(*s, host.n + 2);
		struct ip_addr a;
		if (ip_parse(host, &a) != 0 || memchr(host.p, ':', host.n) == NULL)
			return ln_fail(f, LN_E_MALFORMED, "URL: no IPv6 address in the brackets");
		u->host_is_v6 = true;
	} else {
		const uint8_t *colon = s->n != 0 ? memchr(s->p, ':', s->n) : NULL;
		if (colon != NULL)
			host.n = (size_t)(colon - s->p);
		*s = slice_after(*s, host.n);
	}
	if (host.n == 0)
		return ln_fail(f, LN_E_MALFORMED, "URL: the host is missing");
	if (host.n > URL_HOST_MAX)
		return ln_fail(f, LN_E_MALFORMED, "URL: the host is too long");
	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = lower(host.p[i]);
		if (!is_host_char(c) && !u->host_is_v6)
			return ln_fail(f, LN_E_MALFORMED,
				       "URL: the host holds a character that is not allowed");
		u->host[i] = (char)c;
	}
	u->host[host.n] = '\0';
	return 0;
}

int url_parse(struct slice text, struct url *ret, struct ln_fail *f)
{
	struct url u = { .port = 0 };
	struct slice s = text;
	if (take_scheme(&s, "https://"))
		u.tls = true;
	else if (!take_scheme(&s, "http://"))
		return ln_fail(f, LN_E_UNSUPPORTED, "URL: must begin with http:// or https://");
	size_t n = 0;
	while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	u.path = slice_after(s, n);
	s.n = n;
	int r = take_host(&s, &u, f);
	if (r != 0)
		return r;
	u.port = u.tls ? 443 : 80;
	if (s.n != 0) {
		if (s.p[0] != ':' || url_parse_port(slice_after(s, 1), &u.port) != 0)
			return ln_fail(f, LN_E_MALFORMED, "URL: the port must be 1 to 65535");
		u.port_given = true;
	}
	*ret = u;
	return 0;
}

void url_authority(const struct url *u, char dst[URL_AUTHORITY_TEXT])
{
	char *p = dst;
	char digits[5];
	size_t n = 0;
	size_t host = strlen(u->host);
	if (u->host_is_v6)
		*p++ = '[';
	memcpy(p, u->host, host);
	p += host;
	if (u->host_is_v6)
		*p++ = ']';
	*p++ = ':';
	for (unsigned v = u->port; v != 0; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	if (n == 0)
		*p++ = '0';
	while (n != 0)
		*p++ = digits[--n];
	*p = '\0';
}
