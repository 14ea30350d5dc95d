#include "src/net/net_grpc_call.h"

#include <stdlib.h>

/* Unfinished messages of one connection, all streams together. */
#define HELD_MAX (64u << 20)

static const char *const status_names[] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

const char *grpc_status_name(enum grpc_status s)
{
	return (size_t)s < LN_COUNT(status_names) ? status_names[s] : "UNKNOWN";
}

void grpc_call_init(struct grpc_call *c, struct ev_loop *l, size_t max_message, size_t queue_limit)
{
	list_init(&c->link);
	c->loop = l;
	c->queue_limit = queue_limit;
	c->out_last = &c->out_first;
	c->deadline = LN_TIME_NEVER;
	grpc_frame_reader_init(&c->in, max_message);
}

void grpc_call_free(struct grpc_call *c)
{
	list_remove(&c->link);
	(void)grpc_call_drop_queue(c);
	grpc_frame_reader_fini(&c->in);
	if (c->timer.impl != NULL)
		ev_timer_fini(&c->timer);
	free(c->text);
	free(c->details);
	ev_defer_free(c->loop, c);
}

void grpc_call_arm(struct grpc_call *c, ln_time at, void (*fn)(struct ev_timer *t))
{
	if (c->timer.impl == NULL)
		ev_timer_init(&c->timer, c->loop, fn);
	ev_timer_at(&c->timer, at);
}

void *grpc_call_user(const struct grpc_call *c)
{
	return c->user;
}

void grpc_call_set_user(struct grpc_call *c, void *user)
{
	c->user = user;
}

size_t grpc_call_queued(const struct grpc_call *c)
{
	return c->queued;
}

const char *grpc_call_header(const struct grpc_call *c, const char *name)
{
	return c->st != NULL ? net_headers_get(&c->st->headers, name) : NULL;
}

ln_time grpc_call_deadline(const struct grpc_call *c)
{
	return c->deadline;
}

struct grpc_msg *grpc_msg_new(size_t n)
{
	ln_assert(n <= UINT32_MAX);
	/* Not ln_alloc(): every byte will be written, and maps are large. */
	struct grpc_msg *m = malloc(sizeof(*m) + GRPC_FRAME_HEAD + n);
	ln_assert(m != NULL);
	m->next = NULL;
	m->n = GRPC_FRAME_HEAD + n;
	grpc_frame_head(m->data, (uint32_t)n);
	return m;
}

struct mslice grpc_msg_bytes(struct grpc_msg *m)
{
	return mslice_of(m->data + GRPC_FRAME_HEAD, m->n - GRPC_FRAME_HEAD);
}

void grpc_msg_free(struct grpc_msg *m)
{
	free(m);
}

/* Whether n more bytes of a message may be queued; sends the headers of a server's first one. */
static int send_check(struct grpc_call *c, size_t n)
{
	if (c->ended || c->half_closed)
		return LN_E_CLOSED;
	if (n > UINT32_MAX || n + GRPC_FRAME_HEAD > c->queue_limit ||
	    c->queued > c->queue_limit - n - GRPC_FRAME_HEAD)
		return LN_E_LIMIT;
	if (c->server != NULL && !c->headers_sent)
		return grpc_call_send_headers(c, NULL, 0);
	return 0;
}

static void enqueue(struct grpc_call *c, struct grpc_msg *m)
{
	*c->out_last = m;
	c->out_last = &m->next;
	c->queued += m->n;
	if (c->st != NULL)
		net_h2_wake(c->st);
}

int grpc_call_send(struct grpc_call *c, struct slice msg)
{
	int r = send_check(c, msg.n);
	if (r != 0)
		return r;
	struct grpc_msg *m = grpc_msg_new(msg.n);
	if (msg.n != 0)
		memcpy(grpc_msg_bytes(m).p, msg.p, msg.n);
	enqueue(c, m);
	return 0;
}

int grpc_call_send_msg(struct grpc_call *c, struct grpc_msg *m)
{
	int r = send_check(c, m->n - GRPC_FRAME_HEAD);
	if (r == 0)
		enqueue(c, m);
	else
		grpc_msg_free(m);
	return r;
}

size_t grpc_call_take(struct grpc_call *c, uint8_t *dst, size_t n)
{
	size_t done = 0;
	for (struct grpc_msg *m; done < n && (m = c->out_first) != NULL;) {
		size_t take = LN_MIN(n - done, m->n - c->out_off);
		memcpy(dst + done, m->data + c->out_off, take);
		done += take;
		c->out_off += take;
		if (c->out_off < m->n)
			break;
		c->out_first = m->next;
		c->out_off = 0;
		free(m);
	}
	if (c->out_first == NULL)
		c->out_last = &c->out_first;
	c->queued -= done;
	return done;
}

bool grpc_call_drop_queue(struct grpc_call *c)
{
	bool whole = c->out_off == 0;
	while (c->out_first != NULL) {
		struct grpc_msg *m = c->out_first;
		c->out_first = m->next;
		free(m);
	}
	c->out_last = &c->out_first;
	c->out_off = 0;
	c->queued = 0;
	return whole;
}

int grpc_call_next(struct grpc_call *c, struct slice *in, struct slice *ret_msg)
{
	int r = grpc_frame_read(&c->in, in, ret_msg);
	size_t *total = net_h2_held(c->st->h2);
	size_t held = grpc_frame_held(&c->in);
	*total += held;
	*total -= c->held;
	c->held = held;
	return r == 0 && held != 0 && *total > HELD_MAX ? LN_E_LIMIT : r;
}

void grpc_call_cancel(struct grpc_call *c)
{
	if (c->ended)
		return;
	if (c->server != NULL)
		grpc_server_cancel(c);
	else
		grpc_client_cancel(c);
}
