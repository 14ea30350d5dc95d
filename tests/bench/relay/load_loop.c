#include "tests/bench/relay/load_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define LOOK_NS 20000000ll
#define SAMPLES_MAX 4000000

LN_NORETURN void load_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

long long load_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

void load_ready(bool idle)
{
	puts("ready");
	fflush(stdout);
	int c = getchar();
	while (idle && c != EOF)
		c = getchar();
}

/* --- as fast as it goes -----------------------------------------------------------------------*/

void load_begin(const struct load_job *j, long long t)
{
	for (size_t i = 0; i < j->npairs; i++) {
		j->flow(i)->since = t;
		j->feed(i);
	}
}

static void forgive(const struct load_job *j, struct load_flow *f, long long t)
{
	if (f->messages != f->moved) {
		f->moved = f->messages;
		f->since = t;
	} else if (t - f->since > j->stuck && f->sent > f->received) {
		f->lost += (f->sent - f->received) / j->unit;
		f->received = f->sent;
		f->since = t;
	}
}

void load_look(const struct load_job *j, long long t)
{
	for (size_t i = 0; i < j->npairs; i++) {
		forgive(j, j->flow(i), t);
		j->feed(i);
	}
}

void load_report(const struct load_job *j, double seconds)
{
	uint64_t messages = 0, lost = 0;
	for (size_t i = 0; i < j->npairs; i++) {
		messages += j->flow(i)->messages;
		lost += j->flow(i)->lost;
	}
	uint64_t bytes = messages * j->payload;
	printf("{\"messages\": %llu, \"lost\": %llu, \"seconds\": %.3f, \"kpps\": %.1f, "
	       "\"gbit_s\": %.3f, \"payload_bytes\": %llu}\n",
	       (unsigned long long)messages, (unsigned long long)lost, seconds,
	       (double)messages / seconds / 1e3, (double)bytes * 8 / seconds / 1e9,
	       (unsigned long long)bytes);
}

void load_run(const struct load_job *j)
{
	struct epoll_event ev[256];
	long long begin = load_now(), t = begin, look = begin;
	load_begin(j, begin);
	while (t - begin < (long long)(j->seconds * 1e9)) {
		int n = epoll_wait(j->epoll, ev, LN_COUNT(ev), (int)(LOOK_NS / 1000000));
		for (int k = 0; k < n; k++) {
			size_t pair = ev[k].data.u64 / 2;
			if (ev[k].data.u64 % 2 == 0)
				j->drain(pair);
			j->feed(pair);
		}
		t = load_now();
		if (t - look < LOOK_NS)
			continue;
		look = t;
		load_look(j, t);
	}
	load_report(j, (double)(t - begin) / 1e9);
}

/* --- delays -----------------------------------------------------------------------------------*/

void load_delay_add(struct load_delays *d, long long ns)
{
	if (d->v == NULL)
		d->v = ln_calloc(SAMPLES_MAX, sizeof(*d->v));
	if (d->n < SAMPLES_MAX)
		d->v[d->n++] = (uint32_t)LN_MIN(ns, (long long)UINT32_MAX);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

void load_delay_report(struct load_delays *d, uint64_t due, uint64_t sent, double seconds,
		       size_t payload)
{
	if (d->n == 0)
		load_die("nothing arrived");
	qsort(d->v, d->n, sizeof(*d->v), compare);
	printf("{\"sent\": %llu, \"refused\": %llu, \"received\": %zu, \"kpps\": %.1f, "
	       "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"payload_bytes\": %llu}\n",
	       (unsigned long long)sent, (unsigned long long)(due - sent), d->n,
	       (double)d->n / seconds / 1e3, d->v[d->n / 2] / 1e6, d->v[d->n * 99 / 100] / 1e6,
	       (unsigned long long)(d->n * payload));
}
