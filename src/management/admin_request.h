#pragma once
/*
 * One administration request against a store: shapes in admin_api.h. Runs on the store thread (or
 * wherever the store is used directly: tests). Private to src/management.
 */
#include <jansson.h>

#include "lib/base/arena.h"
#include "lib/crypto/key.h"

#include "src/store/store.h"

struct admin_context {
	struct store *store;
	const struct ln_rng *rng; /* setup keys */
	struct wg_key server_key;
	ln_wall now;
	struct arena arena; /* of one request */
	struct store_account account;
};

/* The whole answer object; never null. The caller owns it. *ret_serial: the serial afterwards. */
json_t *admin_request(struct admin_context *x, const json_t *request, uint64_t *ret_serial);

/* --- between the files of the administration
 * ------------------------------------------------------ */

typedef int admin_verb_fn(struct admin_context *x, const json_t *args, json_t **ret,
			  struct ln_fail *f);

struct admin_verb {
	const char *noun;
	const char *verb;
	const char *args; /* names, separated by spaces; '!' in front of those that must be there */
	admin_verb_fn *fn;
};

extern const struct admin_verb admin_key_verbs[];
extern const size_t admin_key_nverbs;
extern const struct admin_verb admin_peer_verbs[]; /* peers, groups, the account */
extern const size_t admin_peer_nverbs;
extern const struct admin_verb admin_policy_verbs[];
extern const size_t admin_policy_nverbs;

/* Arguments: absent gives the default; a wrong type LN_E_MALFORMED. `*ret` stays valid with args.
 */
LN_MUST_CHECK int admin_arg_text(const json_t *args, const char *name, const char **ret,
				 struct ln_fail *f); /* absent: null */
LN_MUST_CHECK int admin_arg_bool(const json_t *args, const char *name, bool *ret,
				 struct ln_fail *f);
LN_MUST_CHECK int admin_arg_int(const json_t *args, const char *name, int64_t min, int64_t max,
				int64_t *ret, struct ln_fail *f);

/* By id or name. LN_E_NOTFOUND, LN_E_CONFLICT (several). */
LN_MUST_CHECK int admin_find_group(struct admin_context *x, const char *what,
				   struct store_group *ret, struct ln_fail *f);
LN_MUST_CHECK int admin_find_peer(struct admin_context *x, const char *what, struct store_peer *ret,
				  struct ln_fail *f);
/* ["a", "b"] as references to groups. Absent: none. */
LN_MUST_CHECK int admin_arg_groups(struct admin_context *x, const json_t *args, const char *name,
				   const struct store_ref **ret, size_t *ret_n, struct ln_fail *f);

json_t *admin_json_time(int64_t unix_s);           /* text or null */
json_t *admin_json_ref(const struct store_ref *r); /* {id, name} or null */
json_t *admin_json_refs(const struct store_ref *v, size_t n);
/* Text of a database timestamp as RFC 3339, or null. */
json_t *admin_json_seen(const char *last_seen);
