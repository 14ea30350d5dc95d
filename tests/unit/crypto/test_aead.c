#include "lib/base/hex.h"
#include "lib/base/rng.h"
#include "lib/crypto/aead.h"

#include "tests/unit/unit.h"

static uint64_t seed = 1;

static uint8_t next_byte(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint8_t)(seed >> 56);
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = next_byte();
}

static size_t from_hex(const char *text, uint8_t *dst, size_t n)
{
	int r = hex_decode(slice_str(text), mslice_of(dst, n));
	assert_true(r >= 0);
	return (size_t)r;
}

/* RFC 8439, appendix A.5: the nonce there has four zero bytes in front, as ours. */
static void test_rfc8439(void **state)
{
	uint8_t key[32];
	uint8_t ad[12];
	uint8_t sealed[512];
	uint8_t plain[512];
	uint8_t again[512];
	from_hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", key, 32);
	from_hex("f33388860000000000004e91", ad, 12);
	size_t n = from_hex("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
			    "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
			    "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
			    "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
			    "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
			    "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
			    "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
			    "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
			    "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
			    sealed, sizeof(sealed));
	const uint64_t counter = 0x0807060504030201u;
	assert_int_equal(n, 281);
	assert_int_equal(aead_open(key, counter, slice_of(ad, 12), slice_of(sealed, n), plain), 0);
	assert_memory_equal(plain, "Internet-Drafts are draft documents", 35);
	aead_seal(key, counter, slice_of(ad, 12), slice_of(plain, n - 16), again);
	assert_memory_equal(again, sealed, n);
	for (size_t i = 0; i < n; i++) {
		sealed[i] ^= 1;
		assert_int_equal(
			aead_open(key, counter, slice_of(ad, 12), slice_of(sealed, n), plain),
			LN_E_AUTH);
		sealed[i] ^= 1;
	}
	assert_int_equal(aead_open(key, counter, slice_of(ad, 12), slice_of(sealed, 15), plain),
			 LN_E_TRUNCATED);
}

/* draft-irtf-cfrg-xchacha, appendix A.3.1. */
static void test_xchacha(void **state)
{
	uint8_t key[32];
	uint8_t nonce[24];
	uint8_t ad[12];
	uint8_t plain[114];
	uint8_t sealed[130];
	uint8_t want[130];
	from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, 32);
	from_hex("404142434445464748494a4b4c4d4e4f5051525354555657", nonce, 24);
	from_hex("50515253c0c1c2c3c4c5c6c7", ad, 12);
	memcpy(plain,
	       "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
	       "future, sunscreen would be it.",
	       114);
	from_hex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
		 "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
		 "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		 "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
		 want, sizeof(want));
	aead_xseal(key, nonce, slice_of(ad, 12), slice_of(plain, 114), sealed);
	assert_memory_equal(sealed, want, 130);
	memset(plain, 0, sizeof(plain));
	assert_int_equal(aead_xopen(key, nonce, slice_of(ad, 12), slice_of(sealed, 130), plain), 0);
	assert_memory_equal(plain, "Ladies", 6);
	sealed[129] ^= 0x80;
	assert_int_equal(aead_xopen(key, nonce, slice_of(ad, 12), slice_of(sealed, 130), plain),
			 LN_E_AUTH);
}

#define BATCH 9

/* Every size around a block, whole batches: the batch form against the single calls. */
static void test_batch_equals_single(void **state)
{
	static uint8_t text[BATCH][2048 + AEAD_TAG_LEN];
	static uint8_t want[BATCH][2048 + AEAD_TAG_LEN];
	static uint8_t clear[BATCH][2048];
	const struct aead_ops *ops = &aead_evp;
	uint8_t key[32];
	fill(key, sizeof(key));
	struct aead_ctx *seal = ops->ctx_new(ops, key, AEAD_SEAL);
	struct aead_ctx *open = ops->ctx_new(ops, key, AEAD_OPEN);
	for (unsigned round = 0; round < 60; round++) {
		struct aead_job jobs[BATCH];
		for (size_t i = 0; i < BATCH; i++) {
			size_t n = round < 40 ? round * 4 + i : (size_t)(next_byte() * 8) % 2048;
			uint64_t counter = round < 50 ? round * BATCH + i : ~(uint64_t)i - 8193;
			fill(clear[i], n);
			memcpy(text[i], clear[i], n);
			aead_seal(key, counter, slice_of(NULL, 0), slice_of(clear[i], n), want[i]);
			jobs[i] = (struct aead_job){ .text = text[i], .n = n, .counter = counter };
		}
		ops->seal_batch(seal, jobs, BATCH);
		for (size_t i = 0; i < BATCH; i++)
			assert_memory_equal(text[i], want[i], jobs[i].n + AEAD_TAG_LEN);
		text[round % BATCH][jobs[round % BATCH].n] ^= 1; /* one bad tag among good ones */
		ops->open_batch(open, jobs, BATCH);
		for (size_t i = 0; i < BATCH; i++) {
			assert_int_equal(jobs[i].ok, i != round % BATCH);
			if (jobs[i].ok)
				assert_memory_equal(text[i], clear[i], jobs[i].n);
		}
	}
	ops->ctx_free(seal);
	ops->ctx_free(open);
	ops->ctx_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8439),
		cmocka_unit_test(test_xchacha),
		cmocka_unit_test(test_batch_equals_single),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
