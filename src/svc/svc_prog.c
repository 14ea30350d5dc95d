#include "src/svc/svc_prog.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/obs/obs_log.h"
#include "src/svc/svc_notify.h"

#define MODULE "prog"
#define DRAIN_LIMIT (10 * LN_SEC)

struct svc_prog {
	struct svc_prog_conf conf;
	struct ev_loop *loop;
	struct ev_signal term, intr, hup;
	struct ev_timer limit;
	bool stopping;
	int result;
};

/* Last words of a failed assertion; the supervisor starts us again. */
static void assert_hook(const char *file, int line, const char *what)
{
	log_error(MODULE, "assertion failed", LOG_STR("file", file), LOG_INT("line", line),
		  LOG_STR("what", what));
}

static void raise_descriptors(uint64_t wanted)
{
	struct rlimit r;
	if (wanted == 0 || getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= wanted)
		return;
	rlim_t before = r.rlim_cur;
	r.rlim_cur = r.rlim_max == RLIM_INFINITY ? wanted : LN_MIN((rlim_t)wanted, r.rlim_max);
	if (r.rlim_cur <= before || setrlimit(RLIMIT_NOFILE, &r) < 0)
		r.rlim_cur = before;
	if (r.rlim_cur < wanted)
		log_info(MODULE, "fewer descriptors than wished",
			 LOG_UINT("limit", (uint64_t)r.rlim_cur), LOG_UINT("wished", wanted));
}

/* Keys live in our memory: no core file, and nobody of the same user may attach. */
static void forbid_dumps(void)
{
	const struct rlimit none = { 0 };
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		log_warn(MODULE, "core dumps stay possible");
#ifndef __SANITIZE_ADDRESS__ /* the leak checker attaches to its own process */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		log_warn(MODULE, "the process stays dumpable");
#endif
}

static void notify(const char *state)
{
	int err = svc_notify_send(getenv("NOTIFY_SOCKET"), state);
	if (err < 0)
		log_warn(MODULE, "cannot tell the supervisor", LOG_ERRNO(err));
}

static void on_limit(struct ev_timer *t)
{
	struct svc_prog *p = ln_container(t, struct svc_prog, limit);
	log_warn(MODULE, "not everything closed in time", LOG_DUR("limit", p->conf.drain_limit));
	p->result = LN_E_TIMEOUT;
	ev_loop_stop(p->loop);
}

static void begin_stop(struct svc_prog *p, int signum)
{
	if (p->stopping) {
		log_warn(MODULE, "second signal, leaving at once", LOG_INT("signal", signum));
		p->result = LN_E_TIMEOUT;
		ev_loop_stop(p->loop);
		return;
	}
	log_info(MODULE, "stopping", LOG_INT("signal", signum));
	p->stopping = true;
	notify("STOPPING=1\nSTATUS=closing connections");
	ev_timer_after(&p->limit, p->conf.drain_limit);
	p->conf.stop(p->conf.user);
}

static void on_term(struct ev_signal *s, int signum)
{
	begin_stop(ln_container(s, struct svc_prog, term), signum);
}

static void on_intr(struct ev_signal *s, int signum)
{
	begin_stop(ln_container(s, struct svc_prog, intr), signum);
}

static void on_hup(struct ev_signal *s, int signum)
{
	struct svc_prog *p = ln_container(s, struct svc_prog, hup);
	char state[64];
	struct timespec mono; /* systemd compares with CLOCK_MONOTONIC, our clock is another */
	(void)signum;
	if (p->stopping)
		return;
	clock_gettime(CLOCK_MONOTONIC, &mono);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)mono.tv_sec * 1000000 + mono.tv_nsec / 1000);
	notify(state);
	obs_log_reopen();
	if (p->conf.reload != NULL)
		p->conf.reload(p->conf.user);
	notify("READY=1");
}

static int watch_signals(struct svc_prog *p)
{
	signal(SIGPIPE, SIG_IGN);
	int err = ev_signal_start(&p->term, p->loop, SIGTERM, on_term);
	if (err == 0)
		err = ev_signal_start(&p->intr, p->loop, SIGINT, on_intr);
	if (err == 0)
		err = ev_signal_start(&p->hup, p->loop, SIGHUP, on_hup);
	return err;
}

int svc_prog_start(const struct svc_prog_conf *conf, struct svc_prog **ret, struct ln_fail *f)
{
	umask(0077);
	int err = obs_log_init(conf->name, conf->log_level, conf->log_file, f);
	if (err < 0)
		return err;
	ln_assert_set_hook(assert_hook);
	forbid_dumps();
	raise_descriptors(conf->descriptors);
	struct svc_prog *p = ln_alloc(sizeof(*p));
	p->conf = *conf;
	if (p->conf.drain_limit == 0)
		p->conf.drain_limit = DRAIN_LIMIT;
	p->loop = ev_loop_new();
	ev_timer_init(&p->limit, p->loop, on_limit);
	err = watch_signals(p);
	if (err < 0) {
		ln_fail(f, err, "cannot watch signals: %s", ln_strerror(err));
		svc_prog_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void svc_prog_free(struct svc_prog *p)
{
	if (p == NULL)
		return;
	ev_signal_fini(&p->term);
	ev_signal_fini(&p->intr);
	ev_signal_fini(&p->hup);
	ev_timer_fini(&p->limit);
	ev_loop_free(p->loop);
	free(p);
	obs_log_fini();
}

struct ev_loop *svc_prog_loop(struct svc_prog *p)
{
	return p->loop;
}

void svc_prog_ready(struct svc_prog *p, const char *status)
{
	char state[256];
	(void)p;
	snprintf(state, sizeof(state), "READY=1\nSTATUS=%.200s", status != NULL ? status : "");
	notify(state);
}

int svc_prog_run(struct svc_prog *p)
{
	ev_loop_run(p->loop);
	return p->result;
}

void svc_prog_drained(struct svc_prog *p)
{
	ev_timer_stop(&p->limit);
	ev_loop_stop(p->loop);
}
