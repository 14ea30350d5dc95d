/* Values of the administration's JSON, both ways. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/management/admin_request.h"

json_t *admin_json_time(int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;
	char text[64];
	if (unix_s == 0 || gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

json_t *admin_json_seen(const char *last_seen)
{
	if (strlen(last_seen) < 19)
		return json_null();
	return json_sprintf("%.10sT%.8sZ", last_seen, last_seen + 11);
}

json_t *admin_json_ref(const struct store_ref *r)
{
	if (r->id.text[0] == '\0')
		return json_null();
	return json_pack("{s:s,s:s}", "id", r->id.text, "name", r->name != NULL ? r->name : "");
}

json_t *admin_json_refs(const struct store_ref *v, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, admin_json_ref(&v[i]));
	return list;
}

int admin_arg_text(const json_t *args, const char *name, const char **ret, struct ln_fail *f)
{
	const json_t *v = json_object_get(args, name);
	if (v == NULL || json_is_null(v)) {
		*ret = NULL;
		return 0;
	}
	if (!json_is_string(v))
		return ln_fail(f, LN_E_MALFORMED, "\"%s\" must be text", name);
	if (json_string_length(v) > 4096)
		return ln_fail(f, LN_E_MALFORMED, "\"%s\" is too long", name);
	*ret = json_string_value(v);
	return 0;
}

int admin_arg_bool(const json_t *args, const char *name, bool *ret, struct ln_fail *f)
{
	const json_t *v = json_object_get(args, name);
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_boolean(v))
		return ln_fail(f, LN_E_MALFORMED, "\"%s\" must be true or false", name);
	*ret = json_is_true(v);
	return 0;
}

int admin_arg_int(const json_t *args, const char *name, int64_t min, int64_t max, int64_t *ret,
		  struct ln_fail *f)
{
	const json_t *v = json_object_get(args, name);
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return ln_fail(f, LN_E_MALFORMED,
			       "\"%s\" must be a number from %" PRId64 " to %" PRId64, name, min,
			       max);
	*ret = json_integer_value(v);
	return 0;
}
