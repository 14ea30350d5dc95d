#pragma once
/* The address of a management server or dashboard: scheme, host, port (spec agent 1.1, 1.7). */
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct agent_url {
	bool tls;
	char host[256]; /* without brackets */
	uint16_t port;
	char path[128]; /* "" or "/..."; kept for the file, never dialled */
};

/* "http(s)://host[:port][/path]"; the port defaults to 443 or 80. LN_E_MALFORMED with a reason. */
LN_MUST_CHECK int agent_url_parse(struct slice text, struct agent_url *ret, struct ln_fail *f);
#define AGENT_URL_TEXT_MAX 416
void agent_url_format(const struct agent_url *u, char dst[AGENT_URL_TEXT_MAX]);
/* "host:port", brackets around IPv6. */
void agent_url_format_host(const struct agent_url *u, char dst[AGENT_URL_TEXT_MAX]);
/* Same server: path aside. */
bool agent_url_same_server(const struct agent_url *a, const struct agent_url *b);
/* "host:port" as servers send it for signal; "[v6]:port" too. LN_E_MALFORMED. */
LN_MUST_CHECK int agent_url_parse_host(struct slice text, uint16_t default_port, char host[256],
				       uint16_t *ret_port);
