#pragma once
/*
 * How many messages each source may send (spec signal-and-connection 1.6 [LINNET]): an IPv4 address
 * or the /64 of an IPv6 address, because behind a proxy that shares its connections a connection
 * says nothing about who sends. Pure; the owner gives the time.
 *
 * The sources seen last are remembered, up to a fixed number; one that is forgotten starts anew.
 */
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"

struct signal_limit;

struct signal_limit_conf {
	unsigned rate;        /* messages a second; 0 = no limit */
	unsigned burst;       /* messages at once after a silence; 0 = four seconds' worth */
	unsigned max_sources; /* 0 = 4,096 */
};

struct signal_limit *signal_limit_new(const struct signal_limit_conf *conf,
				      const struct ln_rng *rng);
void signal_limit_free(struct signal_limit *l); /* null is fine */
/* Counts one message; false when it is over the limit. A source of family 0 is never limited. */
bool signal_limit_pass(struct signal_limit *l, ln_time now, const struct ip_addr *source);
