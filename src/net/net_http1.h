#pragma once
/*
 * HTTP/1.1 requests, server side: llhttp below, one bounded request at a time above. Owned by its
 * connection; knows no socket. After a whole request the owner answers and calls net_http1_next().
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"

#include "src/net/net_headers.h"

#define NET_HTTP1_TARGET_MAX 8192

struct net_http1;

struct net_http1_request {
	const char *method; /* static */
	const char *target; /* as sent: path and query */
	struct net_headers headers;
	struct str body;
	bool keep_alive;
};

struct net_http1 *net_http1_new(size_t max_body);
void net_http1_free(struct net_http1 *h);
/*
 * Takes bytes from the front of *in. 1: a whole request, in net_http1_get(). 0: more is needed.
 * LN_E_MALFORMED or LN_E_LIMIT: answer 400 or 413 and close.
 */
LN_MUST_CHECK int net_http1_input(struct net_http1 *h, struct slice *in);
struct net_http1_request *net_http1_get(struct net_http1 *h);
void net_http1_next(struct net_http1 *h);
/* Nothing of a next request was seen yet. */
bool net_http1_is_idle(const struct net_http1 *h);
