#include "src/agent/engine/engine_upnp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/obs/obs_log.h"

#define LIFE "7200" /* seconds, as for the other protocols (spec 3.4) */
#define RENEW LN_HOUR
#define TRY_AGAIN (15 * LN_MINUTE)
#define HELPER_LIMIT (15 * LN_SEC) /* it searches for up to two seconds and asks three times */
#define FAREWELL_LIMIT LN_SEC
#define ANSWER_MAX 512

struct engine_upnp {
	struct ev_loop *loop;
	struct ev_timer timer;
	engine_upnp_fn *fn;
	void *user;
	uint16_t port;
	bool running;
	struct ev_child *helper; /* at work; null: none */
	struct ip_ep mapped;
	char url[256]; /* of the gateway's description */
	char program[512];
};

/* Beside this program, or where packages put it. */
static void engine_upnp_find(char *dst, size_t size)
{
	static const char *const places[] = { "linnet-upnp", "../libexec/linnet/linnet-upnp" };
	char self[400];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	dst[0] = '\0';
	for (size_t i = 0; slash != NULL && i < LN_COUNT(places); i++) {
		slash[1] = '\0';
		(void)snprintf(dst, size, "%s%s", self, places[i]);
		if (access(dst, X_OK) == 0)
			return;
		dst[0] = '\0';
	}
}

bool engine_upnp_read(struct slice answer, struct ip_ep *ret, char url[256])
{
	char text[ANSWER_MAX + 1], address[IP_TEXT_MAX];
	unsigned port;
	if (answer.n > ANSWER_MAX)
		return false;
	memcpy(text, answer.p, answer.n);
	text[answer.n] = '\0';
	if (sscanf(text, "mapped %45s %u %255s", address, &port, url) != 3 || port == 0 ||
	    port > UINT16_MAX || ip_parse(slice_str(address), &ret->addr) < 0 ||
	    ret->addr.family != 4 || ip_is_multicast(&ret->addr) || ip_is_loopback(&ret->addr))
		return false;
	if (ip_is_unspecified(&ret->addr))
		ret->addr = (struct ip_addr){ 0 };
	ret->port = (uint16_t)port;
	return true;
}

static void engine_upnp_done(void *arg, int status, struct slice output)
{
	struct engine_upnp *u = arg;
	struct ip_ep ep = { 0 };
	u->helper = NULL;
	if (status != 0 || !engine_upnp_read(output, &ep, u->url)) {
		ep = (struct ip_ep){ 0 };
		log_debug("engine", "no port mapping by UPnP", LOG_INT("status", status));
	}
	u->mapped = ep;
	ev_timer_after(&u->timer, ep.port != 0 ? RENEW : TRY_AGAIN);
	u->fn(u->user, &ep);
}

static void engine_upnp_on_timer(struct ev_timer *t)
{
	struct engine_upnp *u = ln_container(t, struct engine_upnp, timer);
	char port[8];
	if (u->helper != NULL || u->program[0] == '\0')
		return;
	(void)snprintf(port, sizeof(port), "%u", u->port);
	const char *const argv[] = { u->program, "add", port, LIFE, NULL };
	int err = ev_child_start(u->loop, argv, slice_str(""), ANSWER_MAX, HELPER_LIMIT,
				 engine_upnp_done, u, &u->helper);
	if (err < 0) {
		u->helper = NULL;
		log_debug("engine", "no port mapping by UPnP", LOG_ERRNO(err));
	}
}

struct engine_upnp *engine_upnp_new(struct ev_loop *l, uint16_t port, engine_upnp_fn *fn,
				    void *user)
{
	struct engine_upnp *u = ln_alloc(sizeof(*u));
	*u = (struct engine_upnp){ .loop = l, .port = port, .fn = fn, .user = user };
	engine_upnp_find(u->program, sizeof(u->program));
	ev_timer_init(&u->timer, l, engine_upnp_on_timer);
	return u;
}

void engine_upnp_start(struct engine_upnp *u)
{
	if (u->running)
		return;
	u->running = true;
	ev_timer_at(&u->timer, ev_now());
}

void engine_upnp_stop(struct engine_upnp *u)
{
	char port[8];
	u->running = false;
	ev_timer_stop(&u->timer);
	ev_child_cancel(u->helper);
	u->helper = NULL;
	if (u->mapped.port == 0)
		return;
	(void)snprintf(port, sizeof(port), "%u", u->mapped.port);
	const char *const argv[] = { u->program, "delete", port, u->url, NULL };
	u->mapped = (struct ip_ep){ 0 };
	/* Blocking: this happens when the network goes, and a second is all it gets. */
	(void)ev_child_run_sync(argv, slice_str(""), NULL, 0, FAREWELL_LIMIT);
}

void engine_upnp_free(struct engine_upnp *u)
{
	engine_upnp_stop(u);
	ev_timer_fini(&u->timer);
	free(u);
}
