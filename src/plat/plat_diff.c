#include "src/plat/plat_diff.h"

#include <stdlib.h>
#include <string.h>

static int prefix_cmp(const void *pa, const void *pb)
{
	const struct ip_prefix *a = pa;
	const struct ip_prefix *b = pb;
	int c = ip_cmp(&a->addr, &b->addr);
	return c != 0 ? c : (int)a->len - (int)b->len;
}

void plat_prefixes_fini(struct plat_prefixes *l)
{
	free(l->v);
	*l = (struct plat_prefixes){ 0 };
}

int plat_prefixes_add(struct plat_prefixes *l, const struct ip_prefix *p)
{
	if (l->n >= PLAT_PREFIXES_MAX)
		return LN_E_LIMIT;
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 16;
		l->v = ln_realloc(l->v, l->cap * sizeof(l->v[0]));
	}
	l->v[l->n++] = *p;
	return 0;
}

void plat_prefixes_sort(struct plat_prefixes *l)
{
	if (l->n < 2)
		return;
	qsort(l->v, l->n, sizeof(l->v[0]), prefix_cmp);
	size_t kept = 1;
	for (size_t i = 1; i < l->n; i++)
		if (prefix_cmp(&l->v[i], &l->v[kept - 1]) != 0)
			l->v[kept++] = l->v[i];
	l->n = kept;
}

int plat_diff(const struct plat_prefixes *have, const struct plat_prefixes *want,
	      struct plat_prefixes *ret_missing, struct plat_prefixes *ret_extra)
{
	size_t h = 0, w = 0;
	int r = 0;
	while (r == 0 && (h < have->n || w < want->n)) {
		int c = h == have->n ? 1 : w == want->n ? -1 : prefix_cmp(&have->v[h], &want->v[w]);
		if (c == 0) {
			h++;
			w++;
		} else if (c < 0) {
			r = plat_prefixes_add(ret_extra, &have->v[h++]);
		} else {
			r = plat_prefixes_add(ret_missing, &want->v[w++]);
		}
	}
	return r;
}
