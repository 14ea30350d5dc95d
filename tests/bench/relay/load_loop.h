#pragma once
/*
 * What the load generators of tests/bench/relay have in common: pairs with a bounded amount in
 * flight, the loop that keeps it up, the delays, and the line of JSON at the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* One direction of one pair. Sent and received are in units of the program: bytes, or messages. */
struct load_flow {
	uint64_t sent, received;
	uint64_t messages; /* received */
	uint64_t moved;    /* messages at the last look */
	uint64_t lost;     /* messages given up */
	long long since;   /* of that look */
};

struct load_job {
	size_t npairs;
	double seconds;
	size_t payload;  /* bytes of a message that count */
	uint64_t unit;   /* of sent and received, for one message */
	long long stuck; /* ns without a message after which what is in flight is lost */
	int epoll;       /* data.u64: twice the number of the pair; one more for its sender */
	struct load_flow *(*flow)(size_t pair);
	void (*drain)(size_t pair);
	void (*feed)(size_t pair); /* up to the window */
};

/* Delays of messages, in ns. */
struct load_delays {
	uint32_t *v;
	size_t n;
};

LN_NORETURN void load_die(const char *what); /* with the text of errno */
long long load_now(void);                    /* ns */
/* Whoever measures says when to go on: "ready", then a line of input; idle: until its end. */
void load_ready(bool idle);
void load_run(const struct load_job *j); /* and reports */
void load_begin(const struct load_job *j, long long t);
/* Messages that were dropped never come: without this a pair would wait for them. */
void load_look(const struct load_job *j, long long t);
void load_report(const struct load_job *j, double seconds);

void load_delay_add(struct load_delays *d, long long ns);
void load_delay_report(struct load_delays *d, uint64_t due, uint64_t sent, double seconds,
		       size_t payload);
