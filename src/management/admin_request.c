/* Finds the verb, checks the names of its arguments, runs it, wraps the answer. */
#include "src/management/admin_request.h"

#include <string.h>

#define ADMIN_ARENA_MAX (256 << 20)

static const struct {
	int err;
	const char *code;
} codes[] = {
	{ LN_E_MALFORMED, "invalid" },
	{ LN_E_NOTFOUND, "not_found" },
	{ LN_E_CONFLICT, "conflict" },
	{ LN_E_DENIED, "denied" },
};

static const struct admin_verb *find_in(const struct admin_verb *v, size_t n, const char *noun,
					const char *verb)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].noun, noun) == 0 && strcmp(v[i].verb, verb) == 0)
			return &v[i];
	}
	return NULL;
}

static const struct admin_verb *find_verb(const char *noun, const char *verb)
{
	const struct admin_verb *v = find_in(admin_key_verbs, admin_key_nverbs, noun, verb);
	if (v == NULL)
		v = find_in(admin_peer_verbs, admin_peer_nverbs, noun, verb);
	if (v == NULL)
		v = find_in(admin_policy_verbs, admin_policy_nverbs, noun, verb);
	return v;
}

/* Is `name` (n bytes) among the words of `list`? Words may start with '!'. */
static bool has_word(const char *list, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = list; *p != '\0';) {
		size_t skip = *p == '!' ? 1 : 0;
		size_t len = strcspn(p, " ");
		if (len - skip == n && memcmp(p + skip, name, n) == 0)
			return true;
		p += len;
		p += strspn(p, " ");
	}
	return false;
}

static int check_args(const struct admin_verb *v, const json_t *args, struct ln_fail *f)
{
	const char *name;
	const json_t *value;
	json_object_foreach((json_t *)(uintptr_t)args, name, value)
	{
		if (!has_word(v->args, name))
			return ln_fail(f, LN_E_MALFORMED, "%s %s knows no argument \"%.60s\"",
				       v->noun, v->verb, name);
	}
	for (const char *p = v->args; *p != '\0';) {
		char word[32];
		size_t len = strcspn(p, " ");
		if (*p == '!' && len < sizeof(word)) {
			memcpy(word, p + 1, len - 1);
			word[len - 1] = '\0';
			value = json_object_get(args, word);
			if (value == NULL || json_is_null(value))
				return ln_fail(f, LN_E_MALFORMED, "%s %s needs \"%s\"", v->noun,
					       v->verb, word);
		}
		p += len;
		p += strspn(p, " ");
	}
	return 0;
}

static int run(struct admin_context *x, const json_t *request, json_t **ret, struct ln_fail *f)
{
	const char *noun = json_string_value(json_object_get(request, "noun"));
	const char *verb = json_string_value(json_object_get(request, "verb"));
	const json_t *args = json_object_get(request, "args");
	if (noun == NULL || verb == NULL)
		return ln_fail(f, LN_E_MALFORMED, "a request needs \"noun\" and \"verb\"");
	if (args != NULL && !json_is_object(args))
		return ln_fail(f, LN_E_MALFORMED, "\"args\" must be an object");
	const struct admin_verb *v = find_verb(noun, verb);
	if (v == NULL)
		return ln_fail(f, LN_E_MALFORMED, "there is no \"%.40s %.40s\"", noun, verb);
	int r = check_args(v, args, f);
	if (r == 0) {
		r = store_account_get(x->store, &x->account);
		if (r < 0)
			return ln_fail(f, r, "cannot read the account: %s", ln_strerror(r));
	}
	return r < 0 ? r : v->fn(x, args, ret, f);
}

static json_t *failure(const struct ln_fail *f, int err)
{
	const char *code = "internal";
	for (size_t i = 0; i < LN_COUNT(codes); i++) {
		if (codes[i].err == err)
			code = codes[i].code;
	}
	return json_pack("{s:b,s:s,s:s}", "ok", 0, "code", code, "error",
			 f->text[0] != '\0' ? f->text : ln_strerror(err));
}

json_t *admin_request(struct admin_context *x, const json_t *request, uint64_t *ret_serial)
{
	struct ln_fail f = { 0 };
	struct store_account acc;
	json_t *result = NULL;
	arena_init(&x->arena, ADMIN_ARENA_MAX);
	int r = run(x, request, &result, &f);
	arena_fini(&x->arena);
	*ret_serial = store_account_get(x->store, &acc) == 0 ? acc.serial : 0;
	json_t *answer = r < 0 ? failure(&f, r)
			       : json_pack("{s:b,s:o}", "ok", 1, "result",
					   result != NULL ? result : json_object());
	/* A text that is no UTF-8 cannot come out of the store; if it did, say so. */
	return answer != NULL ? answer
			      : json_pack("{s:b,s:s,s:s}", "ok", 0, "code", "internal", "error",
					  "the answer could not be written");
}
