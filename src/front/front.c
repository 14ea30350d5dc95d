#include "src/front/front.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/list.h"

#include "src/front/front_h2.h"
#include "src/front/front_http1.h"
#include "src/front/front_request.h"
#include "src/front/front_source.h"
#include "src/net/net_grpc_server.h"
#include "src/net/net_listen.h"
#include "src/net/net_stream.h"
#include "src/net/net_tls.h"
#include "src/obs/obs_log.h"

#define LISTEN_MAX 8
#define ROWS_MAX 64
#define FD_RESERVE 64           /* descriptors left for the store, logs and the like */
#define SHED_AFTER (2 * LN_SEC) /* of silence, when others wait to be let in */
#define TIDY_CONNS 256          /* came or gone: worth a look for free pages */
#define TIDY_AFTER (2 * LN_SEC)
#define KEEP_ALIVE (60 * LN_SEC)
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LEN 24
#define TLS_HANDSHAKE 22 /* first byte of a TLS record that begins a handshake */

struct front {
	struct ev_loop *loop;
	struct grpc_server *grpc;
	struct front_limits limits;
	char *cert_file;
	char *key_file;
	struct net_tls_ctx *tls;
	struct net_listen *listen[LISTEN_MAX];
	size_t nlisten;
	const struct front_row *rows[ROWS_MAX];
	size_t nrows;
	struct list conns;
	size_t nconns;
	struct list half_open; /* connections, oldest first */
	size_t nhalf_open;
	struct ev_timer shed_timer; /* runs while the listeners are paused */
	struct front_sources sources;
	bool draining;
	unsigned moved;       /* connections that came or went since the heap was tidied */
	struct ev_timer tidy; /* runs while that is many */
	struct ev_timer drain_timer;
	void (*drain_done)(void *arg);
	void *drain_arg;
	struct log_limit refused_log;
};

struct front_place {
	char unused;
};

/* One connection: sniffing, then exactly one of h2, http1 and taken. */
struct front_conn {
	struct list link;
	struct front *front; /* null once the front is gone */
	struct ev_loop *loop;
	struct front_source *source;
	struct front_place place;  /* what a taker holds */
	struct net_stream *stream; /* null when h2 or a taker has it */
	struct net_h2 *h2;
	struct front_http1 *http1;
	struct ip_ep peer;
	struct ev_timer timer; /* the first request; later keep-alive of HTTP/1.1 */
	struct list half_link; /* in front.half_open until it has said what it is */
	ln_time since;
	bool half_open;
	bool ended;
	bool over;  /* waits for the peer's FIN */
	bool taken; /* its stream has another owner; this is its front_place */
	uint8_t nfirst;
	uint8_t first[PREFACE_LEN];
};

/* --- the end of a connection ------------------------------------------------------------------*/

/*
 * With too many connections that have not said what they are, nobody new is let in: a storm of
 * agents waits in the kernel's queue for its turn. Who then stays silent loses his place.
 */
static void pause_check(struct front *fr)
{
	bool full = fr->nhalf_open >= fr->limits.max_half_open;
	for (size_t i = 0; i < fr->nlisten; i++)
		net_listen_pause(fr->listen[i], full);
	if (!full) {
		ev_timer_stop(&fr->shed_timer);
		return;
	}
	struct front_conn *oldest = list_entry(fr->half_open.next, struct front_conn, half_link);
	ev_timer_at(&fr->shed_timer, oldest->since + SHED_AFTER);
}

static void not_half_open(struct front_conn *c)
{
	struct front *fr = c->front;
	if (!c->half_open || fr == NULL)
		return;
	c->half_open = false;
	list_remove(&c->half_link);
	fr->nhalf_open--;
	if (fr->nhalf_open + 1 >= fr->limits.max_half_open)
		pause_check(fr);
}

/*
 * Handshakes leave holes: between what lives on lie buffers that were used for milliseconds. After
 * a storm their pages go back to the system (a third of the memory of 1,000 TLS connections).
 */
static void on_tidy(struct ev_timer *t)
{
	struct front *fr = ln_container(t, struct front, tidy);
	bool storm = fr->moved >= TIDY_CONNS / 16;
	fr->moved = 0;
	malloc_trim(0);
	if (storm) /* its tail is still to come */
		ev_timer_after(&fr->tidy, TIDY_AFTER);
}

static void conn_moved(struct front *fr)
{
	if (++fr->moved == TIDY_CONNS)
		ev_timer_after(&fr->tidy, TIDY_AFTER);
}

static void drain_check(struct front *fr)
{
	void (*done)(void *arg) = fr->drain_done;
	if (!fr->draining || done == NULL || fr->nconns != 0)
		return;
	fr->drain_done = NULL;
	ev_timer_stop(&fr->drain_timer);
	ev_defer(fr->loop, done, fr->drain_arg);
}

/* Everything but the HTTP/2 connection, which ends by itself and calls this last. */
static void conn_end(struct front_conn *c)
{
	if (c->ended)
		return;
	c->ended = true;
	not_half_open(c);
	list_remove(&c->link);
	front_http1_free(c->http1);
	net_stream_free(c->stream);
	ev_timer_fini(&c->timer);
	if (c->front != NULL) {
		front_source_give(&c->front->sources, c->source);
		c->front->nconns--;
		conn_moved(c->front);
		drain_check(c->front);
	}
	ev_defer_free(c->loop, c);
}

static void on_shed(struct ev_timer *t)
{
	struct front *fr = ln_container(t, struct front, shed_timer);
	if (list_empty(&fr->half_open))
		return;
	struct front_conn *oldest = list_entry(fr->half_open.next, struct front_conn, half_link);
	if (ev_now() < oldest->since + SHED_AFTER) {
		pause_check(fr);
		return;
	}
	if (log_limit_pass(&fr->refused_log, ev_now(), 5 * LN_SEC))
		log_warn("front", "silent connection closed to make room",
			 LOG_EP("peer", &oldest->peer),
			 LOG_UINT("before", fr->refused_log.dropped));
	if (oldest->h2 != NULL)
		net_h2_close(oldest->h2, LN_E_TIMEOUT, "no SETTINGS, and others wait");
	else
		conn_end(oldest);
	not_half_open(oldest);
}

/* The front forgets a connection that somebody else still holds. */
static void conn_detach(struct front_conn *c)
{
	struct front *fr = c->front;
	not_half_open(c);
	list_remove(&c->link);
	front_source_give(&fr->sources, c->source);
	c->front = NULL;
	fr->nconns--;
	drain_check(fr);
}

void front_place_give(struct front_place *p)
{
	conn_end(ln_container(p, struct front_conn, place));
}

static void on_conn_timer(struct ev_timer *t)
{
	conn_end(ln_container(t, struct front_conn, timer));
}

/* --- HTTP/2 -----------------------------------------------------------------------------------*/

static void h2_open(void *user, struct net_h2_stream *st)
{
	struct front_conn *c = user;
	if (c->front == NULL)
		net_h2_reset(st, NET_H2_REFUSED_STREAM);
	else if (grpc_server_wants(st) && c->front->grpc != NULL)
		grpc_server_open(c->front->grpc, st);
	else
		front_h2_open(c->front, c->loop, st);
}

static void h2_ready(void *user)
{
	not_half_open(user);
}

static void h2_closed(void *user, int err, const char *why)
{
	struct front_conn *c = user;
	if (err != 0 && err != LN_E_CLOSED)
		log_debug("front", "connection ended", LOG_EP("peer", &c->peer),
			  LOG_STR("reason", why));
	conn_end(c);
}

static const struct net_h2_ops h2_ops = { .open = h2_open, .ready = h2_ready, .closed = h2_closed };

static void become_h2(struct front_conn *c, struct slice rest)
{
	struct net_h2_conf conf;
	struct front *fr = c->front;
	if (fr->grpc != NULL)
		grpc_server_h2_conf(fr->grpc, &conf);
	else
		conf = (struct net_h2_conf){ .server = true,
					     .max_streams = 100,
					     .window = 1u << 20,
					     .keepalive = 30 * LN_SEC,
					     .keepalive_answer = 20 * LN_SEC,
					     .keepalive_idle = true };
	conf.settings_limit = fr->limits.first_limit;
	conf.peer = c->peer;
	ev_timer_stop(&c->timer);
	c->h2 = net_h2_new(c->loop, c->stream, &conf, &h2_ops, c);
	c->stream = NULL;
	net_h2_input(c->h2, slice_of(c->first, c->nfirst));
	if (!c->ended && rest.n != 0)
		net_h2_input(c->h2, rest);
}

/* --- HTTP/1.1 ---------------------------------------------------------------------------------*/

static void http1_idle(void *user)
{
	struct front_conn *c = user;
	not_half_open(c);
	if (c->front != NULL && c->front->draining)
		conn_end(c);
	else
		ev_timer_after(&c->timer, KEEP_ALIVE);
}

/* The last answer is out; closing now could destroy it on its way, so the peer ends first. */
static void http1_over(void *user)
{
	struct front_conn *c = user;
	c->over = true;
	not_half_open(c);
	ev_timer_after(&c->timer, 2 * LN_SEC);
}

/* The stream leaves; the connection stays to be counted until its place is given back. */
static void http1_take(void *user, struct front_taken *ret)
{
	struct front_conn *c = user;
	not_half_open(c);
	ev_timer_stop(&c->timer);
	c->taken = true;
	ret->stream = c->stream;
	ret->place = &c->place;
	c->stream = NULL;
	front_http1_free(c->http1);
	c->http1 = NULL;
}

static const struct front_http1_ops http1_ops = {
	.idle = http1_idle,
	.over = http1_over,
	.take = http1_take,
};

static void http1_data(struct front_conn *c, struct slice data)
{
	front_http1_input(c->http1, data);
	if (c->ended || c->over || c->taken || !front_http1_is_busy(c->http1))
		return;
	/* A whole request is with its handler, which may take its time. */
	not_half_open(c);
	ev_timer_stop(&c->timer);
}

static void become_http1(struct front_conn *c, struct slice rest)
{
	c->http1 = front_http1_new(c->front, c->loop, c->stream, &c->peer, &http1_ops, c);
	http1_data(c, slice_of(c->first, c->nfirst));
	if (!c->ended && !c->taken && rest.n != 0)
		http1_data(c, rest);
}

/* --- sniffing ---------------------------------------------------------------------------------*/

static void sniff(struct front_conn *c, struct slice data)
{
	while (data.n != 0 && c->nfirst < PREFACE_LEN) {
		uint8_t b = data.p[0];
		bool fits = b == (uint8_t)PREFACE[c->nfirst];
		c->first[c->nfirst++] = b;
		data = slice_after(data, 1);
		if (!fits) {
			become_http1(c, data);
			return;
		}
	}
	if (c->nfirst == PREFACE_LEN)
		become_h2(c, data);
}

static void on_data(void *user, struct slice data)
{
	struct front_conn *c = user;
	struct front *fr = c->front;
	if (c->over || c->ended)
		return;
	if (c->http1 != NULL) {
		http1_data(c, data);
	} else if (fr->tls == NULL || net_stream_is_tls(c->stream)) {
		sniff(c, data);
	} else if (data.p[0] == TLS_HANDSHAKE) {
		net_stream_start_tls(c->stream, net_tls_new(fr->tls, NULL), data);
	} else {
		log_debug("front", "clear text refused: this port speaks TLS",
			  LOG_EP("peer", &c->peer));
		conn_end(c);
	}
}

static void on_writable(void *user)
{
}

static void on_stream_closed(void *user, int err, const char *why)
{
	struct front_conn *c = user;
	if (err == LN_E_AUTH)
		log_debug("front", "TLS failed", LOG_EP("peer", &c->peer), LOG_STR("reason", why));
	conn_end(c);
}

static const struct net_stream_ops sniff_ops = {
	.data = on_data,
	.writable = on_writable,
	.closed = on_stream_closed,
};

/* --- accepting --------------------------------------------------------------------------------*/

static const char *refusal(struct front *fr, const struct ip_ep *peer, struct front_source **ret)
{
	if (fr->nconns >= fr->limits.max_conns)
		return "too many connections";
	*ret = front_source_take(&fr->sources, &peer->addr);
	return *ret == NULL ? "too many connections of one source" : NULL;
}

static void on_accept(void *user, int fd, const struct ip_ep *peer)
{
	struct front *fr = user;
	struct front_source *source = NULL;
	const char *why = refusal(fr, peer, &source);
	if (why != NULL) {
		if (log_limit_pass(&fr->refused_log, ev_now(), 5 * LN_SEC))
			log_warn("front", "connection refused", LOG_EP("peer", peer),
				 LOG_STR("reason", why),
				 LOG_UINT("refused_before", fr->refused_log.dropped));
		close(fd);
		return;
	}
	struct front_conn *c = ln_alloc(sizeof(*c));
	*c = (struct front_conn){ .front = fr, .loop = fr->loop, .source = source, .peer = *peer };
	if (net_stream_new(fr->loop, fd, NULL, &sniff_ops, c, &c->stream) != 0) {
		front_source_give(&fr->sources, source);
		free(c);
		return;
	}
	c->half_open = true;
	c->since = ev_now();
	list_add_tail(&fr->half_open, &c->half_link);
	fr->nhalf_open++;
	fr->nconns++;
	conn_moved(fr);
	list_add_tail(&fr->conns, &c->link);
	ev_timer_init(&c->timer, fr->loop, on_conn_timer);
	ev_timer_after(&c->timer, fr->limits.first_limit);
	if (fr->nhalf_open >= fr->limits.max_half_open)
		pause_check(fr);
}

/* --- rows -------------------------------------------------------------------------------------*/

static bool row_fits(const struct front_row *row, const char *path)
{
	size_t n = strlen(row->path);
	if (n >= 2 && strcmp(row->path + n - 2, "/*") == 0)
		return strncmp(row->path, path, n - 1) == 0;
	return strcmp(row->path, path) == 0;
}

static void plain_page(void *service, struct front_request *rq)
{
	const char *m = front_request_method(rq);
	if (strcmp(m, "GET") == 0 || strcmp(m, "HEAD") == 0)
		front_reply(rq, 200, "text/plain", slice_str("linnet server\n"));
	else
		front_reply(rq, 405, "text/plain", slice_str("method not allowed\n"));
}

static const struct front_row page_row = { .path = "/", .handle = plain_page };

void front_dispatch(struct front *fr, struct front_request *rq)
{
	const char *path = front_request_path(rq);
	for (size_t i = 0; i < fr->nrows; i++)
		if (row_fits(fr->rows[i], path)) {
			fr->rows[i]->handle(fr->rows[i]->service, rq);
			return;
		}
	if (row_fits(&page_row, path))
		plain_page(NULL, rq);
	else
		front_reply(rq, 404, "text/plain", slice_str("not found\n"));
}

void front_add(struct front *fr, const struct front_row *rows, size_t n)
{
	ln_assert(fr->nrows + n <= ROWS_MAX);
	for (size_t i = 0; i < n; i++)
		fr->rows[fr->nrows++] = &rows[i];
}

size_t front_max_body(const struct front *fr)
{
	return fr->limits.max_body;
}

/* --- life -------------------------------------------------------------------------------------*/

static void set_defaults(struct front_limits *l)
{
	struct rlimit rl = { .rlim_cur = 1024 };
	(void)getrlimit(RLIMIT_NOFILE, &rl);
	rlim_t most = rl.rlim_cur > 2 * FD_RESERVE ? rl.rlim_cur - FD_RESERVE : FD_RESERVE;
	if (l->max_conns == 0 || l->max_conns > most)
		l->max_conns = (unsigned)LN_MIN(most, (rlim_t)1000000);
	if (l->max_per_source == 0)
		l->max_per_source = 2048;
	if (l->max_half_open == 0)
		l->max_half_open = 500;
	if (l->first_limit == 0)
		l->first_limit = 10 * LN_SEC;
	if (l->max_body == 0)
		l->max_body = 1u << 20;
}

static void on_drain_limit(struct ev_timer *t)
{
	struct front *fr = ln_container(t, struct front, drain_timer);
	list_for_each_safe(it, &fr->conns) {
		struct front_conn *c = list_entry(it, struct front_conn, link);
		if (c->h2 != NULL)
			net_h2_close(c->h2, 0, "drained");
		else if (c->taken)
			conn_detach(c);
		else
			conn_end(c);
	}
}

int front_new(struct ev_loop *l, const struct front_conf *conf, struct front **ret,
	      struct ln_fail *f)
{
	if (conf->nlisten == 0 || conf->nlisten > LISTEN_MAX)
		return ln_fail(f, LN_E_LIMIT, "1 to %d listening addresses are needed", LISTEN_MAX);
	if ((conf->cert_file == NULL) != (conf->key_file == NULL))
		return ln_fail(f, LN_E_MALFORMED, "certificate and key belong together");
	struct front *fr = ln_alloc(sizeof(*fr));
	fr->loop = l;
	fr->grpc = conf->grpc;
	fr->limits = conf->limits;
	set_defaults(&fr->limits);
	list_init(&fr->conns);
	list_init(&fr->half_open);
	ev_timer_init(&fr->shed_timer, l, on_shed);
	front_sources_init(&fr->sources, fr->limits.max_per_source, ev_rng());
	ev_timer_init(&fr->drain_timer, l, on_drain_limit);
	ev_timer_init(&fr->tidy, l, on_tidy);
	int r = 0;
	if (conf->cert_file != NULL) {
		fr->cert_file = ln_strdup(conf->cert_file);
		fr->key_file = ln_strdup(conf->key_file);
		r = net_tls_ctx_server(fr->cert_file, fr->key_file, &fr->tls, f);
	}
	for (size_t i = 0; i < conf->nlisten && r == 0; i++) {
		r = net_listen_tcp(l, &conf->listen[i], on_accept, fr, &fr->listen[i], f);
		if (r == 0)
			fr->nlisten++;
	}
	if (r != 0) {
		front_free(fr);
		return r;
	}
	*ret = fr;
	return 0;
}

uint16_t front_port(const struct front *fr, size_t listener)
{
	return listener < fr->nlisten ? net_listen_port(fr->listen[listener]) : 0;
}

size_t front_conns(const struct front *fr)
{
	return fr->nconns;
}

int front_reload_tls(struct front *fr, struct ln_fail *f)
{
	struct net_tls_ctx *fresh;
	if (fr->tls == NULL)
		return 0;
	int r = net_tls_ctx_server(fr->cert_file, fr->key_file, &fresh, f);
	if (r != 0)
		return r;
	net_tls_ctx_free(fr->tls);
	fr->tls = fresh;
	return 0;
}

bool front_tls_valid(const struct front *fr)
{
	return fr->tls != NULL && net_tls_ctx_valid(fr->tls);
}

static void stop_listening(struct front *fr)
{
	for (size_t i = 0; i < fr->nlisten; i++)
		net_listen_free(fr->listen[i]);
	fr->nlisten = 0;
}

void front_drain(struct front *fr, ln_time limit, void (*done)(void *arg), void *arg)
{
	fr->draining = true;
	fr->drain_done = done;
	fr->drain_arg = arg;
	stop_listening(fr);
	ev_timer_after(&fr->drain_timer, limit);
	list_for_each_safe(it, &fr->conns) {
		struct front_conn *c = list_entry(it, struct front_conn, link);
		if (c->h2 != NULL)
			net_h2_drain(c->h2);
		else if (!c->taken && (c->http1 == NULL || front_http1_is_idle(c->http1)))
			conn_end(c);
	}
	drain_check(fr);
}

void front_free(struct front *fr)
{
	if (fr == NULL)
		return;
	stop_listening(fr);
	list_for_each_safe(it, &fr->conns) {
		struct front_conn *c = list_entry(it, struct front_conn, link);
		if (c->h2 == NULL && !c->taken) {
			conn_end(c);
			continue;
		}
		conn_detach(c);
		if (c->h2 != NULL)
			net_h2_close(c->h2, 0, "server ends");
	}
	front_sources_fini(&fr->sources);
	ev_timer_fini(&fr->drain_timer);
	ev_timer_fini(&fr->tidy);
	ev_timer_fini(&fr->shed_timer);
	net_tls_ctx_free(fr->tls);
	free(fr->cert_file);
	free(fr->key_file);
	ev_defer_free(fr->loop, fr);
}
