/* STUN messages: reading, both MACs, every value reader; the classifier agrees with the reader. */
#include "lib/base/err.h"
#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stun_msg m;
	struct ip_ep ep;
	unsigned code;
	struct slice pkt = slice_of(data, size);
	bool is = stun_is_message(pkt);
	if (stun_msg_read(pkt, &m) != 0)
		return 0;
	ln_assert(is || size >= 32);
	(void)!stun_msg_mapped(&m, &ep);
	(void)stun_auth_verify(&m, slice_str("FEDCBAzyxwvutsrqponmlkjihgfedcba"));
	(void)stun_auth_fingerprint_ok(&m);
	if (stun_msg_has(&m, STUN_ATTR_ERROR_CODE))
		(void)!stun_attr_read_error(m.attr[STUN_ATTR_ERROR_CODE], &code);
	if (stun_msg_has(&m, STUN_ATTR_PRIORITY))
		(void)stun_attr_u32(m.attr[STUN_ATTR_PRIORITY]);
	if (stun_msg_has(&m, STUN_ATTR_ICE_CONTROLLED))
		(void)stun_attr_u64(m.attr[STUN_ATTR_ICE_CONTROLLED]);
	return 0;
}
