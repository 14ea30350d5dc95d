/* policy verbs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/netmap/netmap.h"

#include "src/management/admin_request.h"

#define RULES_MAX 100

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{ "all", NETMAP_PROTO_ALL },
	{ "tcp", NETMAP_PROTO_TCP },
	{ "udp", NETMAP_PROTO_UDP },
	{ "icmp", NETMAP_PROTO_ICMP },
};

/* --- out
 * ------------------------------------------------------------------------------------------- */

static json_t *ports_json(const struct store_rule *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->nports; i++) {
		const struct store_ports *p = &r->ports[i];
		json_array_append_new(list, p->first == p->last
						    ? json_sprintf("%u", p->first)
						    : json_sprintf("%u-%u", p->first, p->last));
	}
	return list;
}

static json_t *rule_json(const struct store_rule *r)
{
	const char *protocol = "";
	for (size_t i = 0; i < LN_COUNT(protocols); i++) {
		if (protocols[i].number == r->protocol)
			protocol = protocols[i].name;
	}
	return json_pack("{s:s,s:s,s:b,s:s,s:b,s:s,s:o,s:o,s:o,s:o,s:o}", "id", r->id.text, "name",
			 r->name, "enabled", r->enabled, "action", r->drop ? "drop" : "accept",
			 "bidirectional", r->bidirectional, "protocol", protocol, "ports",
			 ports_json(r), "sources", admin_json_refs(r->sources, r->nsources),
			 "destinations", admin_json_refs(r->destinations, r->ndestinations),
			 "source_peer", admin_json_ref(&r->source_peer), "destination_peer",
			 admin_json_ref(&r->destination_peer));
}

static json_t *policy_json(const struct store_policy *p)
{
	json_t *rules = json_array();
	for (size_t i = 0; i < p->nrules; i++)
		json_array_append_new(rules, rule_json(&p->rules[i]));
	return json_pack("{s:s,s:s,s:s,s:b,s:o}", "id", p->id.text, "name", p->name, "description",
			 p->description, "enabled", p->enabled, "rules", rules);
}

/* --- in
 * -------------------------------------------------------------------------------------------- */

static int number(const char **p, uint16_t *ret)
{
	if (**p < '0' || **p > '9')
		return LN_E_MALFORMED;
	char *end;
	unsigned long v = strtoul(*p, &end, 10);
	if (v == 0 || v > 65535)
		return LN_E_MALFORMED;
	*p = end;
	*ret = (uint16_t)v;
	return 0;
}

/* "80" or "8000-8010". */
static int read_port(const json_t *v, struct store_ports *ret)
{
	const char *p = json_string_value(v);
	if (p == NULL || number(&p, &ret->first) < 0)
		return LN_E_MALFORMED;
	ret->last = ret->first;
	if (*p == '-') {
		p++;
		if (number(&p, &ret->last) < 0)
			return LN_E_MALFORMED;
	}
	return *p == '\0' && ret->first <= ret->last ? 0 : LN_E_MALFORMED;
}

static int read_ports(struct admin_context *x, const json_t *in, struct store_rule *r,
		      struct ln_fail *f)
{
	const json_t *list = json_object_get(in, "ports");
	if (list == NULL || json_is_null(list))
		return 0;
	size_t n = json_array_size(list);
	if (!json_is_array(list) || n > STORE_POLICY_PORTS_MAX)
		return ln_fail(f, LN_E_MALFORMED, "\"ports\" must be a list of at most %d",
			       STORE_POLICY_PORTS_MAX);
	struct store_ports *v = arena_calloc(&x->arena, LN_MAX(n, 1u), sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		if (read_port(json_array_get(list, i), &v[i]) < 0)
			return ln_fail(f, LN_E_MALFORMED,
				       "a port is \"1\" to \"65535\" or a range \"8000-8010\"");
	}
	r->ports = v;
	r->nports = n;
	return 0;
}

static int read_peer(struct admin_context *x, const json_t *in, const char *name,
		     struct store_ref *ret, struct ln_fail *f)
{
	const char *what = NULL;
	struct store_peer p;
	int r = admin_arg_text(in, name, &what, f);
	if (r < 0 || what == NULL)
		return r;
	r = admin_find_peer(x, what, &p, f);
	if (r == 0)
		*ret = (struct store_ref){ p.id, p.name };
	return r;
}

static int read_words(const json_t *in, struct store_rule *r, struct ln_fail *f)
{
	const char *action = NULL, *protocol = NULL;
	int e = admin_arg_text(in, "action", &action, f);
	if (e == 0)
		e = admin_arg_text(in, "protocol", &protocol, f);
	if (e == 0)
		e = admin_arg_text(in, "name", &r->name, f);
	if (e < 0)
		return e;
	if (action != NULL && strcmp(action, "drop") != 0 && strcmp(action, "accept") != 0)
		return ln_fail(f, LN_E_MALFORMED, "\"action\" is accept or drop");
	r->drop = action != NULL && strcmp(action, "drop") == 0;
	r->protocol = protocol == NULL ? NETMAP_PROTO_ALL : 0;
	for (size_t i = 0; protocol != NULL && i < LN_COUNT(protocols); i++) {
		if (strcmp(protocols[i].name, protocol) == 0)
			r->protocol = protocols[i].number;
	}
	if (r->protocol == 0)
		return ln_fail(f, LN_E_MALFORMED, "\"protocol\" is all, tcp, udp or icmp");
	return 0;
}

static int read_rule(struct admin_context *x, const json_t *in, struct store_rule *r,
		     struct ln_fail *f)
{
	static const char *const known[] = {
		"id",    "name",    "enabled",      "action",      "bidirectional",   "protocol",
		"ports", "sources", "destinations", "source_peer", "destination_peer"
	};
	const char *name;
	const json_t *value;
	json_object_foreach((json_t *)(uintptr_t)in, name, value)
	{
		bool found = false;
		for (size_t i = 0; i < LN_COUNT(known); i++)
			found = found || strcmp(known[i], name) == 0;
		if (!found)
			return ln_fail(f, LN_E_MALFORMED, "a rule has no \"%.60s\"", name);
	}
	*r = (struct store_rule){ .enabled = true, .bidirectional = true };
	int e = read_words(in, r, f);
	if (e == 0)
		e = admin_arg_bool(in, "enabled", &r->enabled, f);
	if (e == 0)
		e = admin_arg_bool(in, "bidirectional", &r->bidirectional, f);
	if (e == 0)
		e = read_ports(x, in, r, f);
	if (e == 0)
		e = admin_arg_groups(x, in, "sources", &r->sources, &r->nsources, f);
	if (e == 0)
		e = admin_arg_groups(x, in, "destinations", &r->destinations, &r->ndestinations, f);
	if (e == 0)
		e = read_peer(x, in, "source_peer", &r->source_peer, f);
	if (e == 0)
		e = read_peer(x, in, "destination_peer", &r->destination_peer, f);
	return e;
}

static int read_rules(struct admin_context *x, const json_t *args, struct store_policy *p,
		      struct ln_fail *f)
{
	const json_t *list = json_object_get(args, "rules");
	size_t n = json_array_size(list);
	if (list == NULL || json_is_null(list))
		return 0;
	if (!json_is_array(list) || n > RULES_MAX)
		return ln_fail(f, LN_E_MALFORMED, "\"rules\" must be a list of at most %d",
			       RULES_MAX);
	struct store_rule *v = arena_calloc(&x->arena, LN_MAX(n, 1u), sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		const json_t *in = json_array_get(list, i);
		if (!json_is_object(in))
			return ln_fail(f, LN_E_MALFORMED, "a rule must be an object");
		int r = read_rule(x, in, &v[i], f);
		if (r < 0)
			return r;
	}
	p->rules = v;
	p->nrules = n;
	return 0;
}

/* What is given replaces what is there. */
static int read_policy(struct admin_context *x, const json_t *args, struct store_policy *p,
		       struct ln_fail *f)
{
	const char *name = NULL, *description = NULL;
	int r = admin_arg_text(args, "name", &name, f);
	if (r == 0)
		r = admin_arg_text(args, "description", &description, f);
	if (r == 0)
		r = admin_arg_bool(args, "enabled", &p->enabled, f);
	if (r < 0)
		return r;
	if (name != NULL)
		p->name = name;
	if (description != NULL)
		p->description = description;
	return read_rules(x, args, p, f);
}

/* --- verbs
 * ----------------------------------------------------------------------------------------- */

static int list(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_policy *v = NULL;
	size_t n = 0;
	int r = store_policy_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, policy_json(&v[i]));
	*ret = json_pack("{s:o}", "policies", all);
	return 0;
}

static int find(struct admin_context *x, const char *what, struct store_policy *ret,
		struct ln_fail *f)
{
	struct store_policy *v = NULL;
	size_t n = 0, found = 0;
	int r = store_policy_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].id.text, what) == 0) {
			*ret = v[i];
			return 0;
		}
		if (strcmp(v[i].name, what) == 0 && found++ == 0)
			*ret = v[i];
	}
	if (found > 1)
		return ln_fail(f, LN_E_CONFLICT, "%zu policies are called \"%.60s\": use the id",
			       found, what);
	if (found == 0)
		return ln_fail(f, LN_E_NOTFOUND, "there is no policy \"%.100s\"", what);
	return 0;
}

static int arg_policy(struct admin_context *x, const json_t *args, struct store_policy *ret,
		      struct ln_fail *f)
{
	const char *what = NULL;
	int r = admin_arg_text(args, "policy", &what, f);
	return r < 0 ? r : find(x, what, ret, f);
}

static int answer(struct admin_context *x, const struct store_id *id, json_t **ret,
		  struct ln_fail *f)
{
	struct store_policy p;
	int r = find(x, id->text, &p, f);
	if (r == 0)
		*ret = policy_json(&p);
	return r;
}

static int show(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_policy p;
	int r = arg_policy(x, args, &p, f);
	if (r == 0)
		*ret = policy_json(&p);
	return r;
}

static int create(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_policy p = { .name = "", .description = "", .enabled = true };
	int r = read_policy(x, args, &p, f);
	if (r == 0 && p.nrules == 0)
		return ln_fail(f, LN_E_MALFORMED, "a policy needs a rule");
	if (r == 0)
		r = store_policy_create(x->store, &p, f);
	return r < 0 ? r : answer(x, &p.id, ret, f);
}

static int edit(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_policy p;
	int r = arg_policy(x, args, &p, f);
	if (r == 0)
		r = read_policy(x, args, &p, f);
	if (r == 0)
		r = store_policy_update(x->store, &p, f);
	return r < 0 ? r : answer(x, &p.id, ret, f);
}

static int switch_to(struct admin_context *x, const json_t *args, bool on, json_t **ret,
		     struct ln_fail *f)
{
	struct store_policy p;
	int r = arg_policy(x, args, &p, f);
	p.enabled = on;
	if (r == 0)
		r = store_policy_update(x->store, &p, f);
	return r < 0 ? r : answer(x, &p.id, ret, f);
}

static int enable(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	return switch_to(x, args, true, ret, f);
}

static int disable(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	return switch_to(x, args, false, ret, f);
}

static int delete (struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_policy p;
	int r = arg_policy(x, args, &p, f);
	return r < 0 ? r : store_policy_delete(x->store, &p.id);
}

const struct admin_verb admin_policy_verbs[] = {
	{ "policy", "list", "", list },
	{ "policy", "show", "!policy", show },
	{ "policy", "create", "!name description enabled !rules", create },
	{ "policy", "edit", "!policy name description enabled rules", edit },
	{ "policy", "enable", "!policy", enable },
	{ "policy", "disable", "!policy", disable },
	{ "policy", "delete", "!policy", delete },
};

const size_t admin_policy_nverbs = LN_COUNT(admin_policy_verbs);
