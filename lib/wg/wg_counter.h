#pragma once
/*
 * Which data messages of a session have been seen: a sliding window of 8,192 counters below the
 * highest accepted one, as a ring of bits that moves a word at a time (the idea of RFC 6479).
 * Owned by a keypair; only counters of authenticated messages may be entered.
 */
#include <stdint.h>

#include "lib/base/err.h"

#define WG_COUNTER_WINDOW 8192
#define WG_COUNTER_WORDS (WG_COUNTER_WINDOW / 64 + 1) /* one word more: the one being filled */
/* The paper's Reject-After-Messages: beyond it the window arithmetic could wrap. */
#define WG_COUNTER_MAX (UINT64_MAX - WG_COUNTER_WINDOW - 1)

struct wg_counter {
	uint64_t next; /* one above the highest accepted counter */
	uint64_t bits[WG_COUNTER_WORDS];
};

/* True once for each counter inside or above the window; false for a replay or one too old. */
bool wg_counter_accept(struct wg_counter *c, uint64_t counter);
