#include "lib/wg/wg_counter.h"

bool wg_counter_accept(struct wg_counter *c, uint64_t counter)
{
	if (counter >= WG_COUNTER_MAX)
		return false;
	uint64_t word = counter / 64;
	if (counter >= c->next) {
		/* Words between the old and the new top are cleared; beyond a full turn, all. */
		uint64_t top = c->next != 0 ? (c->next - 1) / 64 : 0;
		uint64_t move = LN_MIN(word - top, (uint64_t)WG_COUNTER_WORDS);
		for (uint64_t i = 1; i <= move; i++)
			c->bits[(top + i) % WG_COUNTER_WORDS] = 0;
		c->next = counter + 1;
	} else if (c->next - counter > WG_COUNTER_WINDOW) {
		return false;
	}
	uint64_t bit = 1ull << (counter % 64);
	uint64_t *slot = &c->bits[word % WG_COUNTER_WORDS];
	if ((*slot & bit) != 0)
		return false;
	*slot |= bit;
	return true;
}
