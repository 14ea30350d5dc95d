#include "src/agent/uwg/uwg_ipsecmb.h"

#ifdef UWG_IPSECMB

# include <dlfcn.h>
# include <intel-ipsec-mb.h>
# include <stdlib.h>

# include "lib/crypto/ct.h"

# define LIBRARY "libIPSec_MB.so.1"

struct uwg_ipsecmb {
	struct aead_ops ops;
	void *library;
	IMB_MGR *manager;
	void (*free_manager)(IMB_MGR *m);
};

struct aead_ctx {
	IMB_MGR *manager;
	uint8_t key[AEAD_KEY_LEN];
};

/* --- the table -------------------------------------------------------------------------------- */

static struct aead_ctx *ctx_new(const struct aead_ops *ops, const uint8_t key[AEAD_KEY_LEN],
				enum aead_dir dir)
{
	struct aead_ctx *c = ln_alloc(sizeof(*c));
	const struct uwg_ipsecmb *m = ops->state;
	c->manager = m->manager;
	memcpy(c->key, key, sizeof(c->key));
	return c;
}

static void ctx_free(struct aead_ctx *c)
{
	if (c == NULL)
		return;
	ct_wipe(c, sizeof(*c));
	free(c);
}

/* One packet; the tag goes to `tag`. The library finishes this cipher within the call. */
static void run(struct aead_ctx *c, const struct aead_job *j, IMB_CIPHER_DIRECTION dir,
		uint8_t tag[AEAD_TAG_LEN])
{
	uint8_t nonce[12] = { 0 };
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(j->counter >> (8 * i));
	IMB_JOB *b = IMB_GET_NEXT_JOB(c->manager);
	b->cipher_direction = dir;
	b->chain_order = dir == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	b->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	b->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	b->enc_keys = b->dec_keys = c->key;
	b->key_len_in_bytes = sizeof(c->key);
	b->u.CHACHA20_POLY1305.aad = NULL;
	b->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
	b->src = b->dst = j->text;
	b->cipher_start_src_offset_in_bytes = 0;
	b->msg_len_to_cipher_in_bytes = j->n;
	b->hash_start_src_offset_in_bytes = 0;
	b->msg_len_to_hash_in_bytes = j->n;
	b->iv = nonce;
	b->iv_len_in_bytes = sizeof(nonce);
	b->auth_tag_output = tag;
	b->auth_tag_output_len_in_bytes = AEAD_TAG_LEN;
	const IMB_JOB *done = IMB_SUBMIT_JOB_NOCHECK(c->manager);
	ln_assert(done == b && done->status == IMB_STATUS_COMPLETED);
}

static void seal_batch(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	for (size_t i = 0; i < njobs; i++)
		run(c, &jobs[i], IMB_DIR_ENCRYPT, jobs[i].text + jobs[i].n);
}

static void open_batch(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	for (size_t i = 0; i < njobs; i++) {
		uint8_t tag[AEAD_TAG_LEN];
		run(c, &jobs[i], IMB_DIR_DECRYPT, tag);
		jobs[i].ok = ct_equal(tag, jobs[i].text + jobs[i].n, AEAD_TAG_LEN);
	}
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Lengths on both sides of what the library treats differently. */
static const uint16_t test_lengths[] = {
	0,   1,   15,  16,  17,  31,  32,  48,  63,   64,   65,   127,  128,  129,  191,  192,  255,
	256, 257, 319, 320, 511, 512, 513, 768, 1023, 1024, 1025, 1280, 1420, 1437, 2048, 4097,
};

/* Sealing and opening against libsodium; a damaged packet must be refused. */
static bool test_length(const struct aead_ops *ops, const uint8_t key[AEAD_KEY_LEN], size_t n)
{
	uint8_t plain[4097];
	uint8_t want[sizeof(plain) + AEAD_TAG_LEN];
	uint8_t text[sizeof(plain) + AEAD_TAG_LEN];
	struct aead_job j = { .text = text, .n = n, .counter = 0x1122334455667788u + n };
	struct aead_ctx *seal = ops->ctx_new(ops, key, AEAD_SEAL);
	struct aead_ctx *open = ops->ctx_new(ops, key, AEAD_OPEN);
	for (size_t i = 0; i < n; i++)
		plain[i] = text[i] = (uint8_t)(i * 167 + n);
	aead_seal(key, j.counter, slice_of(NULL, 0), slice_of(plain, n), want);
	ops->seal_batch(seal, &j, 1);
	bool same = memcmp(text, want, n + AEAD_TAG_LEN) == 0;
	ops->open_batch(open, &j, 1);
	same = same && j.ok && memcmp(text, plain, n) == 0;
	memcpy(text, want, n + AEAD_TAG_LEN);
	text[n / 2] ^= 0x10;
	ops->open_batch(open, &j, 1);
	ops->ctx_free(seal);
	ops->ctx_free(open);
	return same && !j.ok;
}

static bool self_test(const struct aead_ops *ops)
{
	uint8_t key[AEAD_KEY_LEN];
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(0x80 + i * 3);
	for (size_t i = 0; i < LN_COUNT(test_lengths); i++)
		if (!test_length(ops, key, test_lengths[i]))
			return false;
	return true;
}

static bool processor_is_worth_it(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512ifma");
}

/* dlsym() answers with an object's pointer; ISO C has no conversion from it to a function's. */
static bool find(void *library, const char *name, void *ret, size_t size)
{
	void *p = dlsym(library, name);
	if (p == NULL || size != sizeof(p))
		return false;
	memcpy(ret, &p, size);
	return true;
}

static int start(struct uwg_ipsecmb *m)
{
	unsigned (*version)(void);
	IMB_MGR *(*alloc)(uint64_t flags);
	void (*init)(IMB_MGR *);
	m->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (m->library == NULL || !find(m->library, "imb_get_version", &version, sizeof(version)) ||
	    !find(m->library, "alloc_mb_mgr", &alloc, sizeof(alloc)) ||
	    !find(m->library, "init_mb_mgr_avx512", &init, sizeof(init)) ||
	    !find(m->library, "free_mb_mgr", &m->free_manager, sizeof(m->free_manager)))
		return LN_E_NOTFOUND;
	/* Jobs and manager are plain structures: only the release we were built with is safe. */
	if (version() >> 8 != IMB_VERSION_NUM >> 8)
		return LN_E_NOTFOUND;
	m->manager = alloc(0);
	if (m->manager == NULL)
		return LN_E_UNSUPPORTED;
	init(m->manager);
	if ((m->manager->features & IMB_FEATURE_AVX512_IFMA) == 0)
		return LN_E_UNSUPPORTED;
	return self_test(&m->ops) ? 0 : LN_E_INTERNAL;
}

int uwg_ipsecmb_open(struct uwg_ipsecmb **ret)
{
	if (!processor_is_worth_it())
		return LN_E_UNSUPPORTED;
	struct uwg_ipsecmb *m = ln_alloc(sizeof(*m));
	m->ops = (struct aead_ops){
		.name = "intel-ipsec-mb",
		.state = m,
		.ctx_new = ctx_new,
		.ctx_free = ctx_free,
		.seal_batch = seal_batch,
		.open_batch = open_batch,
	};
	int r = start(m);
	if (r < 0) {
		uwg_ipsecmb_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void uwg_ipsecmb_close(struct uwg_ipsecmb *m)
{
	if (m == NULL)
		return;
	if (m->manager != NULL)
		m->free_manager(m->manager);
	if (m->library != NULL)
		dlclose(m->library);
	free(m);
}

const struct aead_ops *uwg_ipsecmb_ops(const struct uwg_ipsecmb *m)
{
	return &m->ops;
}

#else

int uwg_ipsecmb_open(struct uwg_ipsecmb **ret)
{
	return LN_E_UNSUPPORTED;
}

void uwg_ipsecmb_close(struct uwg_ipsecmb *m)
{
}

const struct aead_ops *uwg_ipsecmb_ops(const struct uwg_ipsecmb *m)
{
	return NULL;
}

#endif
