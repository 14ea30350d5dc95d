#include "src/signal/signal_service.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/list.h"

#include "src/ev/ev.h"
#include "src/net/net_grpc.h"
#include "src/obs/obs_log.h"

#define MODULE "signal"
#define ID_HEADER "x-wiretrustee-peer-id"
#define REGISTERED_HEADER "x-wiretrustee-peer-registered"
#define LOG_EVERY (10 * LN_SEC)

/* One ConnectStream; user of its call and of its place in the hub. */
struct signal_peer {
	struct list link; /* in service->peers */
	struct signal_service *service;
	struct grpc_call *call;
	struct signal_stream *stream;
	bool ended; /* finished by us; only `closed` is still to come */
};

struct signal_service {
	struct ev_loop *loop;
	struct signal_hub *hub;
	struct signal_limit *limit;
	struct list peers;
	struct ev_timer timer;
	ln_time armed; /* what the timer is set to; LN_TIME_NEVER when it is not */
	size_t max_message;
	bool stopping;
	struct log_limit displaced_log, stuck_log, rate_log;
	struct grpc_method rows[2];
};

/* The first eight characters of an id, for the log. */
static struct slice short_id(const struct grpc_call *call)
{
	struct slice id = slice_str(grpc_call_header(call, ID_HEADER));
	id.n = LN_MIN(id.n, (size_t)8);
	return id;
}

/* --- the hub's outputs ------------------------------------------------------------------------*/

static void end_peer(struct signal_service *s, struct signal_peer *p, enum signal_hub_end reason,
		     ln_time now)
{
	p->ended = true;
	switch (reason) {
	case SIGNAL_HUB_DISPLACED:
		if (log_limit_pass(&s->displaced_log, now, LOG_EVERY))
			log_info(MODULE, "a peer registered again; two programs with one key?",
				 LOG_SLICE("peer", short_id(p->call)),
				 LOG_EP("old", grpc_call_peer(p->call)));
		grpc_call_finish(p->call, GRPC_UNKNOWN, "peer registered again");
		return;
	case SIGNAL_HUB_STUCK:
		if (log_limit_pass(&s->stuck_log, now, LOG_EVERY))
			log_warn(MODULE, "a peer takes no messages, its stream is ended",
				 LOG_SLICE("peer", short_id(p->call)),
				 LOG_EP("from", grpc_call_peer(p->call)));
		grpc_call_finish(p->call, GRPC_UNKNOWN, "message delivery timed out");
		return;
	}
}

static void deliver(const struct signal_hub_out *out)
{
	struct signal_peer *p = out->user;
	if (grpc_call_send(p->call, out->msg) < 0)
		log_debug(MODULE, "message lost, the stream breaks",
			  LOG_SLICE("peer", short_id(p->call)));
}

static void drain_hub(struct signal_service *s)
{
	struct signal_hub_out out;
	ln_time now = ev_now();
	while (signal_hub_poll(s->hub, now, &out)) {
		if (out.type == SIGNAL_HUB_END)
			end_peer(s, out.user, out.reason, now);
		else
			deliver(&out);
	}
	/* Deadlines only move away as streams make progress: an earlier alarm does no harm. */
	ln_time deadline = signal_hub_deadline(s->hub);
	if (deadline < s->armed) {
		s->armed = deadline;
		ev_timer_at(&s->timer, deadline);
	}
}

static void on_timer(struct ev_timer *t)
{
	struct signal_service *s = ln_container(t, struct signal_service, timer);
	s->armed = LN_TIME_NEVER;
	drain_hub(s);
}

/* --- ConnectStream ----------------------------------------------------------------------------*/

static void refuse(struct grpc_call *call, int err)
{
	if (err == LN_E_STALE)
		grpc_call_finish(call, GRPC_UNKNOWN, "peer already registered");
	else if (err == LN_E_LIMIT)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many peers are registered");
	else
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, ID_HEADER " is empty or too long");
}

static void stream_open(void *service, struct grpc_call *call)
{
	static const struct grpc_kv registered = { REGISTERED_HEADER, "1" };
	struct signal_service *s = service;
	struct signal_stream *stream;
	const char *id = grpc_call_header(call, ID_HEADER);
	if (s->stopping) {
		grpc_call_finish(call, GRPC_UNAVAILABLE, "the server is stopping");
		return;
	}
	if (id == NULL) {
		/* Plain headers first, as NetBird's server does it (spec 1.6). */
		if (grpc_call_send_headers(call, NULL, 0) == 0)
			grpc_call_finish(call, GRPC_FAILED_PRECONDITION,
					 "missing connection header: " ID_HEADER);
		return;
	}
	struct signal_peer *p = ln_alloc(sizeof(*p));
	int err = signal_hub_register(s->hub, ev_now(), slice_str(id), &grpc_call_peer(call)->addr,
				      p, &stream);
	if (err < 0) {
		free(p);
		refuse(call, err);
		drain_hub(s);
		return;
	}
	*p = (struct signal_peer){ .service = s, .call = call, .stream = stream };
	list_add_tail(&s->peers, &p->link);
	grpc_call_set_user(call, p);
	/* The mark goes out before any message; a failure means that `closed` follows. */
	if (grpc_call_send_headers(call, &registered, 1) < 0)
		p->ended = true;
	log_debug(MODULE, "registered", LOG_SLICE("peer", short_id(call)),
		  LOG_EP("from", grpc_call_peer(call)));
	drain_hub(s);
}

static void stream_writable(struct grpc_call *call)
{
	struct signal_peer *p = grpc_call_user(call);
	if (p == NULL || p->ended)
		return;
	signal_hub_ready(p->service->hub, p->stream);
	drain_hub(p->service);
}

static void stream_closed(struct grpc_call *call)
{
	struct signal_peer *p = grpc_call_user(call);
	if (p == NULL)
		return;
	log_debug(MODULE, "gone", LOG_SLICE("peer", short_id(call)));
	signal_hub_unregister(p->service->hub, p->stream);
	list_remove(&p->link);
	free(p);
}

/* --- Send -------------------------------------------------------------------------------------*/

static void send_message(struct grpc_call *call, struct slice msg)
{
	struct signal_service *s = grpc_call_user(call);
	struct signal_hub_out out;
	char text[64];
	ln_time now = ev_now();
	if (!signal_limit_pass(s->limit, now, &grpc_call_peer(call)->addr)) {
		if (log_limit_pass(&s->rate_log, now, LOG_EVERY))
			log_warn(MODULE, "a source sends too many messages, they are refused",
				 LOG_EP("from", grpc_call_peer(call)));
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
				 "too many messages from your address");
		return;
	}
	int err = signal_hub_send(s->hub, now, msg, &out);
	if (err > 0)
		deliver(&out);
	if (err == LN_E_LIMIT) {
		snprintf(text, sizeof(text), "the message is larger than %zu bytes",
			 s->max_message);
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, text);
		return;
	}
	if (err < 0) {
		grpc_call_finish(call, GRPC_INTERNAL, "the message is no EncryptedMessage");
		return;
	}
	/* An empty EncryptedMessage, whatever became of it (spec 1.5). */
	err = grpc_call_send(call, slice_of(NULL, 0));
	if (err == 0)
		grpc_call_finish(call, GRPC_OK, NULL);
	drain_hub(s);
}

static void send_open(void *service, struct grpc_call *call)
{
	grpc_call_set_user(call, service);
}

static void send_half_close(struct grpc_call *call)
{
	/* Without effect when the message has come and the call is finished. */
	grpc_call_finish(call, GRPC_INTERNAL, "the call carries no message");
}

/* --- life -------------------------------------------------------------------------------------*/

struct signal_service *signal_service_new(struct ev_loop *loop,
					  const struct signal_service_conf *conf)
{
	struct signal_service *s = ln_alloc(sizeof(*s));
	s->loop = loop;
	s->hub = signal_hub_new(&conf->hub, ev_rng());
	s->limit = signal_limit_new(&conf->limit, ev_rng());
	s->armed = LN_TIME_NEVER;
	s->max_message = conf->hub.max_message != 0 ? conf->hub.max_message : (size_t)64 << 10;
	list_init(&s->peers);
	ev_timer_init(&s->timer, loop, on_timer);
	s->rows[0] = (struct grpc_method){
		.path = "/signalexchange.SignalExchange/Send",
		.service = s,
		.open = send_open,
		.message = send_message,
		.half_close = send_half_close,
	};
	s->rows[1] = (struct grpc_method){
		.path = "/signalexchange.SignalExchange/ConnectStream",
		.service = s,
		.open = stream_open,
		/* What a client writes on its stream is lost, also at NetBird's (spec 1.3). */
		.writable = stream_writable,
		.closed = stream_closed,
	};
	return s;
}

void signal_service_register(struct signal_service *s, struct grpc_server *server)
{
	grpc_server_add(server, s->rows, LN_COUNT(s->rows));
}

void signal_service_stop(struct signal_service *s)
{
	s->stopping = true;
	list_for_each(it, &s->peers) {
		struct signal_peer *p = list_entry(it, struct signal_peer, link);
		if (p->ended)
			continue;
		p->ended = true;
		grpc_call_finish(p->call, GRPC_UNAVAILABLE, "the server is stopping");
	}
}

void signal_service_free(struct signal_service *s)
{
	if (s == NULL)
		return;
	ln_assert(list_empty(&s->peers));
	ev_timer_fini(&s->timer);
	signal_limit_free(s->limit);
	signal_hub_free(s->hub);
	free(s);
}

const struct signal_hub_counters *signal_service_counters(const struct signal_service *s)
{
	return signal_hub_counters(s->hub);
}
