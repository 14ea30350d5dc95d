/* setup-key create, list, revoke, delete. */
#include <string.h>

#include "lib/token/setup_key.h"

#include "src/management/admin_request.h"

#define DEFAULT_LIFE_S (24 * 3600)
#define LIFE_MAX_S ((int64_t)100 * 365 * 24 * 3600)

static enum setup_key_verdict judge(const struct admin_context *x, const struct store_key *k)
{
	struct setup_key_state state = {
		.revoked = k->revoked,
		.reusable = k->reusable,
		.expires = k->expires * LN_SEC,
		.usage_limit = k->usage_limit,
		.used = k->used_times,
	};
	return setup_key_judge(&state, x->now);
}

static json_t *key_json(const struct admin_context *x, const struct store_key *k)
{
	enum setup_key_verdict v = judge(x, k);
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:o,s:b,s:b,s:b,s:s,s:o,s:o}", "id", k->id.text,
		"name", k->name, "masked", k->masked, "type", k->reusable ? "reusable" : "one-off",
		"expires", admin_json_time(k->expires), "usage_limit", (json_int_t)k->usage_limit,
		"used_times", (json_int_t)k->used_times, "last_used", admin_json_time(k->last_used),
		"ephemeral", k->ephemeral, "revoked", k->revoked, "valid", v == SETUP_KEY_VALID,
		"state", setup_key_verdict_name(v), "groups",
		admin_json_refs(k->groups, k->ngroups), "created", admin_json_time(k->created));
}

static int create(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_key k = { 0 };
	int64_t life = DEFAULT_LIFE_S, limit = 0;
	char text[SETUP_KEY_TEXT], stored[SETUP_KEY_STORED], masked[SETUP_KEY_MASKED];
	int r = admin_arg_text(args, "name", &k.name, f);
	if (r == 0)
		r = admin_arg_bool(args, "reusable", &k.reusable, f);
	if (r == 0)
		r = admin_arg_bool(args, "ephemeral", &k.ephemeral, f);
	if (r == 0)
		r = admin_arg_int(args, "expires", 0, LIFE_MAX_S, &life, f);
	if (r == 0)
		r = admin_arg_int(args, "usage_limit", 0, INT32_MAX, &limit, f);
	if (r == 0)
		r = admin_arg_groups(x, args, "groups", &k.groups, &k.ngroups, f);
	if (r < 0)
		return r;
	if (!k.reusable && limit > 1)
		return ln_fail(f, LN_E_MALFORMED,
			       "a one-off key admits one machine: make it reusable");
	setup_key_make(x->rng, text);
	setup_key_stored(text, stored);
	setup_key_mask(text, masked);
	k.hash = stored;
	k.masked = masked;
	k.usage_limit = k.reusable ? (uint32_t)limit : 1;
	k.expires = life != 0 ? x->now / LN_SEC + life : 0;
	r = store_key_create(x->store, &k, x->now, f);
	if (r == 0) {
		*ret = key_json(x, &k);
		json_object_set_new(*ret, "key", json_string(text));
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

static int list(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_key *v = NULL;
	size_t n = 0;
	int r = store_key_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, key_json(x, &v[i]));
	*ret = json_pack("{s:o}", "setup_keys", all);
	return 0;
}

/* By id, name, or the text of the key itself. */
static int find(struct admin_context *x, const json_t *args, struct store_key *ret,
		struct ln_fail *f)
{
	struct store_key *v = NULL;
	const char *what = NULL;
	char canonical[SETUP_KEY_TEXT], stored[SETUP_KEY_STORED] = "";
	size_t n = 0, found = 0;
	int r = admin_arg_text(args, "key", &what, f);
	if (r == 0)
		r = store_key_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	if (setup_key_parse(slice_str(what), canonical) == 0)
		setup_key_stored(canonical, stored);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].id.text, what) == 0 || strcmp(v[i].hash, stored) == 0) {
			*ret = v[i];
			return 0;
		}
		if (strcmp(v[i].name, what) == 0 && found++ == 0)
			*ret = v[i];
	}
	if (found > 1)
		return ln_fail(f, LN_E_CONFLICT, "%zu setup keys are called \"%.60s\": use the id",
			       found, what);
	if (found == 0)
		/* It may have been meant as the secret itself: it is not repeated. */
		return ln_fail(f, LN_E_NOTFOUND, "there is no such setup key");
	return 0;
}

static int revoke(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_key k;
	int r = find(x, args, &k, f);
	if (r == 0)
		r = store_key_revoke(x->store, &k.id);
	if (r < 0)
		return r;
	k.revoked = true;
	*ret = key_json(x, &k);
	return 0;
}

static int delete (struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_key k;
	int r = find(x, args, &k, f);
	return r < 0 ? r : store_key_delete(x->store, &k.id);
}

const struct admin_verb admin_key_verbs[] = {
	{ "setup-key", "create", "!name reusable expires usage_limit ephemeral groups", create },
	{ "setup-key", "list", "", list },
	{ "setup-key", "revoke", "!key", revoke },
	{ "setup-key", "delete", "!key", delete },
};

const size_t admin_key_nverbs = LN_COUNT(admin_key_verbs);
