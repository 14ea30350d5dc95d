/* Candidate lines and credentials: whatever parses is written and parsed back to the same. */
#include "lib/base/err.h"
#include "lib/ice/ice_cand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ice_cred cred;
	struct ice_cand c;
	struct ice_cand again;
	char text[ICE_CAND_TEXT_MAX];
	(void)!ice_cred_parse(slice_of(data, size), &cred);
	if (ice_cand_parse(slice_of(data, size), &c) != 0)
		return 0;
	size_t n = ice_cand_format(&c, text);
	ln_assert(n < sizeof(text));
	ln_assert(ice_cand_parse(slice_of(text, n), &again) == 0);
	ln_assert(c.type == again.type && c.priority == again.priority);
	ln_assert(ip_ep_equal(&c.addr, &again.addr));
	ln_assert(slice_is(slice_str(c.cid), again.cid));
	return 0;
}
