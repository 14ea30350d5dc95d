#pragma once
/*
 * ChaCha20-Poly1305 (RFC 8439) with the nonce of WireGuard: 32 zero bits, then a 64-bit
 * little-endian counter (its paper, section 5.4.6); and XChaCha20-Poly1305 for cookies.
 *
 * Two forms. Single calls take the key each time: handshakes. The packet path uses a batch vtable:
 * one context per key and direction, many packets per call, in place. Which implementation is
 * fastest depends on the processor, so it is chosen once by whoever creates the device.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define AEAD_KEY_LEN 32
#define AEAD_TAG_LEN 16
#define AEAD_XNONCE_LEN 24

/* Writes plain.n + AEAD_TAG_LEN bytes to dst, which may be plain.p. */
void aead_seal(const uint8_t key[AEAD_KEY_LEN], uint64_t counter, struct slice ad,
	       struct slice plain, uint8_t *dst);
/* Writes sealed.n - AEAD_TAG_LEN bytes. LN_E_TRUNCATED (no room for a tag), LN_E_AUTH. */
LN_MUST_CHECK int aead_open(const uint8_t key[AEAD_KEY_LEN], uint64_t counter, struct slice ad,
			    struct slice sealed, uint8_t *dst);

void aead_xseal(const uint8_t key[AEAD_KEY_LEN], const uint8_t nonce[AEAD_XNONCE_LEN],
		struct slice ad, struct slice plain, uint8_t *dst);
LN_MUST_CHECK int aead_xopen(const uint8_t key[AEAD_KEY_LEN], const uint8_t nonce[AEAD_XNONCE_LEN],
			     struct slice ad, struct slice sealed, uint8_t *dst);

/* One packet of a batch, worked on in place: n bytes of text, then AEAD_TAG_LEN bytes of tag. */
struct aead_job {
	uint8_t *text;
	size_t n; /* without the tag; at most 65,535 */
	uint64_t counter;
	bool ok; /* set by open_batch: the tag was right; otherwise the text is garbage */
};

enum aead_dir {
	AEAD_SEAL,
	AEAD_OPEN
};

struct aead_ctx; /* each implementation has its own; wiped when freed */

/*
 * An implementation. ctx_new gets the table itself, for those with state of their own. Contexts of
 * a table with state are used by one thread at a time.
 */
struct aead_ops {
	const char *name;
	void *state; /* the implementation's; null when it has none */
	struct aead_ctx *(*ctx_new)(const struct aead_ops *ops, const uint8_t key[AEAD_KEY_LEN],
				    enum aead_dir dir);
	void (*ctx_free)(struct aead_ctx *c); /* null is allowed */
	void (*seal_batch)(struct aead_ctx *c, struct aead_job *jobs, size_t njobs);
	void (*open_batch)(struct aead_ctx *c, struct aead_job *jobs, size_t njobs);
};

/* OpenSSL EVP: everywhere, with the assembler of the library for the processor. */
extern const struct aead_ops aead_evp;
