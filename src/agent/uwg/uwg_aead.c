#include "src/agent/uwg/uwg_aead.h"

#include <stdlib.h>

#include "lib/crypto/ct.h"

#include "src/agent/uwg/uwg_ipsecmb.h"
#include "src/obs/obs_log.h"

#define FEW_PACKETS 32       /* of one key and direction, before it gets a context */
#define LOAD_AFTER (2 << 20) /* bytes of a device, before a faster library is looked for */

struct uwg_aead {
	struct aead_ops ops;
	const struct aead_ops *best;
	struct uwg_ipsecmb *ipsecmb;
	uint64_t bytes;
	bool looked;
};

struct aead_ctx {
	struct uwg_aead *owner;
	uint8_t key[AEAD_KEY_LEN];
	enum aead_dir dir;
	unsigned packets;           /* up to FEW_PACKETS */
	const struct aead_ops *ops; /* of `inner` */
	struct aead_ctx *inner;     /* null: a key of few packets */
};

static struct aead_ctx *ctx_new(const struct aead_ops *ops, const uint8_t key[AEAD_KEY_LEN],
				enum aead_dir dir)
{
	struct aead_ctx *c = ln_alloc(sizeof(*c));
	c->owner = ops->state;
	memcpy(c->key, key, sizeof(c->key));
	c->dir = dir;
	return c;
}

static void ctx_free(struct aead_ctx *c)
{
	if (c == NULL)
		return;
	if (c->inner != NULL)
		c->ops->ctx_free(c->inner);
	ct_wipe(c, sizeof(*c));
	free(c);
}

static void look_for_better(struct uwg_aead *a)
{
	a->looked = true;
	int r = uwg_ipsecmb_open(&a->ipsecmb);
	if (r == LN_E_INTERNAL)
		log_warn("uwg", "intel-ipsec-mb failed its self-test and is not used");
	if (r == 0)
		a->best = uwg_ipsecmb_ops(a->ipsecmb);
	log_debug("uwg", "cipher chosen", LOG_STR("implementation", a->best->name));
}

/* Whether the batch has a context to run in; if not, its packets are handled one by one. */
static bool prepare(struct aead_ctx *c, const struct aead_job *jobs, size_t njobs)
{
	struct uwg_aead *a = c->owner;
	for (size_t i = 0; i < njobs; i++)
		a->bytes += jobs[i].n;
	if (!a->looked && a->bytes >= LOAD_AFTER)
		look_for_better(a);
	if (c->inner != NULL && c->ops == a->best)
		return true;
	if (c->packets + njobs < FEW_PACKETS) {
		c->packets += (unsigned)njobs;
		return false;
	}
	if (c->inner != NULL)
		c->ops->ctx_free(c->inner);
	c->ops = a->best;
	c->inner = c->ops->ctx_new(c->ops, c->key, c->dir);
	c->packets = FEW_PACKETS;
	return true;
}

static void seal_batch(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	if (prepare(c, jobs, njobs)) {
		c->ops->seal_batch(c->inner, jobs, njobs);
		return;
	}
	for (size_t i = 0; i < njobs; i++)
		aead_seal(c->key, jobs[i].counter, slice_of(NULL, 0),
			  slice_of(jobs[i].text, jobs[i].n), jobs[i].text);
}

static void open_batch(struct aead_ctx *c, struct aead_job *jobs, size_t njobs)
{
	if (prepare(c, jobs, njobs)) {
		c->ops->open_batch(c->inner, jobs, njobs);
		return;
	}
	for (size_t i = 0; i < njobs; i++)
		jobs[i].ok = aead_open(c->key, jobs[i].counter, slice_of(NULL, 0),
				       slice_of(jobs[i].text, jobs[i].n + AEAD_TAG_LEN),
				       jobs[i].text) == 0;
}

struct uwg_aead *uwg_aead_new(void)
{
	struct uwg_aead *a = ln_alloc(sizeof(*a));
	a->best = &aead_evp;
	a->ops = (struct aead_ops){
		.name = "adaptive",
		.state = a,
		.ctx_new = ctx_new,
		.ctx_free = ctx_free,
		.seal_batch = seal_batch,
		.open_batch = open_batch,
	};
	return a;
}

void uwg_aead_free(struct uwg_aead *a)
{
	if (a == NULL)
		return;
	uwg_ipsecmb_close(a->ipsecmb);
	free(a);
}

const struct aead_ops *uwg_aead_ops(const struct uwg_aead *a)
{
	return &a->ops;
}
