#include "src/store/store_notes.h"

#include <stdlib.h>
#include <string.h>

void store_notes_clear(struct store_notes *n, uint64_t serial)
{
	n->n = 0;
	n->from = serial;
}

void store_notes_add(struct store_notes *n, uint64_t serial, const struct store_id *peer,
		     bool rules)
{
	if (n->n == STORE_NOTES_MAX) {
		store_notes_clear(n, serial); /* the note of this serial goes with them */
		return;
	}
	struct store_note *note = &n->v[n->n++];
	note->serial = serial;
	note->rules = rules;
	memset(&note->peer, 0, sizeof(note->peer));
	if (peer != NULL)
		note->peer = *peer;
}

void store_notes_drop(struct store_notes *n, uint64_t serial)
{
	size_t kept = 0;
	for (size_t i = 0; i < n->n; i++) {
		if (n->v[i].serial > serial)
			n->v[kept++] = n->v[i];
	}
	n->n = kept;
	n->from = LN_MAX(n->from, serial);
}

static int id_cmp(const void *a, const void *b)
{
	return strcmp(((const struct store_id *)a)->text, ((const struct store_id *)b)->text);
}

size_t store_notes_peers(const struct store_notes *n, uint64_t serial, struct store_id *ids,
			 bool *ret_rules)
{
	size_t all = 0, kept = 0;
	*ret_rules = false;
	for (size_t i = 0; i < n->n; i++) {
		if (n->v[i].serial <= serial)
			continue;
		*ret_rules = *ret_rules || n->v[i].rules;
		if (n->v[i].peer.text[0] != '\0')
			ids[all++] = n->v[i].peer;
	}
	if (all > 1)
		qsort(ids, all, sizeof(*ids), id_cmp);
	for (size_t i = 0; i < all; i++) {
		if (kept == 0 || id_cmp(&ids[kept - 1], &ids[i]) != 0)
			ids[kept++] = ids[i];
	}
	return kept;
}
