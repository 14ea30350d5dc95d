/* peer, group and account verbs. */
#include <string.h>

#include "src/management/admin_request.h"

/* --- finding
 * --------------------------------------------------------------------------------------- */

int admin_find_group(struct admin_context *x, const char *what, struct store_group *ret,
		     struct ln_fail *f)
{
	struct store_group *v = NULL;
	size_t n = 0;
	int r = store_group_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	/* Names are unique among groups; an id wins over a name that looks like it. */
	for (int by_name = 0; by_name < 2; by_name++) {
		for (size_t i = 0; i < n; i++) {
			if (strcmp(by_name ? v[i].name : v[i].id.text, what) == 0) {
				*ret = v[i];
				return 0;
			}
		}
	}
	return ln_fail(f, LN_E_NOTFOUND, "there is no group \"%.100s\"", what);
}

struct wanted {
	const char *text;
	struct ip_addr ip;
	struct wg_key key;
	bool has_key;
	size_t label; /* length of the label when the text is an FQDN of this account */
};

static bool is_exactly(const struct store_peer *p, const struct wanted *w)
{
	return strcmp(p->id.text, w->text) == 0 || strcmp(p->label, w->text) == 0 ||
	       (w->has_key && wg_key_equal(&p->key, &w->key)) ||
	       (ip_is_set(&w->ip) && (ip_equal(&p->v4, &w->ip) || ip_equal(&p->v6, &w->ip))) ||
	       (w->label > 0 && strlen(p->label) == w->label &&
		memcmp(p->label, w->text, w->label) == 0);
}

int admin_find_peer(struct admin_context *x, const char *what, struct store_peer *ret,
		    struct ln_fail *f)
{
	struct store_peer *v = NULL;
	size_t n = 0, found = 0;
	struct wanted w = { .text = what };
	int r = store_peer_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	if (ip_parse(slice_str(what), &w.ip) < 0)
		w.ip = (struct ip_addr){ 0 };
	w.has_key = wg_key_parse(slice_str(what), &w.key) == 0;
	const char *dot = strchr(what, '.');
	if (dot != NULL && strcmp(dot + 1, x->account.domain) == 0)
		w.label = (size_t)(dot - what);
	for (size_t i = 0; i < n; i++) {
		if (is_exactly(&v[i], &w)) {
			*ret = v[i];
			return 0;
		}
		if (strcmp(v[i].name, what) == 0 && found++ == 0)
			*ret = v[i];
	}
	if (found > 1)
		return ln_fail(f, LN_E_CONFLICT,
			       "%zu peers are called \"%.60s\": use the label, address or id",
			       found, what);
	if (found == 0)
		return ln_fail(f, LN_E_NOTFOUND, "there is no peer \"%.100s\"", what);
	return 0;
}

int admin_arg_groups(struct admin_context *x, const json_t *args, const char *name,
		     const struct store_ref **ret, size_t *ret_n, struct ln_fail *f)
{
	const json_t *list = json_object_get(args, name);
	if (list == NULL || json_is_null(list))
		return 0;
	size_t n = json_array_size(list);
	if (!json_is_array(list) || n > 1000)
		return ln_fail(f, LN_E_MALFORMED, "\"%s\" must be a list of groups", name);
	struct store_ref *v = arena_calloc(&x->arena, LN_MAX(n, 1u), sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct store_group g;
		const char *what = json_string_value(json_array_get(list, i));
		if (what == NULL)
			return ln_fail(f, LN_E_MALFORMED, "\"%s\" must be a list of groups", name);
		int r = admin_find_group(x, what, &g, f);
		if (r < 0)
			return r;
		v[i] = (struct store_ref){ g.id, g.name };
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

/* --- peers
 * ----------------------------------------------------------------------------------------- */

static json_t *groups_of(const struct store_peer *p, const struct store_group *groups, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < groups[i].npeers; k++) {
			if (strcmp(groups[i].peers[k].id.text, p->id.text) != 0)
				continue;
			struct store_ref ref = { groups[i].id, groups[i].name };
			json_array_append_new(list, admin_json_ref(&ref));
			break;
		}
	}
	return list;
}

static json_t *peer_json(const struct admin_context *x, const struct store_peer *p,
			 const struct store_group *groups, size_t ngroups)
{
	char v4[IP_TEXT_MAX], v6[IP_TEXT_MAX], key[WG_KEY_TEXT];
	ip_format(&p->v4, v4);
	ip_format(&p->v6, v6);
	wg_key_format(&p->key, key);
	return json_pack("{s:s,s:s,s:o,s:s,s:s,s:o,s:s,s:b,s:o,s:s,s:s,s:s,s:b,s:o,s:o}", "id",
			 p->id.text, "name", p->name, "fqdn",
			 json_sprintf("%s.%s", p->label, x->account.domain), "label", p->label,
			 "ip", v4, "ipv6", ip_is_set(&p->v6) ? json_string(v6) : json_null(), "key",
			 key, "connected", p->connected, "last_seen", admin_json_seen(p->last_seen),
			 "os", p->meta.os, "version", p->meta.version, "hostname", p->meta.hostname,
			 "ephemeral", p->ephemeral, "groups", groups_of(p, groups, ngroups),
			 "created", admin_json_time(p->created));
}

static int peer_list(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_peer *v = NULL;
	struct store_group *groups = NULL;
	size_t n = 0, ngroups = 0;
	int r = store_peer_list(x->store, &x->arena, &v, &n);
	if (r == 0)
		r = store_group_list(x->store, &x->arena, &groups, &ngroups);
	if (r < 0)
		return r;
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, peer_json(x, &v[i], groups, ngroups));
	*ret = json_pack("{s:o}", "peers", all);
	return 0;
}

static int arg_peer(struct admin_context *x, const json_t *args, struct store_peer *ret,
		    struct ln_fail *f)
{
	const char *what = NULL;
	int r = admin_arg_text(args, "peer", &what, f);
	return r < 0 ? r : admin_find_peer(x, what, ret, f);
}

static int peer_delete(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_peer p;
	int r = arg_peer(x, args, &p, f);
	return r < 0 ? r : store_peer_delete(x->store, &p.id);
}

static int peer_rename(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_peer p;
	struct store_group *groups = NULL;
	const char *name = NULL;
	size_t ngroups = 0;
	int r = arg_peer(x, args, &p, f);
	if (r == 0)
		r = admin_arg_text(args, "name", &name, f);
	if (r < 0)
		return r;
	r = store_peer_rename(x->store, &p.id, name);
	if (r == LN_E_MALFORMED)
		return ln_fail(f, r, "\"%.60s\" gives no DNS label", name);
	if (r == LN_E_CONFLICT)
		return ln_fail(f, r, "the label of \"%.60s\" is taken", name);
	if (r >= 0)
		r = store_peer_get(x->store, &p.id, &x->arena, &p);
	if (r == 0)
		r = store_group_list(x->store, &x->arena, &groups, &ngroups);
	if (r < 0)
		return r;
	*ret = peer_json(x, &p, groups, ngroups);
	return 0;
}

/* --- groups
 * ---------------------------------------------------------------------------------------- */

static json_t *group_json(const struct store_group *g)
{
	return json_pack("{s:s,s:s,s:o}", "id", g->id.text, "name", g->name, "peers",
			 admin_json_refs(g->peers, g->npeers));
}

static int group_list(struct admin_context *x, const json_t *args, json_t **ret, struct ln_fail *f)
{
	struct store_group *v = NULL;
	size_t n = 0;
	int r = store_group_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, group_json(&v[i]));
	*ret = json_pack("{s:o}", "groups", all);
	return 0;
}

static int group_answer(struct admin_context *x, const struct store_id *id, json_t **ret,
			struct ln_fail *f)
{
	struct store_group g;
	int r = admin_find_group(x, id->text, &g, f);
	if (r == 0)
		*ret = group_json(&g);
	return r;
}

/* The sentence for what a group verb may be refused with. */
static int group_refused(int r, const char *name, struct ln_fail *f)
{
	if (r == LN_E_CONFLICT)
		return ln_fail(f, r, "there is a group \"%.100s\" already", name);
	if (r == LN_E_MALFORMED)
		return ln_fail(f, r, "a name has 1 to %d bytes and no control characters",
			       STORE_NAME_MAX);
	if (r == LN_E_DENIED)
		return ln_fail(f, r, "the group %s has every peer and keeps its name",
			       STORE_GROUP_ALL);
	return r;
}

static int group_create(struct admin_context *x, const json_t *args, json_t **ret,
			struct ln_fail *f)
{
	const char *name = NULL;
	const json_t *peers = json_object_get(args, "peers");
	size_t n = json_array_size(peers);
	struct store_id id;
	int r = admin_arg_text(args, "name", &name, f);
	if (r < 0)
		return r;
	if ((peers != NULL && !json_is_array(peers)) || n > 10000)
		return ln_fail(f, LN_E_MALFORMED, "\"peers\" must be a list of peers");
	struct store_peer *v = arena_calloc(&x->arena, LN_MAX(n, 1u), sizeof(*v));
	if (v == NULL)
		return LN_E_LIMIT;
	/* All of them are found before anything is made. */
	for (size_t i = 0; i < n; i++) {
		const char *what = json_string_value(json_array_get(peers, i));
		if (what == NULL)
			return ln_fail(f, LN_E_MALFORMED, "\"peers\" must be a list of peers");
		r = admin_find_peer(x, what, &v[i], f);
		if (r < 0)
			return r;
	}
	r = store_group_create(x->store, name, &id);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = store_group_add_peer(x->store, &id, &v[i].id);
	return r < 0 ? group_refused(r, name, f) : group_answer(x, &id, ret, f);
}

static int arg_group(struct admin_context *x, const json_t *args, struct store_group *ret,
		     struct ln_fail *f)
{
	const char *what = NULL;
	int r = admin_arg_text(args, "group", &what, f);
	return r < 0 ? r : admin_find_group(x, what, ret, f);
}

static int group_rename(struct admin_context *x, const json_t *args, json_t **ret,
			struct ln_fail *f)
{
	struct store_group g;
	const char *name = NULL;
	int r = arg_group(x, args, &g, f);
	if (r == 0)
		r = admin_arg_text(args, "name", &name, f);
	if (r < 0)
		return r;
	r = store_group_rename(x->store, &g.id, name);
	return r < 0 ? group_refused(r, name, f) : group_answer(x, &g.id, ret, f);
}

static int group_delete(struct admin_context *x, const json_t *args, json_t **ret,
			struct ln_fail *f)
{
	struct store_group g;
	int r = arg_group(x, args, &g, f);
	return r < 0 ? r : store_group_delete(x->store, &g.id, f);
}

static int membership(struct admin_context *x, const json_t *args, bool add, json_t **ret,
		      struct ln_fail *f)
{
	struct store_group g;
	struct store_peer p;
	int r = arg_group(x, args, &g, f);
	if (r == 0)
		r = arg_peer(x, args, &p, f);
	if (r < 0)
		return r;
	r = add ? store_group_add_peer(x->store, &g.id, &p.id)
		: store_group_remove_peer(x->store, &g.id, &p.id);
	return r < 0 ? group_refused(r, g.name, f) : group_answer(x, &g.id, ret, f);
}

static int group_add_peer(struct admin_context *x, const json_t *args, json_t **ret,
			  struct ln_fail *f)
{
	return membership(x, args, true, ret, f);
}

static int group_remove_peer(struct admin_context *x, const json_t *args, json_t **ret,
			     struct ln_fail *f)
{
	return membership(x, args, false, ret, f);
}

/* --- account
 * --------------------------------------------------------------------------------------- */

static int account_show(struct admin_context *x, const json_t *args, json_t **ret,
			struct ln_fail *f)
{
	struct store_peer *v = NULL;
	size_t n = 0, connected = 0;
	char net4[IP_PREFIX_TEXT_MAX], net6[IP_PREFIX_TEXT_MAX], key[WG_KEY_TEXT];
	int r = store_peer_list(x->store, &x->arena, &v, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		connected += v[i].connected;
	ip_prefix_format(&x->account.net4, net4);
	ip_prefix_format(&x->account.net6, net6);
	wg_key_format(&x->server_key, key);
	*ret = json_pack("{s:s,s:s,s:s,s:s,s:I,s:b,s:I,s:I,s:s}", "id", x->account.id.text,
			 "domain", x->account.domain, "network", net4, "network_v6", net6, "serial",
			 (json_int_t)x->account.serial, "lazy_connections",
			 x->account.lazy_connections, "peers", (json_int_t)n, "connected",
			 (json_int_t)connected, "server_key", key);
	return 0;
}

static int account_edit(struct admin_context *x, const json_t *args, json_t **ret,
			struct ln_fail *f)
{
	const char *lazy = NULL;
	int r = admin_arg_text(args, "lazy_connections", &lazy, f);
	if (r < 0)
		return r;
	if (lazy == NULL || (strcmp(lazy, "on") != 0 && strcmp(lazy, "off") != 0))
		return ln_fail(f, LN_E_MALFORMED, "lazy_connections is \"on\" or \"off\"");
	r = store_account_set_lazy(x->store, strcmp(lazy, "on") == 0);
	if (r == 0)
		r = store_account_get(x->store, &x->account);
	return r < 0 ? r : account_show(x, args, ret, f);
}

const struct admin_verb admin_peer_verbs[] = {
	{ "peer", "list", "", peer_list },
	{ "peer", "delete", "!peer", peer_delete },
	{ "peer", "rename", "!peer !name", peer_rename },
	{ "group", "list", "", group_list },
	{ "group", "create", "!name peers", group_create },
	{ "group", "rename", "!group !name", group_rename },
	{ "group", "delete", "!group", group_delete },
	{ "group", "add-peer", "!group !peer", group_add_peer },
	{ "group", "remove-peer", "!group !peer", group_remove_peer },
	{ "account", "show", "", account_show },
	{ "account", "edit", "!lazy_connections", account_edit },
};

const size_t admin_peer_nverbs = LN_COUNT(admin_peer_verbs);
