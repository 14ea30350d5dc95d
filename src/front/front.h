#pragma once
/*
 * The public TCP port: one listener for everything. The first bytes decide (TLS, HTTP/2 preface,
 * else HTTP/1.1), then the content type (gRPC) and the path (rows) do. Services register methods in
 * the gRPC server and rows here; none opens the port itself.
 *
 * Bounded against strangers: connections in all and per source, connections that have not yet said
 * what they are, and the time they may take for it. With a certificate clear text is refused.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#include "src/ev/ev.h"

struct front;
struct front_request;
struct grpc_server;
struct net_stream;

struct front_limits {
	unsigned max_conns;      /* 0 = what the descriptor limit allows, less a reserve */
	unsigned max_per_source; /* one IPv4 address or IPv6 /64; 0 = 2048 */
	unsigned max_half_open;  /* then nobody new is accepted; 0 = 500 */
	ln_time first_limit;     /* TLS handshake and first request or preface; 0 = 10 s */
	size_t max_body;         /* of a request that is not gRPC; 0 = 1 MiB */
};

struct front_conf {
	const struct ip_ep *listen; /* family 0 = every address, both families */
	size_t nlisten;
	const char *cert_file; /* PEM; both null = clear text */
	const char *key_file;
	struct grpc_server *grpc; /* outlives the front */
	struct front_limits limits;
};

/*
 * One thing to serve. `path` is exact, or a prefix when it ends in '/' followed by '*'. The first
 * row that fits wins. handle() owns rq until it calls front_reply(), at once or later.
 */
struct front_row {
	const char *path;
	void *service;
	void (*handle)(void *service, struct front_request *rq);
};

/* -errno or LN_E_MALFORMED with the reason in f. */
LN_MUST_CHECK int front_new(struct ev_loop *l, const struct front_conf *conf, struct front **ret,
			    struct ln_fail *f);
void front_add(struct front *fr, const struct front_row *rows, size_t n); /* rows stay valid */
uint16_t front_port(const struct front *fr, size_t listener);
size_t front_conns(const struct front *fr);
/* SIGHUP: reads the certificate again; on failure the old one stays. No-op without TLS. */
LN_MUST_CHECK int front_reload_tls(struct front *fr, struct ln_fail *f);
/* TLS is on and its certificate is valid at this moment. */
bool front_tls_valid(const struct front *fr);
/* No new connections, GOAWAY; done(arg) when all are gone or `limit` has passed. */
void front_drain(struct front *fr, ln_time limit, void (*done)(void *arg), void *arg);
void front_free(struct front *fr); /* before the gRPC server; closed() of calls still come */

const char *front_request_method(const struct front_request *rq);
const char *front_request_path(const struct front_request *rq);  /* without the query */
const char *front_request_query(const struct front_request *rq); /* behind '?'; "" without one */
const char *front_request_header(const struct front_request *rq, const char *name); /* or null */
struct slice front_request_body(const struct front_request *rq);
const struct ip_ep *front_request_peer(const struct front_request *rq);
/* Answers and frees rq; content and text are copied. Exactly once, also when the peer is gone. */
void front_reply(struct front_request *rq, int status, const char *content_type,
		 struct slice content);

/*
 * A connection that leaves HTTP (Upgrade): the taker owns the stream and answers 101 itself. The
 * place it holds among the front's connections is given back when the stream has ended; it may
 * outlive the front.
 */
struct front_place;

struct front_taken {
	struct net_stream *stream; /* set its owner before returning from the handler */
	struct front_place *place;
};

/*
 * Takes the connection of rq and frees rq. LN_E_UNSUPPORTED: the request did not come by HTTP/1.1;
 * LN_E_CLOSED: the peer is gone. Then rq is still to be answered with front_reply().
 */
LN_MUST_CHECK int front_take(struct front_request *rq, struct front_taken *ret);
void front_place_give(struct front_place *p);
