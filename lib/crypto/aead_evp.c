#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/crypto/aead.h"

/*
 * The key schedule and the fetched cipher live as long as the context; a packet costs one
 * re-initialisation with its nonce.
 */
struct aead_ctx {
	EVP_CIPHER_CTX *evp;
};

static struct aead_ctx *evp_new(const struct aead_ops *ops, const uint8_t key[AEAD_KEY_LEN],
				enum aead_dir dir)
{
	struct aead_ctx *c = ln_alloc(sizeof(*c));
	c->evp = EVP_CIPHER_CTX_new();
	ln_assert(c->evp != NULL && EVP_CipherInit_ex(c->evp, EVP_chacha20_poly1305(), NULL, key,
						      NULL, dir == AEAD_SEAL) == 1);
	return c;
}

static void evp_free(struct aead_ctx *c)
{
	if (c == NULL)
		return;
	EVP_CIPHER_CTX_free(c->evp); /* cleanses the key */
	free(c);
}

static void set_nonce(struct aead_ctx *c, uint64_t counter)
{
	uint8_t nonce[12] = { 0 };
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
	ln_assert(EVP_CipherInit_ex(c->evp, NULL, NULL, NULL, nonce, -1) == 1);
}

static void evp_seal(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	for (size_t i = 0; i < njobs; i++) {
		struct aead_job *j = &jobs[i];
		int n = 0;
		set_nonce(c, j->counter);
		if (j->n != 0)
			ln_assert(EVP_EncryptUpdate(c->evp, j->text, &n, j->text, (int)j->n) == 1);
		ln_assert(EVP_EncryptFinal_ex(c->evp, j->text + j->n, &n) == 1 &&
			  EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN,
					      j->text + j->n) == 1);
	}
}

static void evp_open(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	for (size_t i = 0; i < njobs; i++) {
		struct aead_job *j = &jobs[i];
		uint8_t rest[16];
		int n = 0;
		set_nonce(c, j->counter);
		ln_assert(EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN,
					      j->text + j->n) == 1);
		if (j->n != 0)
			ln_assert(EVP_DecryptUpdate(c->evp, j->text, &n, j->text, (int)j->n) == 1);
		j->ok = EVP_DecryptFinal_ex(c->evp, rest, &n) == 1;
	}
}

const struct aead_ops aead_evp = {
	.name = "openssl",
	.ctx_new = evp_new,
	.ctx_free = evp_free,
	.seal_batch = evp_seal,
	.open_batch = evp_open,
};
