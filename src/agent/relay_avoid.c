#include "src/agent/relay_avoid.h"

#include <stdlib.h>
#include <string.h>

#define AVOID_FIRST (10 * LN_MINUTE)
#define AVOID_LAST LN_HOUR
#define AVOID_MAX 64

struct avoided {
	struct list link;
	ln_time until, window;
	char server[];
};

static struct avoided *avoided_find(const struct relay_avoid *a, const char *server)
{
	list_for_each(l, &a->entries) {
		struct avoided *e = list_entry(l, struct avoided, link);
		if (strcmp(e->server, server) == 0)
			return e;
	}
	return NULL;
}

void relay_avoid_init(struct relay_avoid *a)
{
	list_init(&a->entries);
}

void relay_avoid_fini(struct relay_avoid *a)
{
	struct list *l;
	while ((l = list_pop(&a->entries)) != NULL)
		free(list_entry(l, struct avoided, link));
}

void relay_avoid_mark(struct relay_avoid *a, const char *server, ln_time now)
{
	size_t n = 0;
	struct avoided *e = avoided_find(a, server);
	list_for_each(l, &a->entries)
		n++;
	if (e == NULL && n == AVOID_MAX) {
		/* The oldest makes room. */
		struct list *l = list_pop(&a->entries);
		free(list_entry(l, struct avoided, link));
	}
	if (e == NULL) {
		e = ln_alloc(sizeof(*e) + strlen(server) + 1);
		strcpy(e->server, server);
		list_add_tail(&a->entries, &e->link);
	} else if (now < e->until) {
		return;
	}
	e->window = e->window == 0 ? AVOID_FIRST : LN_MIN(2 * e->window, AVOID_LAST);
	e->until = now + e->window;
}

bool relay_avoid_has(const struct relay_avoid *a, const char *server, ln_time now)
{
	const struct avoided *e = avoided_find(a, server);
	return e != NULL && now < e->until;
}
