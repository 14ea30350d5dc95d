#include "src/combined/combined_page.h"

#include <stdlib.h>
#include <time.h>

#include "src/ev/ev.h"
#include "src/front/front.h"
#include "src/obs/obs_metrics.h"

struct combined_pages {
	struct combined_pages_conf conf;
	struct front *metrics;
	struct front *health;
	struct front_row metrics_row[1];
	struct front_row health_rows[3];
};

static bool wrong_method(struct front_request *rq)
{
	const char *m = front_request_method(rq);
	if (strcmp(m, "GET") == 0 || strcmp(m, "HEAD") == 0)
		return false;
	front_reply(rq, 405, "text/plain", slice_str("method not allowed\n"));
	return true;
}

static void metrics_page(void *service, struct front_request *rq)
{
	struct combined_pages *p = service;
	LN_AUTO(str_fini) struct str text;
	if (wrong_method(rq))
		return;
	str_init(&text, 0);
	p->conf.metrics(p->conf.user, &text);
	front_reply(rq, 200, OBS_METRICS_TYPE, str_slice(&text));
}

static void live_page(void *service, struct front_request *rq)
{
	if (!wrong_method(rq))
		front_reply(rq, 200, "text/plain", slice_str("alive\n"));
}

static void ready_page(void *service, struct front_request *rq)
{
	struct combined_pages *p = service;
	bool ready = p->conf.ready(p->conf.user);
	if (!wrong_method(rq))
		front_reply(rq, ready ? 200 : 503, "text/plain",
			    slice_str(ready ? "ready\n" : "not ready\n"));
}

static void health_page(void *service, struct front_request *rq)
{
	struct combined_pages *p = service;
	bool ready = p->conf.ready(p->conf.user);
	time_t now = (time_t)(ev_wall() / LN_SEC);
	struct tm tm;
	char stamp[32];
	LN_AUTO(str_fini) struct str text;
	if (wrong_method(rq))
		return;
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	str_init(&text, 0);
	str_addf(&text,
		 "{\"status\":\"%s\",\"timestamp\":\"%s\",\"listeners\":[%s%s],"
		 "\"certificate_valid\":%s}\n",
		 ready ? "healthy" : "unhealthy", stamp, p->conf.has_relay ? "\"ws\"" : "",
		 p->conf.has_quic ? ",\"quic\"" : "",
		 p->conf.certificate(p->conf.user) ? "true" : "false");
	front_reply(rq, ready ? 200 : 503, "application/json", str_slice(&text));
}

static int open_page(struct ev_loop *loop, const struct ip_ep *at, const char *what,
		     struct front **ret, struct ln_fail *f)
{
	const struct front_conf conf = { .listen = at, .nlisten = 1 };
	struct ln_fail why = { 0 };
	int err = front_new(loop, &conf, ret, &why);
	return err < 0 ? ln_fail(f, err, "the %s page cannot open port %u: %.150s", what, at->port,
				 why.text)
		       : 0;
}

int combined_pages_new(struct ev_loop *loop, const struct combined_pages_conf *conf,
		       struct combined_pages **ret, struct ln_fail *f)
{
	struct combined_pages *p = ln_alloc(sizeof(*p));
	p->conf = *conf;
	p->metrics_row[0] =
		(struct front_row){ .path = "/metrics", .service = p, .handle = metrics_page };
	p->health_rows[0] =
		(struct front_row){ .path = "/health", .service = p, .handle = health_page };
	p->health_rows[1] =
		(struct front_row){ .path = "/livez", .service = p, .handle = live_page };
	p->health_rows[2] =
		(struct front_row){ .path = "/readyz", .service = p, .handle = ready_page };
	int err = 0;
	if (conf->metrics_port != 0) {
		struct ip_ep at = { .port = conf->metrics_port };
		err = open_page(loop, &at, "metrics", &p->metrics, f);
	}
	if (err == 0 && conf->health_address[0] != '\0') {
		struct combined_listen at;
		err = combined_listen_parse(conf->health_address, &at);
		ln_assert(err == 0); /* the row has checked it */
		err = open_page(loop, &at.ep, "health", &p->health, f);
	}
	if (err < 0) {
		combined_pages_free(p);
		return err;
	}
	if (p->metrics != NULL)
		front_add(p->metrics, p->metrics_row, LN_COUNT(p->metrics_row));
	if (p->health != NULL)
		front_add(p->health, p->health_rows, LN_COUNT(p->health_rows));
	*ret = p;
	return 0;
}

void combined_pages_free(struct combined_pages *p)
{
	if (p == NULL)
		return;
	front_free(p->metrics);
	front_free(p->health);
	free(p);
}
