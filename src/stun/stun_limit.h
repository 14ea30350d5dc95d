#pragma once
/*
 * How many answers a source network gets: a token bucket per IPv4 /24 or IPv6 /56 in a table of
 * fixed size. Sources are seeded hashes; eight share a row, and a new one takes the place of the
 * one that was quiet longest. Nobody can make it grow, and forgetting a source only refills it.
 */
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"

struct stun_limit;

/* rate per second and burst, both at least 1. */
struct stun_limit *stun_limit_new(unsigned rate, unsigned burst, const struct ln_rng *rng);
void stun_limit_free(struct stun_limit *l);
/* Takes one token of the source's network; false when it has none. */
bool stun_limit_pass(struct stun_limit *l, ln_time now, const struct ip_addr *source);
