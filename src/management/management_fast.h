#pragma once
/*
 * The fast path of Sync (spec management-protocol 6.1): an agent that comes back and already has
 * the map it would get is told the servers only. What it has is remembered per peer, in memory:
 * written when its transport has confirmed the map, gone with every Login.
 */
#include "lib/base/ip.h"
#include "lib/base/time.h"

#define MANAGEMENT_FAST_LIFE (24 * LN_HOUR)

struct store_meta;

/* One map that a peer has, and for which metadata of the peer it was made. */
struct management_fast {
	uint64_t serial; /* 0: none known */
	uint64_t meta;   /* management_meta_hash() of the Sync it was sent on */
	uint64_t map;    /* fingerprint of its content */
	int32_t format;  /* SyncResponse.Version */
	ln_time until;
};

/* Why the full map is sent, in the order of the questions. */
enum management_fast_why {
	MANAGEMENT_FAST_SKIP, /* it is not */
	MANAGEMENT_FAST_OFF,
	MANAGEMENT_FAST_NO_META, /* agents that send none may be Android's (gap 3) */
	MANAGEMENT_FAST_ANDROID,
	MANAGEMENT_FAST_MISS,
	MANAGEMENT_FAST_SERIAL,
	MANAGEMENT_FAST_META,
	MANAGEMENT_FAST_FORMAT,
	MANAGEMENT_FAST_WHYS
};

/*
 * `has` is what is remembered, `want` what would be sent now (its `map` does not count here);
 * go_os is null when the request had no metadata.
 */
enum management_fast_why management_fast_decide(const struct management_fast *has,
						const struct management_fast *want,
						const char *go_os, ln_time now);

/* Of everything an agent says about its host, and the address it says it from (gap 7). */
uint64_t management_meta_hash(const uint64_t seed[2], const struct store_meta *meta,
			      const struct ip_addr *from);
