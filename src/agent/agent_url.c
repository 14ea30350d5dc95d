#include "src/agent/agent_url.h"

#include <stdio.h>
#include <strings.h>

#include "lib/wire/url.h"

static bool agent_url_host_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_' || c == ':';
}

int agent_url_parse_host(struct slice text, uint16_t default_port, char host[256],
			 uint16_t *ret_port)
{
	struct slice name = text, port = { 0 };
	if (text.n > 0 && text.p[0] == '[') {
		const uint8_t *end = memchr(text.p, ']', text.n);
		if (end == NULL)
			return LN_E_MALFORMED;
		size_t n = (size_t)(end - text.p);
		name = slice_of(text.p + 1, n - 1);
		struct slice rest = slice_after(text, n + 1);
		if (rest.n > 0 && rest.p[0] != ':')
			return LN_E_MALFORMED;
		if (rest.n > 0)
			port = slice_after(rest, 1);
		if (rest.n == 1)
			return LN_E_MALFORMED;
	} else {
		const uint8_t *colon = memrchr(text.p, ':', text.n);
		if (colon != NULL) {
			size_t n = (size_t)(colon - text.p);
			name = slice_of(text.p, n);
			port = slice_after(text, n + 1);
			if (port.n == 0 || memchr(name.p, ':', name.n) != NULL)
				return LN_E_MALFORMED;
		}
	}
	if (name.n == 0 || name.n > 255)
		return LN_E_MALFORMED;
	for (size_t i = 0; i < name.n; i++)
		if (!agent_url_host_char(name.p[i]))
			return LN_E_MALFORMED;
	uint16_t value = default_port;
	if (port.n > 0 && url_parse_port(port, &value) < 0)
		return LN_E_MALFORMED;
	memcpy(host, name.p, name.n);
	host[name.n] = '\0';
	*ret_port = value;
	return 0;
}

int agent_url_parse(struct slice text, struct agent_url *ret, struct ln_fail *f)
{
	struct agent_url u = { 0 };
	size_t skip;
	if (text.n >= 8 && strncasecmp((const char *)text.p, "https://", 8) == 0) {
		u.tls = true;
		skip = 8;
	} else if (text.n >= 7 && strncasecmp((const char *)text.p, "http://", 7) == 0) {
		skip = 7;
	} else {
		return ln_fail(f, LN_E_MALFORMED,
			       "a management URL begins with http:// or https://");
	}
	struct slice rest = slice_after(text, skip);
	const uint8_t *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
	struct slice authority = rest;
	if (slash != NULL) {
		authority.n = (size_t)(slash - rest.p);
		struct slice path = slice_after(rest, authority.n);
		if (path.n >= sizeof(u.path))
			return ln_fail(f, LN_E_MALFORMED, "the path of the URL is too long");
		if (path.n > 1)
			memcpy(u.path, path.p, path.n);
	}
	if (agent_url_parse_host(authority, u.tls ? 443 : 80, u.host, &u.port) < 0)
		return ln_fail(f, LN_E_MALFORMED,
			       "the URL needs a host name or address, and a port from 1 to 65535 "
			       "if it has one");
	*ret = u;
	return 0;
}

void agent_url_format_host(const struct agent_url *u, char dst[AGENT_URL_TEXT_MAX])
{
	bool v6 = strchr(u->host, ':') != NULL;
	(void)snprintf(dst, AGENT_URL_TEXT_MAX, v6 ? "[%s]:%u" : "%s:%u", u->host, u->port);
}

void agent_url_format(const struct agent_url *u, char dst[AGENT_URL_TEXT_MAX])
{
	bool v6 = strchr(u->host, ':') != NULL;
	(void)snprintf(dst, AGENT_URL_TEXT_MAX, v6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s",
		       u->tls ? "https" : "http", u->host, u->port, u->path);
}

bool agent_url_same_server(const struct agent_url *a, const struct agent_url *b)
{
	return a->tls == b->tls && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
