#include "src/net/net_headers.h"

#include <stdlib.h>

int net_headers_add(struct net_headers *h, struct slice name, struct slice value)
{
	size_t need = name.n + value.n + 2;
	if (h->count == NET_HEADERS_COUNT || need > NET_HEADERS_BYTES - h->n)
		return LN_E_LIMIT;
	if ((name.n != 0 && memchr(name.p, 0, name.n) != NULL) ||
	    (value.n != 0 && memchr(value.p, 0, value.n) != NULL))
		return LN_E_MALFORMED;
	if (h->n + need > h->cap) {
		h->cap = LN_MAX(h->n + need, h->cap + 256);
		h->p = ln_realloc(h->p, h->cap);
	}
	char *p = h->p + h->n;
	if (name.n != 0)
		memcpy(p, name.p, name.n);
	p[name.n] = '\0';
	p += name.n + 1;
	if (value.n != 0)
		memcpy(p, value.p, value.n);
	p[value.n] = '\0';
	h->n += need;
	h->count++;
	return 0;
}

const char *net_headers_get(const struct net_headers *h, const char *name)
{
	for (const char *p = h->p, *end = h->p + h->n; p != end;) {
		const char *value = p + strlen(p) + 1;
		if (strcmp(p, name) == 0)
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

void net_headers_trim(struct net_headers *h)
{
	if (h->n != 0 && h->n < h->cap) {
		h->p = ln_realloc(h->p, h->n);
		h->cap = h->n;
	}
}

void net_headers_fini(struct net_headers *h)
{
	free(h->p);
	*h = (struct net_headers){ .n = 0 };
}
