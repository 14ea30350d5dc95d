#include "lib/token/setup_key.h"

#include "lib/base/hex.h"

#define UUID_LEN 16

/* 8-4-4-4-12 */
static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static char upper(char c)
{
	return (char)(c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c);
}

void setup_key_make(const struct ln_rng *rng, char dst[SETUP_KEY_TEXT])
{
	uint8_t b[UUID_LEN];
	char hex[UUID_LEN * 2 + 1];
	rng_fill(rng, b, sizeof(b));
	/* RFC 9562 5.4: version 4, variant 10. */
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(slice_of(b, sizeof(b)), hex);
	const char *from = hex;
	for (size_t i = 0; i < SETUP_KEY_TEXT - 1; i++)
		dst[i] = is_dash(i) ? '-' : upper(*from++);
	dst[SETUP_KEY_TEXT - 1] = '\0';
}

int setup_key_parse(struct slice text, char dst[SETUP_KEY_TEXT])
{
	if (text.n != SETUP_KEY_TEXT - 1)
		return LN_E_MALFORMED;
	for (size_t i = 0; i < text.n; i++) {
		char c = upper((char)text.p[i]);
		bool digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
		if (is_dash(i) ? c != '-' : !digit)
			return LN_E_MALFORMED;
	}
	for (size_t i = 0; i < text.n; i++)
		dst[i] = upper((char)text.p[i]);
	dst[text.n] = '\0';
	return 0;
}

void setup_key_stored(const char canonical[SETUP_KEY_TEXT], char dst[SETUP_KEY_STORED])
{
	uint8_t digest[SHA256_LEN];
	digest_sha256(slice_of(canonical, SETUP_KEY_TEXT - 1), digest);
	b64_encode(slice_of(digest, sizeof(digest)), dst);
}

void setup_key_mask(const char canonical[SETUP_KEY_TEXT], char dst[SETUP_KEY_MASKED])
{
	memcpy(dst, canonical, 5);
	memcpy(dst + 5, "****", 5);
}

enum setup_key_verdict setup_key_judge(const struct setup_key_state *k, ln_wall now)
{
	if (k->revoked)
		return SETUP_KEY_REVOKED;
	if (k->expires != 0 && k->expires <= now)
		return SETUP_KEY_EXPIRED;
	/* A one-off key is a limit of one; for the others zero is no limit. */
	uint32_t limit = k->reusable ? k->usage_limit : 1;
	if (limit != 0 && k->used >= limit)
		return SETUP_KEY_USED_UP;
	return SETUP_KEY_VALID;
}

const char *setup_key_verdict_name(enum setup_key_verdict v)
{
	switch (v) {
	case SETUP_KEY_VALID:
		return "valid";
	case SETUP_KEY_REVOKED:
		return "revoked";
	case SETUP_KEY_EXPIRED:
		return "expired";
	case SETUP_KEY_USED_UP:
		return "overused";
	}
	return "";
}
