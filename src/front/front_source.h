#pragma once
/*
 * How many connections each source holds: an IPv4 address, or the /64 of an IPv6 address, because
 * one IPv6 host commands a whole /64. Private to src/front.
 */
#include "lib/base/ip.h"
#include "lib/base/map.h"
#include "lib/base/rng.h"

struct front_source;

struct front_sources {
	struct map map;
	unsigned limit;
};

void front_sources_init(struct front_sources *s, unsigned limit, const struct ln_rng *rng);
void front_sources_fini(struct front_sources *s); /* nothing may be taken any more */
/* Null when the source is at its limit. */
struct front_source *front_source_take(struct front_sources *s, const struct ip_addr *addr);
void front_source_give(struct front_sources *s, struct front_source *src);
