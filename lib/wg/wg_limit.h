#pragma once
/*
 * How many handshakes per second one source may cause while the device is under load: a token
 * bucket per IPv4 address or IPv6 /64, 20 a second, 5 at once. A fixed table: a new source takes
 * the place of the one in its bucket that has been quiet longest. Owned by the device.
 */
#include "lib/base/ip.h"
#include "lib/base/rng.h"
#include "lib/base/time.h"

#define WG_LIMIT_PER_SECOND 20
#define WG_LIMIT_BURST 5
#define WG_LIMIT_BUCKETS 256
#define WG_LIMIT_WAYS 4

struct wg_limit_entry {
	uint8_t source[9]; /* family, then 4 or 8 address bytes; family 0 = free */
	ln_time full;      /* when the bucket will be full again */
};

struct wg_limit {
	uint64_t seed[2];
	struct wg_limit_entry entries[WG_LIMIT_BUCKETS][WG_LIMIT_WAYS];
};

void wg_limit_init(struct wg_limit *l, const struct ln_rng *rng);
/* Takes a token; false when the source has none. */
bool wg_limit_allow(struct wg_limit *l, ln_time now, const struct ip_addr *source);
