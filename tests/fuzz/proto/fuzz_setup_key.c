/* Texts that are to be setup keys, and versions, which come from the same mouths. */
#include "lib/netmap/netmap_version.h"
#include "lib/token/setup_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SETUP_KEY_TEXT], again[SETUP_KEY_TEXT], stored[SETUP_KEY_STORED];
	if (setup_key_parse(slice_of(data, size), text) == 0) {
		ln_assert(setup_key_parse(slice_str(text), again) == 0);
		ln_assert(strcmp(text, again) == 0);
		setup_key_stored(text, stored);
		ln_assert(strlen(stored) == SETUP_KEY_STORED - 1);
	}
	char version[64];
	size_t n = LN_MIN(size, sizeof(version) - 1);
	memcpy(version, data, n);
	version[n] = '\0';
	ln_assert(netmap_version_cmp(version, version) == 0);
	ln_assert(netmap_version_cmp(version, "0.48.0") == -netmap_version_cmp("0.48.0", version));
	return 0;
}
