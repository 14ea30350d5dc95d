#pragma once
/*
 * What this store changed at which serial, so that the next snapshot reads that and nothing else.
 * A note may say too much (its transaction was rolled back), never too little: there is no raising
 * the serial without one. Changes by others are found by the database's own counter, and then
 * everything is read. Private to src/store.
 */
#include "src/store/store.h"

#define STORE_NOTES_MAX 1024 /* between two snapshots; with more everything is read */

struct store_note {
	uint64_t serial;
	struct store_id peer; /* empty: none */
	bool rules;           /* groups, policies or the account */
};

struct store_notes {
	uint64_t from;   /* complete for every serial above this one */
	int64_t foreign; /* store_db_foreign() when `from` was set */
	size_t n;
	struct store_note v[STORE_NOTES_MAX];
};

void store_notes_add(struct store_notes *n, uint64_t serial, const struct store_id *peer,
		     bool rules);
/* Forgets all: they are complete from `serial` on. */
void store_notes_clear(struct store_notes *n, uint64_t serial);
/* Forgets what a snapshot of this serial has in it. */
void store_notes_drop(struct store_notes *n, uint64_t serial);
/*
 * The peers noted above `serial`, ascending, each once, into `ids` with room for STORE_NOTES_MAX.
 * Their number.
 */
size_t store_notes_peers(const struct store_notes *n, uint64_t serial, struct store_id *ids,
			 bool *ret_rules);
