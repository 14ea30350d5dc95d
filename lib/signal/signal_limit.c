#include "lib/signal/signal_limit.h"

#include <stdlib.h>

#include "lib/base/list.h"
#include "lib/base/map.h"

struct source {
	struct map_node node;
	struct list recent; /* in limit->recent, the longest unseen first */
	uint8_t key[9];     /* family and prefix */
	/* When all messages so far are paid for at the rate (GCRA, ITU-T I.371): the one number. */
	ln_time paid;
};

struct signal_limit {
	ln_time interval; /* of one message; 0 = no limit */
	ln_time ahead;    /* how far `paid` may be in the future */
	unsigned max_sources;
	struct map sources;
	struct list recent;
};

struct signal_limit *signal_limit_new(const struct signal_limit_conf *conf,
				      const struct ln_rng *rng)
{
	struct signal_limit *l = ln_alloc(sizeof(*l));
	uint64_t burst = conf->burst != 0 ? conf->burst : 4 * (uint64_t)conf->rate;
	l->interval = conf->rate != 0 ? LN_SEC / conf->rate : 0;
	l->ahead = burst > 0 ? (ln_time)(burst - 1) * l->interval : 0;
	l->max_sources = conf->max_sources != 0 ? conf->max_sources : 4096;
	map_init(&l->sources, rng_u64(rng), rng_u64(rng));
	list_init(&l->recent);
	return l;
}

static void forget(struct signal_limit *l, struct source *s)
{
	map_remove(&l->sources, &s->node);
	list_remove(&s->recent);
	free(s);
}

void signal_limit_free(struct signal_limit *l)
{
	if (l == NULL)
		return;
	while (!list_empty(&l->recent))
		forget(l, list_entry(l->recent.next, struct source, recent));
	map_fini(&l->sources);
	free(l);
}

static struct source *source_of(struct signal_limit *l, const struct ip_addr *addr)
{
	uint8_t key[9] = { addr->family };
	memcpy(key + 1, addr->b, addr->family == 4 ? 4 : 8);
	struct map_node *n = map_find(&l->sources, slice_of(key, sizeof(key)));
	if (n != NULL)
		return map_entry(n, struct source, node);
	if (l->sources.count >= l->max_sources)
		forget(l, list_entry(l->recent.next, struct source, recent));
	struct source *s = ln_alloc(sizeof(*s));
	memcpy(s->key, key, sizeof(key));
	list_init(&s->recent);
	map_insert(&l->sources, &s->node, slice_of(s->key, sizeof(s->key)));
	return s;
}

bool signal_limit_pass(struct signal_limit *l, ln_time now, const struct ip_addr *source)
{
	if (l->interval == 0 || source->family == 0)
		return true;
	struct source *s = source_of(l, source);
	list_remove(&s->recent);
	list_add_tail(&l->recent, &s->recent);
	ln_time paid = s->paid > now ? s->paid : now;
	if (paid - now > l->ahead)
		return false;
	s->paid = paid + l->interval;
	return true;
}
