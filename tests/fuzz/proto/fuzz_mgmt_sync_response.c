/* Sync responses: read, cleaned and compared as the agent does. */
#include "lib/mgmt/mgmt_msg.h"
#include "lib/netmap/netmap_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_map(struct arena *a, const struct netmap *decoded)
{
	static const struct wg_key own = { { 1 } };
	struct netmap map = *decoded;
	struct netmap_check check;
	struct netmap_diff diff;
	if (netmap_check(&map, &own, a, &check) < 0)
		return;
	ln_assert(map.npeers <= decoded->npeers);
	if (netmap_diff(NULL, &map, a, &diff) == 0)
		ln_assert(diff.nadded == map.npeers && diff.nremoved == 0);
	if (netmap_diff(&map, &map, a, &diff) == 0)
		ln_assert(diff.nadded + diff.nremoved + diff.nchanged == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	arena_init(&a, (size_t)64 << 20);
	struct mgmt_sync_response m, again;
	if (mgmt_sync_response_read(slice_of(data, size), &a, &m) == 0) {
		const struct mgmt_map_options opt = { true, true, true };
		struct str out = { 0 };
		mgmt_sync_response_write(&out, &m, &opt);
		int err = mgmt_sync_response_read(str_slice(&out), &a, &again);
		ln_assert(err == 0 || err == LN_E_LIMIT || out.err != 0);
		if (err == 0) {
			ln_assert(again.map.nrules == m.map.nrules);
			ln_assert(again.map.npeers == m.map.npeers);
			ln_assert(again.map.serial == m.map.serial);
		}
		str_fini(&out);
		if (m.has_map)
			use_map(&a, &m.map);
	}
	arena_fini(&a);
	return 0;
}
