/*
 * Our port at the gateway (spec signal-and-connection 3.4): the socket, the timer and the helper
 * process around lib/portmap. What comes out is one more server-reflexive address.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/portmap/portmap.h"

#include "src/agent/engine/engine_internal.h"
#include "src/agent/engine/engine_upnp.h"
#include "src/obs/obs_log.h"

struct engine_portmap {
	struct engine *engine;
	struct portmap *core;
	struct engine_upnp *upnp;
	struct ip_addr gateway; /* whom we ask; family 0 nobody */
	int fd;                 /* connected to it; -1 none */
	struct ev_io io;
	struct ev_timer timer;
	bool by_upnp;        /* what is mapped */
	struct ip_ep mapped; /* port 0: none; family 0: the address STUN servers see */
};

static void engine_portmap_use(struct engine_portmap *m, const struct ip_ep *ep,
			       const char *protocol)
{
	if (ip_ep_equal(&m->mapped, ep))
		return;
	m->mapped = *ep;
	if (ep->port != 0)
		log_info("engine", "the gateway maps our port", LOG_EP("to", ep),
			 LOG_STR("by", protocol));
	engine_addr_collect(m->engine);
}

static void engine_portmap_on_upnp(void *user, const struct ip_ep *ep)
{
	struct engine_portmap *m = user;
	m->by_upnp = ep->port != 0;
	engine_portmap_use(m, ep, "UPnP");
}

static void engine_portmap_drive(struct engine_portmap *m)
{
	struct portmap_out out;
	ln_time now = ev_now();
	while (portmap_poll(m->core, now, &out)) {
		switch (out.kind) {
		case PORTMAP_OUT_SEND:
			if (m->fd >= 0 && send(m->fd, out.data.p, out.data.n, MSG_NOSIGNAL) < 0 &&
			    errno == ECONNREFUSED)
				portmap_refused(m->core, now);
			break;
		case PORTMAP_OUT_MAPPED:
			engine_upnp_stop(m->upnp);
			m->by_upnp = false;
			engine_portmap_use(m, &out.ep, portmap_protocol(m->core));
			break;
		case PORTMAP_OUT_NONE:
			log_debug("engine", "no port mapping", LOG_STR("why", out.why));
			/* Asked again now and then; what UPnP has mapped stays. */
			if (!m->by_upnp)
				engine_portmap_use(m, &(struct ip_ep){ 0 }, "");
			engine_upnp_start(m->upnp);
			break;
		}
	}
	ev_timer_at(&m->timer, portmap_deadline(m->core));
}

static void engine_portmap_on_timer(struct ev_timer *t)
{
	engine_portmap_drive(ln_container(t, struct engine_portmap, timer));
}

static void engine_portmap_on_io(struct ev_io *io, unsigned events)
{
	struct engine_portmap *m = ln_container(io, struct engine_portmap, io);
	uint8_t buf[1500];
	(void)events;
	/* At most so many at once: the gateway is not trusted to stop. */
	for (int i = 0; i < 16; i++) {
		ssize_t n = recv(m->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n >= 0)
			(void)!portmap_input(m->core, ev_now(), slice_of(buf, (size_t)n));
		else if (errno == ECONNREFUSED)
			portmap_refused(m->core, ev_now());
		else
			break;
	}
	engine_portmap_drive(m);
}

static void engine_portmap_close(struct engine_portmap *m)
{
	if (m->fd < 0)
		return;
	ev_io_fini(&m->io);
	close(m->fd);
	m->fd = -1;
}

/* A socket to the gateway; our address towards it in ret. */
static int engine_portmap_open(struct engine_portmap *m, const struct ip_addr *gateway,
			       struct ip_addr *ret)
{
	struct ip_ep ep = { .addr = *gateway, .port = PORTMAP_SERVER_PORT };
	struct sockaddr_storage sa;
	socklen_t n = ip_ep_to_sockaddr(&ep, &sa);
	m->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0)
		return -errno;
	const uint32_t mark = m->engine->conf.mark;
	if (mark != 0)
		(void)!setsockopt(m->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	int err = connect(m->fd, (const struct sockaddr *)&sa, n) < 0 ? -errno : 0;
	n = sizeof(sa);
	if (err == 0 && getsockname(m->fd, (struct sockaddr *)&sa, &n) < 0)
		err = -errno;
	if (err == 0)
		err = ip_ep_from_sockaddr((const struct sockaddr *)&sa, &ep);
	if (err == 0)
		err = ev_io_init(&m->io, m->engine->conf.loop, m->fd, engine_portmap_on_io);
	if (err < 0) {
		close(m->fd);
		m->fd = -1;
		return err;
	}
	ev_io_want(&m->io, EV_READ);
	*ret = ep.addr;
	return 0;
}

void engine_portmap_way(struct engine *e)
{
	struct engine_portmap *m = e->portmap;
	struct ip_addr source;
	if (m == NULL || ip_equal(&m->gateway, &e->ways[0].gateway))
		return;
	m->gateway = e->ways[0].gateway;
	engine_portmap_close(m);
	engine_upnp_stop(m->upnp);
	if (m->by_upnp)
		engine_portmap_use(m, &(struct ip_ep){ 0 }, "");
	m->by_upnp = false;
	int err = m->gateway.family != 0 ? engine_portmap_open(m, &m->gateway, &source)
					 : LN_E_NOTFOUND;
	if (err < 0) {
		log_debug("engine", "no gateway to ask for a port", LOG_ERRNO(err));
		engine_portmap_use(m, &(struct ip_ep){ 0 }, "");
		return;
	}
	log_debug("engine", "asking the gateway for a port", LOG_IP("gateway", &m->gateway),
		  LOG_IP("source", &source));
	portmap_start(m->core, ev_now(), &m->gateway, &source);
	engine_portmap_drive(m);
}

bool engine_portmap_address(const struct engine *e, struct ip_ep *ret)
{
	const struct engine_portmap *m = e->portmap;
	if (m == NULL || m->mapped.port == 0)
		return false;
	*ret = m->mapped;
	for (unsigned i = 0; i < e->local.nsrflx && ret->addr.family == 0; i++)
		if (e->local.srflx[i].addr.family == 4)
			ret->addr = e->local.srflx[i].addr;
	return ret->addr.family != 0;
}

void engine_portmap_init(struct engine *e)
{
	if (e->conf.portmap == AGENT_PORTMAP_OFF)
		return;
	struct portmap_conf conf = {
		.port = e->local.wg_port,
		.health = e->conf.portmap == AGENT_PORTMAP_UNWATCHED ? LN_TIME_NEVER : 0,
	};
	struct engine_portmap *m = ln_alloc(sizeof(*m));
	*m = (struct engine_portmap){ .engine = e, .fd = -1, .core = portmap_new(&conf, ev_rng()) };
	m->upnp = engine_upnp_new(e->conf.loop, conf.port, engine_portmap_on_upnp, m);
	ev_timer_init(&m->timer, e->conf.loop, engine_portmap_on_timer);
	e->portmap = m;
}

void engine_portmap_fini(struct engine *e)
{
	struct engine_portmap *m = e->portmap;
	if (m == NULL)
		return;
	e->portmap = NULL;
	portmap_stop(m->core, ev_now());
	engine_portmap_drive(m);
	engine_portmap_close(m);
	engine_upnp_free(m->upnp);
	ev_timer_fini(&m->timer);
	portmap_free(m->core);
	free(m);
}
