#pragma once
/*
 * http(s)://host[:port][/...] as management, signal and public addresses are given. A path, query
 * or fragment is kept aside: gRPC dials host and port only (spec management-protocol 3.1).
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define URL_HOST_MAX 253
/* Host, brackets, colon, port and zero. */
#define URL_AUTHORITY_TEXT (URL_HOST_MAX + 9)

struct url {
	bool tls;                    /* https */
	bool host_is_v6;             /* an IPv6 literal, stored without brackets */
	bool port_given;             /* else port is the scheme's default, 443 or 80 */
	char host[URL_HOST_MAX + 1]; /* as written, but lower case */
	uint16_t port;
	struct slice path; /* from the first '/', '?' or '#' on; points into the input */
};

/* LN_E_MALFORMED with the reason in f; LN_E_UNSUPPORTED for another scheme. */
LN_MUST_CHECK int url_parse(struct slice text, struct url *ret, struct ln_fail *f);
/* 1 to 65535 in at most five digits, nothing else. LN_E_MALFORMED. */
LN_MUST_CHECK int url_parse_port(struct slice text, uint16_t *ret);
/* "host:port", with brackets around an IPv6 literal. */
void url_authority(const struct url *u, char dst[URL_AUTHORITY_TEXT]);
