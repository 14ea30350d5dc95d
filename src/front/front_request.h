#pragma once
/*
 * A request that is not gRPC, whichever HTTP brought it. Private to src/front: each transport makes
 * one, and gets the answer through `answer` unless it has let go before (transport null).
 */
#include "lib/base/str.h"

#include "src/front/front.h"
#include "src/net/net_headers.h"

struct front_request {
	char *method; /* owned, like all below */
	char *path;
	char *query;
	struct net_headers headers;
	struct str body;
	struct ip_ep peer;
	void *transport; /* null: the peer is gone */
	/* Null: not by HTTP/1.1. */
	void (*take)(void *transport, struct front_taken *ret);
	void (*answer)(void *transport, int status, const char *content_type, struct slice content);
};

/* target is split at '?'. */
struct front_request *front_request_new(const char *method, const char *target);
void front_request_free(struct front_request *rq);
/* Gives rq to its row, or answers 404. */
void front_dispatch(struct front *fr, struct front_request *rq);
size_t front_max_body(const struct front *fr);
const char *front_reason(int status); /* "Not Found" */
