#include "src/combined/combined_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/front/front.h"
#include "src/obs/obs_log.h"

#define MODULE "server"
#define PORTS_MAX 3

struct combined_ports {
	struct ev_loop *loop;
	struct front *fronts[PORTS_MAX]; /* the public one first */
	size_t n;
	size_t draining;
	void (*done)(void *arg);
	void *arg;
};

/* What a person can do about a port that does not open. */
static int refuse(const struct ip_ep *at, int err, const struct ln_fail *why, struct ln_fail *f)
{
	char text[IP_EP_TEXT_MAX];
	ip_ep_format(at, text);
	const char *shown = text;
	char any[16];
	if (!ip_is_set(&at->addr)) {
		snprintf(any, sizeof(any), ":%u", at->port);
		shown = any;
	}
	switch (err) {
	case -EADDRINUSE:
		return ln_fail(f, err,
			       "the TCP address %s is in use by another program: stop that one, or "
			       "choose another with --listen or server.listenAddress",
			       shown);
	case -EACCES:
	case -EPERM:
		return ln_fail(f, err,
			       "no right to listen on %s: run as root, give the program "
			       "CAP_NET_BIND_SERVICE, or choose a port above 1023 with --listen",
			       shown);
	case -EADDRNOTAVAIL:
		return ln_fail(f, err,
			       "this machine has no address %s: name one of its own, or :%u for "
			       "all, with --listen or server.listenAddress",
			       shown, at->port);
	default:
		return ln_fail(f, err, "cannot listen on %s: %s", shown, why->text);
	}
}

static int open_front(struct ev_loop *loop, const struct combined_ports_conf *conf,
		      const struct ip_ep *at, struct combined_ports *p, struct ln_fail *f)
{
	const struct combined_conf *v = conf->conf;
	const struct front_conf front = {
		.listen = at,
		.nlisten = 1,
		.cert_file = v->cert_file[0] != '\0' ? v->cert_file : NULL,
		.key_file = v->key_file[0] != '\0' ? v->key_file : NULL,
		.grpc = conf->grpc,
		.limits = { .max_conns = (unsigned)v->max_connections,
			    .max_per_source = (unsigned)v->max_per_source },
	};
	int err = front_new(loop, &front, &p->fronts[p->n], f);
	if (err < 0)
		return err;
	front_add(p->fronts[p->n++], conf->rows, conf->nrows);
	return 0;
}

int combined_ports_new(struct ev_loop *loop, const struct combined_ports_conf *conf,
		       struct combined_ports **ret, struct ln_fail *f)
{
	struct ln_fail why = { 0 };
	struct combined_ports *p = ln_alloc(sizeof(*p));
	p->loop = loop;
	const struct ip_ep *at = &conf->plan->listen.ep;
	int err = open_front(loop, conf, at, p, &why);
	if (err < 0) {
		refuse(at, err, &why, f);
		free(p);
		return err;
	}
	for (size_t i = 0; i < conf->nlegacy && p->n < PORTS_MAX; i++) {
		struct ip_ep legacy = { .addr = at->addr, .port = conf->legacy[i] };
		if (legacy.port == at->port)
			continue;
		if (open_front(loop, conf, &legacy, p, &why) < 0)
			log_warn(MODULE, "a legacy port stays closed",
				 LOG_UINT("port", legacy.port), LOG_STR("reason", why.text));
	}
	*ret = p;
	return 0;
}

void combined_ports_reload(struct combined_ports *p)
{
	struct ln_fail f;
	for (size_t i = 0; i < p->n; i++)
		if (front_reload_tls(p->fronts[i], &f) < 0)
			log_error(MODULE, "the new certificate is refused, the old one stays",
				  LOG_STR("reason", f.text));
}

static void front_gone(void *arg)
{
	struct combined_ports *p = arg;
	if (--p->draining == 0 && p->done != NULL)
		p->done(p->arg);
}

void combined_ports_drain(struct combined_ports *p, ln_time limit, void (*done)(void *arg),
			  void *arg)
{
	p->done = done;
	p->arg = arg;
	p->draining = p->n + 1; /* and ourselves, so that a front may be done at once */
	for (size_t i = 0; i < p->n; i++)
		front_drain(p->fronts[i], limit, front_gone, p);
	front_gone(p);
}

void combined_ports_free(struct combined_ports *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++)
		front_free(p->fronts[i]);
	/* A front that was draining may have announced its end for the end of this turn. */
	p->done = NULL;
	ev_defer_free(p->loop, p);
}

bool combined_ports_certificate_valid(const struct combined_ports *p)
{
	return front_tls_valid(p->fronts[0]);
}
