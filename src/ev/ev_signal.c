#include <stdlib.h>

#include "src/ev/ev.h"
#include "src/ev/ev_internal.h"

struct signal_impl {
	uv_signal_t sig;
	struct ev_signal *owner;
};

static void on_signal(uv_signal_t *h, int signum)
{
	struct ev_signal *s = ln_container(h, struct signal_impl, sig)->owner;
	s->fn(s, signum);
}

static void on_closed(uv_handle_t *h)
{
	free(ln_container(h, struct signal_impl, sig));
}

int ev_signal_start(struct ev_signal *s, struct ev_loop *l, int signum,
		    void (*fn)(struct ev_signal *s, int signum))
{
	struct signal_impl *impl = ln_alloc(sizeof(*impl));
	impl->owner = s;
	*s = (struct ev_signal){ .fn = fn, .impl = impl };
	int r = uv_signal_init(&l->uv, &impl->sig);
	if (r != 0) {
		free(impl);
		s->impl = NULL;
		return r;
	}
	r = uv_signal_start(&impl->sig, on_signal, signum);
	if (r != 0)
		ev_signal_fini(s);
	return r;
}

void ev_signal_fini(struct ev_signal *s)
{
	struct signal_impl *impl = s->impl;
	if (impl == NULL)
		return;
	s->impl = NULL;
	uv_close((uv_handle_t *)&impl->sig, on_closed);
}
