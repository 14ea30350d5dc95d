#include "src/net/net_http1.h"

#include <llhttp.h>
#include <stdlib.h>

struct net_http1 {
	llhttp_t parser;
	llhttp_settings_t settings;
	struct net_http1_request rq;
	struct str target;
	struct str name;
	struct str value;
	int err; /* what a callback refused */
	bool complete;
	bool idle;
};

static struct net_http1 *self(llhttp_t *p)
{
	return ln_container(p, struct net_http1, parser);
}

static int refuse(struct net_http1 *h, int err)
{
	h->err = err;
	return HPE_USER;
}

static int append(struct net_http1 *h, struct str *b, const char *at, size_t n)
{
	str_addn(b, at, n);
	return b->err != 0 ? refuse(h, LN_E_LIMIT) : 0;
}

static int on_begin(llhttp_t *p)
{
	self(p)->idle = false;
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
	return append(self(p), &self(p)->target, at, n);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	return append(self(p), &self(p)->name, at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	return append(self(p), &self(p)->value, at, n);
}

static int on_value_complete(llhttp_t *p)
{
	struct net_http1 *h = self(p);
	for (size_t i = 0; i < h->name.n; i++)
		if (h->name.s[i] >= 'A' && h->name.s[i] <= 'Z')
			h->name.s[i] |= 0x20;
	int r = net_headers_add(&h->rq.headers, str_slice(&h->name), str_slice(&h->value));
	str_clear(&h->name);
	str_clear(&h->value);
	return r != 0 ? refuse(h, r) : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	return append(self(p), &self(p)->rq.body, at, n);
}

static int on_complete(llhttp_t *p)
{
	struct net_http1 *h = self(p);
	h->complete = true;
	h->rq.method = llhttp_method_name(p->method);
	h->rq.target = str_c(&h->target);
	h->rq.keep_alive = llhttp_should_keep_alive(p) != 0 && p->upgrade == 0;
	return HPE_PAUSED;
}

struct net_http1 *net_http1_new(size_t max_body)
{
	struct net_http1 *h = ln_alloc(sizeof(*h));
	llhttp_settings_init(&h->settings);
	h->settings.on_message_begin = on_begin;
	h->settings.on_url = on_url;
	h->settings.on_header_field = on_field;
	h->settings.on_header_value = on_value;
	h->settings.on_header_value_complete = on_value_complete;
	h->settings.on_body = on_body;
	h->settings.on_message_complete = on_complete;
	llhttp_init(&h->parser, HTTP_REQUEST, &h->settings);
	str_init(&h->target, NET_HTTP1_TARGET_MAX);
	str_init(&h->name, 1024);
	str_init(&h->value, NET_HEADERS_BYTES);
	str_init(&h->rq.body, max_body);
	h->idle = true;
	return h;
}

void net_http1_free(struct net_http1 *h)
{
	if (h == NULL)
		return;
	str_fini(&h->target);
	str_fini(&h->name);
	str_fini(&h->value);
	str_fini(&h->rq.body);
	net_headers_fini(&h->rq.headers);
	free(h);
}

int net_http1_input(struct net_http1 *h, struct slice *in)
{
	ln_assert(!h->complete);
	if (h->err != 0)
		return h->err;
	if (in->n == 0)
		return 0;
	llhttp_errno_t e = llhttp_execute(&h->parser, (const char *)in->p, in->n);
	if (e == HPE_OK) {
		*in = slice_after(*in, in->n);
		return 0;
	}
	if (h->complete && (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE)) {
		const char *pos = llhttp_get_error_pos(&h->parser);
		*in = slice_after(*in, (size_t)((const uint8_t *)pos - in->p));
		return 1;
	}
	if (h->err == 0)
		h->err = LN_E_MALFORMED;
	return h->err;
}

struct net_http1_request *net_http1_get(struct net_http1 *h)
{
	return &h->rq;
}

void net_http1_next(struct net_http1 *h)
{
	str_fini(&h->target);
	str_fini(&h->rq.body);
	net_headers_fini(&h->rq.headers);
	h->complete = false;
	h->idle = true;
	llhttp_resume(&h->parser);
}

bool net_http1_is_idle(const struct net_http1 *h)
{
	return h->idle;
}
