#pragma once
/*
 * The frame every daemon starts in: log, umask, limits, no core dumps, signals, word to systemd,
 * and an orderly end.
 *
 * Life: svc_prog_start -> the program builds its services on the loop -> svc_prog_ready ->
 * svc_prog_run, which returns when the program called svc_prog_drained() after SIGTERM or SIGINT,
 * when the drain limit passed, or at a second signal. -> the program frees its services ->
 * svc_prog_free.
 */
#include "lib/base/err.h"
#include "lib/base/time.h"

#include "src/ev/ev.h"

struct svc_prog;

struct svc_prog_conf {
	const char *name;      /* "linnet-server", for the log */
	const char *log_level; /* see obs_log_init */
	const char *log_file;
	ln_time drain_limit;        /* from the first signal to the end of patience; 0 = 10 s */
	uint64_t descriptors;       /* wanted RLIMIT_NOFILE; what the hard limit allows is taken */
	void (*stop)(void *user);   /* SIGTERM, SIGINT: begin to drain, then svc_prog_drained */
	void (*reload)(void *user); /* SIGHUP, after log files were reopened; may be null */
	void *user;
};

/* The conf is copied, its strings must live on. Errors of obs_log_init and of signal set-up. */
LN_MUST_CHECK int svc_prog_start(const struct svc_prog_conf *conf, struct svc_prog **ret,
				 struct ln_fail *f);
void svc_prog_free(struct svc_prog *p);

struct ev_loop *svc_prog_loop(struct svc_prog *p);
void svc_prog_ready(struct svc_prog *p, const char *status); /* one line, may be null */
/* Runs the loop. 0: drained in time; LN_E_TIMEOUT: the limit passed or a second signal came. */
int svc_prog_run(struct svc_prog *p);
/* Everything is closed: leave svc_prog_run. Also ends a program that stops by itself. */
void svc_prog_drained(struct svc_prog *p);
