/* Login requests, as the management server reads them. */
#include "lib/mgmt/mgmt_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	arena_init(&a, (size_t)32 << 20);
	struct mgmt_login_request m, again;
	if (mgmt_login_request_read(slice_of(data, size), &a, &m) == 0) {
		/* What we read we can say again, and read what we said. */
		struct str out = { 0 };
		mgmt_login_request_write(&out, &m, &(struct wg_key){ { 1 } });
		int err = mgmt_login_request_read(str_slice(&out), &a, &again);
		ln_assert(err == 0 || err == LN_E_LIMIT || out.err != 0);
		str_fini(&out);
	}
	arena_fini(&a);
	return 0;
}
