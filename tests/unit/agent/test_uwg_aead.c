/* The bulk ciphers of a device against published bytes, libsodium, and each other. */
#include <stdlib.h>

#include "lib/base/hex.h"

#include "src/agent/uwg/uwg_aead.h"
#include "src/agent/uwg/uwg_ipsecmb.h"
#include "tests/unit/unit.h"

#define MOST 65535
#define TABLES 3

static struct uwg_ipsecmb *ipsecmb;
static struct uwg_aead *adaptive;

static struct {
	const struct aead_ops *ops;
	struct aead_ctx *seal;
	struct aead_ctx *open;
} table[TABLES];

static size_t ntables;
static uint8_t key[AEAD_KEY_LEN];

static void set_key(const uint8_t k[AEAD_KEY_LEN])
{
	memcpy(key, k, sizeof(key));
	for (size_t i = 0; i < ntables; i++) {
		const struct aead_ops *ops = table[i].ops;
		ops->ctx_free(table[i].seal);
		ops->ctx_free(table[i].open);
		table[i].seal = ops->ctx_new(ops, key, AEAD_SEAL);
		table[i].open = ops->ctx_new(ops, key, AEAD_OPEN);
	}
}

static int set_up(void **state)
{
	table[ntables++].ops = &aead_evp;
	adaptive = uwg_aead_new();
	table[ntables++].ops = uwg_aead_ops(adaptive);
	int r = uwg_ipsecmb_open(&ipsecmb);
	if (r == 0)
		table[ntables++].ops = uwg_ipsecmb_ops(ipsecmb);
	else
		print_message("# intel-ipsec-mb is not tested here: %s\n", ln_strerror(r));
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < ntables; i++) {
		table[i].ops->ctx_free(table[i].seal);
		table[i].ops->ctx_free(table[i].open);
	}
	uwg_aead_free(adaptive);
	uwg_ipsecmb_close(ipsecmb);
	return 0;
}

/* Every table seals `plain` to `want`, opens it again, and refuses it with one bit changed. */
static void check(const uint8_t *plain, size_t n, uint64_t counter, const uint8_t *want)
{
	static uint8_t text[MOST + AEAD_TAG_LEN + 1];
	for (size_t i = 0; i < ntables; i++) {
		const struct aead_ops *ops = table[i].ops;
		struct aead_job j = { .text = text, .n = n, .counter = counter };
		memcpy(text, plain, n);
		text[n + AEAD_TAG_LEN] = 0xa5;
		ops->seal_batch(table[i].seal, &j, 1);
		assert_memory_equal(text, want, n + AEAD_TAG_LEN);
		assert_int_equal(text[n + AEAD_TAG_LEN], 0xa5);
		ops->open_batch(table[i].open, &j, 1);
		assert_true(j.ok);
		assert_memory_equal(text, plain, n);
		assert_int_equal(text[n + AEAD_TAG_LEN], 0xa5);
		memcpy(text, want, n + AEAD_TAG_LEN);
		text[(counter * 7 + n / 3) % (n + AEAD_TAG_LEN)] ^= 1 << n % 8;
		ops->open_batch(table[i].open, &j, 1);
		assert_false(j.ok);
	}
}

static void check_length(size_t n, uint64_t counter)
{
	static uint8_t plain[MOST];
	static uint8_t want[MOST + AEAD_TAG_LEN];
	for (size_t i = 0; i < n; i++)
		plain[i] = (uint8_t)((i * 2654435761u + n) >> 7);
	aead_seal(key, counter, slice_of(NULL, 0), slice_of(plain, n), want);
	check(plain, n, counter, want);
}

/* RFC 8439 A.2, vector 2: its block counter begins at 1 and its nonce is one of ours. */
static void test_rfc8439_text(void **state)
{
	static const char text[] =
		"Any submission to the IETF intended by the Contributor for publication as all or "
		"part of an IETF Internet-Draft or RFC and any statement made within the context "
		"of an IETF activity is considered an \"IETF Contribution\". Such statements "
		"include oral statements in IETF sessions, as well as written and electronic "
		"communications made at any time or place, which are addressed to";
	static const char cipher[] =
		"a3fbf07df3fa2fde4f376ca23e82737041605d9f4f4f57bd8cff2c1d4b7955ec2a97948bd3722915c8"
		"f3d337f7d370050e9e96d647b7c39f56e031ca5eb6250d4042e02785ececfa4b4bb5e8ead0440e20b6"
		"e8db09d881a7c6132f420e52795042bdfa7773d8a9051447b3291ce1411c680465552aa6c405b7764d"
		"5e87bea85ad00f8449ed8f72d0d662ab052691ca66424bc86d2df80ea41f43abf937d3259dc4b2d0df"
		"b48a6c9139ddd7f76966e928e635553ba76c5c879d7b35d49eb2e62b0871cdac638939e25e8a1e0ef9"
		"d5280fa8ca328b351c3c765989cbcf3daa8b6ccc3aaf9f3979c92b3720fc88dc95ed84a1be059c6499"
		"b9fda236e7e818b04b0bc39c1e876b193bfe5569753f88128cc08aaa9b63d1a16f80ef2554d7189c41"
		"1f5869ca52c5b83fa36ff216b9c1d30062bebcfd2dc5bce0911934fda79a86f6e698ced759c3ff9b64"
		"77338f3da4f9cd8514ea9982ccafb341b2384dd902f3d1ab7ac61dd29c6f21ba5b862f3730e37cfdc4"
		"fd806c22f221";
	const uint64_t counter = 0x0200000000000000u;
	const uint8_t k[AEAD_KEY_LEN] = { [31] = 1 };
	uint8_t want[375 + AEAD_TAG_LEN];
	uint8_t published[375];
	assert_int_equal(sizeof(text) - 1, 375);
	assert_int_equal(hex_decode(slice_str(cipher), mslice_of(published, 375)), 375);
	set_key(k);
	aead_seal(k, counter, slice_of(NULL, 0), slice_of(text, 375), want);
	assert_memory_equal(want, published, 375);
	check((const uint8_t *)text, 375, counter, want);
}

/* Every length to past a full packet, then both sides of every block of the cipher up to the
 * longest. */
static void test_every_edge(void **state)
{
	const uint8_t k[AEAD_KEY_LEN] = { 0x9c, 1, 2, 3, [16] = 0xfe, [31] = 0x7b };
	set_key(k);
	for (size_t n = 0; n <= 1540; n++)
		check_length(n, n * 0x9e3779b97f4a7c15u);
	for (size_t n = 1600; n < MOST; n += 64)
		for (size_t at = n - 1; at <= n + 1; at++)
			check_length(at, at);
	for (size_t n = MOST - 17; n <= MOST; n++)
		check_length(n, ~(uint64_t)n);
}

/*
 * Where Poly1305 carries: the ciphertext is chosen, through the key stream, to be blocks of all
 * ones, zeros, the prime's own limbs, and their neighbours.
 */
static void test_poly1305_edges(void **state)
{
	static const char *const blocks[] = {
		"ffffffffffffffffffffffffffffffff", "00000000000000000000000000000000",
		"fbffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff",
		"fcffffffffffffffffffffffffffffff", "01000000000000000000000000000000",
		"00000000000000000000000000000080", "ffffffffff0f0000000000000000ffff",
	};
	const size_t n = 1280;
	uint8_t plain[1280];
	uint8_t want[1280 + AEAD_TAG_LEN];
	uint8_t block[16];
	for (unsigned round = 0; round < 64; round++) {
		uint8_t k[AEAD_KEY_LEN] = { (uint8_t)round, 0x55, [31] = (uint8_t)(round * 37) };
		memset(plain, 0, n);
		set_key(k);
		aead_seal(k, round, slice_of(NULL, 0), slice_of(plain, n), want);
		for (size_t i = 0; i < n; i++) {
			size_t which = round < 8 ? round : (i / 16 * 5 + round * 3) % 8;
			assert_int_equal(hex_decode(slice_str(blocks[which]), mslice_of(block, 16)),
					 16);
			plain[i] = want[i] ^ block[i % 16];
		}
		aead_seal(k, round, slice_of(NULL, 0), slice_of(plain, n), want);
		check(plain, n, round, want);
		aead_seal(k, round, slice_of(NULL, 0), slice_of(plain, n - 7), want);
		check(plain, n - 7, round, want);
	}
}

/* A device moves from single calls to contexts to the fast library in the middle of a session. */
static void test_adaptive(void **state)
{
	const uint8_t k[AEAD_KEY_LEN] = { 3 };
	struct uwg_aead *a = uwg_aead_new();
	const struct aead_ops *ops = uwg_aead_ops(a);
	struct aead_ctx *seal = ops->ctx_new(ops, k, AEAD_SEAL);
	struct aead_ctx *open = ops->ctx_new(ops, k, AEAD_OPEN);
	static uint8_t text[16][1280 + AEAD_TAG_LEN];
	uint8_t want[1280 + AEAD_TAG_LEN];
	uint8_t plain[1280];
	uint64_t counter = 0;
	memset(plain, 0x42, sizeof(plain));
	for (unsigned round = 0; round < 400; round++) { /* 8 MB */
		struct aead_job jobs[16];
		size_t n = 1 + round % 16;
		for (size_t i = 0; i < n; i++) {
			memcpy(text[i], plain, 1280);
			jobs[i] = (struct aead_job){ .text = text[i],
						     .n = 1280,
						     .counter = counter++ };
		}
		ops->seal_batch(seal, jobs, n);
		aead_seal(k, jobs[n - 1].counter, slice_of(NULL, 0), slice_of(plain, 1280), want);
		assert_memory_equal(text[n - 1], want, sizeof(want));
		text[0][1] ^= round % 2;
		ops->open_batch(open, jobs, n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(jobs[i].ok, i != 0 || round % 2 == 0);
			if (jobs[i].ok)
				assert_memory_equal(text[i], plain, 1280);
		}
	}
	ops->ctx_free(seal);
	ops->ctx_free(open);
	ops->ctx_free(NULL);
	uwg_aead_free(a);
	uwg_aead_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8439_text),
		cmocka_unit_test(test_every_edge),
		cmocka_unit_test(test_poly1305_edges),
		cmocka_unit_test(test_adaptive),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
