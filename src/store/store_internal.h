#pragma once
/* What the files of src/store share. Private to them and to their tests. */
#include "src/store/store.h"
#include "src/store/store_db.h"
#include "src/store/store_notes.h"

struct store_migration;
struct store_thread;

struct store {
	struct store_db *db;
	const struct ln_rng *rng;
	struct store_id account; /* empty until store_account_ensure() or _get() */
	struct store_thread *thread;
	struct store_notes notes;
};

/* store_open() with another list of migrations than the program's: for tests. */
LN_MUST_CHECK int store_open_migrations(const struct store_conf *conf,
					const struct store_migration *list, size_t nlist,
					struct store **ret, struct ln_fail *f);
/* Puts the database's own words behind an error. Returns err. */
int store_fail(struct store *s, struct ln_fail *f, int err, const char *what);
void store_id_make(const struct ln_rng *rng, ln_wall now, struct store_id *ret);
struct store_id store_id_of(const char *text);

static inline bool store_id_is_set(const struct store_id *id)
{
	return id->text[0] != '\0';
}

/*
 * serial + 1 inside the open transaction; the new serial. Says what changed: a peer or its groups
 * (null: no peer), and whether groups, policies or the account did.
 */
LN_MUST_CHECK int store_serial_raise(struct store *s, const struct store_id *peer, bool rules,
				     uint64_t *ret);
/* A name people may choose: 1..255 bytes, no control characters. 0 or LN_E_MALFORMED. */
LN_MUST_CHECK int store_name_check(const char *name);
/* Inside an open transaction. */
LN_MUST_CHECK int store_group_insert(struct store *s, const char *name, struct store_id *ret);
LN_MUST_CHECK int store_policy_insert(struct store *s, struct store_policy *p, struct ln_fail *f);
/* Binds the columns of struct store_meta in their order. */
void store_meta_bind(struct store_q *q, const struct store_meta *m);
/* 1 or 0. */
LN_MUST_CHECK int store_group_exists(struct store *s, const struct store_id *id);
LN_MUST_CHECK int store_peer_exists(struct store *s, const struct store_id *id);
/*
 * Room for element n of an array in the arena that grows by doubling; the old copy stays behind
 * until the arena goes. False when the arena is full.
 */
bool store_grow(struct arena *a, void **v, size_t n, size_t *cap, size_t size);
