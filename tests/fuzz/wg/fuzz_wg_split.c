/* Frames as a TUN gives them: cut, and what comes out joined again. */
#include "lib/wg/wg_merge.h"
#include "lib/wg/wg_split.h"

#define ROOM 2048
#define PACKETS 80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t packet[PACKETS][ROOM];
	static struct wg_merge merge;
	struct wg_split s;
	int n;
	wg_merge_init(&merge, true);
	if (wg_split_init(&s, slice_of(data, size)) < 0)
		return 0;
	for (unsigned i = 0; i < PACKETS; i++) {
		n = wg_split_next(&s, mslice_of(packet[i], ROOM));
		if (n <= 0)
			break;
		if (!wg_merge_add(&merge, mslice_of(packet[i], (size_t)n))) {
			wg_merge_init(&merge, true);
			ln_assert(wg_merge_add(&merge, mslice_of(packet[i], (size_t)n)));
		}
	}
	for (unsigned i = 0; i < merge.n; i++) {
		const struct wg_merge_item *it = wg_merge_item(&merge, i);
		size_t total = 0;
		for (unsigned k = 0; k < it->nparts; k++)
			total += it->part[k].n;
		ln_assert(total == it->total && total <= 65535);
	}
	return 0;
}
