#include "lib/stun/stun_auth.h"

#include "lib/crypto/ct.h"
#include "lib/crypto/digest.h"

#define FINGERPRINT_XOR 0x5354554eu
#define ATTR_HEADER_LEN 4
#define FINGERPRINT_LEN 4

/* The header as it was when an attribute of `value_len` bytes at offset `at` was the last one. */
static void header_until(struct slice raw, size_t at, size_t value_len,
			 uint8_t dst[STUN_HEADER_LEN])
{
	size_t len = at + ATTR_HEADER_LEN + value_len - STUN_HEADER_LEN;
	memcpy(dst, raw.p, STUN_HEADER_LEN);
	dst[2] = (uint8_t)(len >> 8);
	dst[3] = (uint8_t)len;
}

bool stun_auth_verify(const struct stun_msg *m, struct slice key)
{
	uint8_t copy[STUN_MSG_MAX];
	uint8_t mac[SHA1_LEN];
	size_t at = m->integrity_at;

	if (at == 0 || at > sizeof(copy))
		return false;
	memcpy(copy, m->raw.p, at);
	header_until(m->raw, at, SHA1_LEN, copy);
	digest_hmac_sha1(key, slice_of(copy, at), mac);
	return ct_equal(mac, m->attr[STUN_ATTR_MESSAGE_INTEGRITY].p, SHA1_LEN);
}

bool stun_auth_fingerprint_ok(const struct stun_msg *m)
{
	uint8_t header[STUN_HEADER_LEN];
	size_t at = m->fingerprint_at;

	if (at == 0)
		return true;
	header_until(m->raw, at, FINGERPRINT_LEN, header);
	uint32_t crc = digest_crc32(0, slice_of(header, STUN_HEADER_LEN));
	crc = digest_crc32(crc, slice_of(m->raw.p + STUN_HEADER_LEN, at - STUN_HEADER_LEN));
	return (crc ^ FINGERPRINT_XOR) == stun_attr_u32(m->attr[STUN_ATTR_FINGERPRINT]);
}

void stun_auth_sign(struct writer *w, struct slice key)
{
	uint8_t mac[SHA1_LEN];
	if (w->err != 0)
		return;
	stun_msg_set_len(w, ATTR_HEADER_LEN + SHA1_LEN);
	digest_hmac_sha1(key, writer_slice(w), mac);
	stun_msg_add(w, STUN_ATTR_MESSAGE_INTEGRITY, slice_of(mac, SHA1_LEN));
}

void stun_auth_fingerprint(struct writer *w)
{
	if (w->err != 0)
		return;
	stun_msg_set_len(w, ATTR_HEADER_LEN + FINGERPRINT_LEN);
	uint32_t crc = digest_crc32(0, writer_slice(w));
	stun_msg_add_u32(w, STUN_ATTR_FINGERPRINT, crc ^ FINGERPRINT_XOR);
}
