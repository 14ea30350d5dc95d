#include "lib/wg/wg_shed.h"

static bool can_go(const struct wg_shed_item *it)
{
	return !it->drop && !it->needed;
}

static size_t bytes_of(const struct wg_shed_item *v, size_t n, const struct ip_ep *from)
{
	size_t sum = 0;
	for (size_t i = 0; i < n; i++)
		if (can_go(&v[i]) && ip_ep_equal(v[i].from, from))
			sum += v[i].bytes;
	return sum;
}

/* The largest item of the source that still has most bytes, or null. Batches are small. */
static struct wg_shed_item *heaviest(struct wg_shed_item *v, size_t n)
{
	struct wg_shed_item *best = NULL;
	size_t most = 0;
	for (size_t i = 0; i < n; i++) {
		if (!can_go(&v[i]))
			continue;
		size_t sum = bytes_of(v, n, v[i].from);
		if (best == NULL || sum > most || (sum == most && v[i].bytes > best->bytes)) {
			best = &v[i];
			most = sum;
		}
	}
	return best;
}

void wg_shed(struct wg_shed_item *v, size_t n, size_t keep)
{
	size_t left = 0;
	for (size_t i = 0; i < n; i++) {
		v[i].drop = false;
		left += v[i].bytes;
	}
	while (left > keep) {
		struct wg_shed_item *it = heaviest(v, n);
		if (it == NULL)
			return;
		it->drop = true;
		left -= it->bytes;
	}
}
