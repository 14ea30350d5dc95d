/* Answers of the administration as text: tables for lists, "name: value" lines for the rest. */
#include <stdio.h>
#include <string.h>

#include "src/cmd/linnet_server_admin.h"

#define MAX_COLUMNS 8
#define CELL_MAX 200

struct column {
	const char *title;
	const char *member;
};

static const struct list_view {
	const char *noun;
	const char *member; /* of the result */
	const char *empty;
	struct column columns[MAX_COLUMNS];
} views[] = {
	{ "setup-key",
	  "setup_keys",
	  "There is no setup key.\n",
	  { { "ID", "id" },
	    { "NAME", "name" },
	    { "KEY", "masked" },
	    { "TYPE", "type" },
	    { "STATE", "state" },
	    { "USED", "used_times" },
	    { "EXPIRES", "expires" },
	    { "GROUPS", "groups" } } },
	{ "peer",
	  "peers",
	  "There is no peer.\n",
	  { { "ID", "id" },
	    { "NAME", "name" },
	    { "IP", "ip" },
	    { "CONNECTED", "connected" },
	    { "LAST SEEN", "last_seen" },
	    { "VERSION", "version" },
	    { "OS", "os" },
	    { "GROUPS", "groups" } } },
	{ "group",
	  "groups",
	  "There is no group.\n",
	  { { "ID", "id" }, { "NAME", "name" }, { "PEERS", "peers" } } },
	{ "policy",
	  "policies",
	  "There is no policy.\n",
	  { { "ID", "id" }, { "NAME", "name" }, { "ENABLED", "enabled" }, { "RULES", "rules" } } },
};

/* --- values -----------------------------------------------------------------------------------*/

static void rule_text(struct str *dst, const json_t *rule);

/* What a terminal must not get from a peer's host name: control characters. */
static void clean(struct str *dst, const char *s)
{
	for (; *s != '\0'; s++)
		str_addc(dst, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void value_text(struct str *dst, const json_t *v)
{
	size_t i;
	const json_t *item;
	if (json_is_string(v)) {
		clean(dst, json_string_length(v) > 0 ? json_string_value(v) : "-");
	} else if (json_is_integer(v)) {
		str_addf(dst, "%lld", (long long)json_integer_value(v));
	} else if (json_is_boolean(v)) {
		str_add(dst, json_is_true(v) ? "yes" : "no");
	} else if (json_is_object(v)) {
		const char *name = json_string_value(json_object_get(v, "name"));
		if (json_object_get(v, "sources") != NULL)
			rule_text(dst, v);
		else
			clean(dst, name != NULL ? name : "-");
	} else if (json_is_array(v) && json_array_size(v) > 0) {
		json_array_foreach((json_t *)(uintptr_t)v, i, item)
		{
			str_add(dst, i > 0 ? ", " : "");
			value_text(dst, item);
		}
	} else {
		str_add(dst, "-");
	}
}

static void side_text(struct str *dst, const json_t *rule, const char *groups, const char *peer)
{
	const json_t *one = json_object_get(rule, peer);
	value_text(dst, json_is_object(one) ? one : json_object_get(rule, groups));
}

/* "accept tcp 80, 443 from A, B to C" */
static void rule_text(struct str *dst, const json_t *rule)
{
	const json_t *ports = json_object_get(rule, "ports");
	if (json_is_false(json_object_get(rule, "enabled")))
		str_add(dst, "(off) ");
	value_text(dst, json_object_get(rule, "action"));
	str_addc(dst, ' ');
	value_text(dst, json_object_get(rule, "protocol"));
	if (json_array_size(ports) > 0) {
		str_addc(dst, ' ');
		value_text(dst, ports);
	}
	bool both = json_is_true(json_object_get(rule, "bidirectional"));
	str_add(dst, both ? " between " : " from ");
	side_text(dst, rule, "sources", "source_peer");
	str_add(dst, both ? " and " : " to ");
	side_text(dst, rule, "destinations", "destination_peer");
}

/* --- tables and lines -------------------------------------------------------------------------*/

/* Columns a terminal needs for UTF-8 text, one per character: enough for names. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void cell(const json_t *row, const char *member, struct str *dst)
{
	str_clear(dst);
	value_text(dst, json_object_get(row, member));
}

static void table(const struct list_view *view, const json_t *rows, struct str *dst)
{
	size_t widths[MAX_COLUMNS] = { 0 }, i, n = 0;
	const json_t *row;
	struct str text;
	str_init(&text, 0);
	while (n < MAX_COLUMNS && view->columns[n].title != NULL) {
		widths[n] = strlen(view->columns[n].title);
		json_array_foreach((json_t *)(uintptr_t)rows, i, row)
		{
			cell(row, view->columns[n].member, &text);
			widths[n] = LN_MAX(widths[n], width(str_c(&text)));
		}
		widths[n] = LN_MIN(widths[n], (size_t)CELL_MAX);
		n++;
	}
	for (size_t line = 0; line <= json_array_size(rows); line++) {
		for (size_t c = 0; c < n; c++) {
			str_clear(&text);
			if (line == 0)
				str_add(&text, view->columns[c].title);
			else
				cell(json_array_get(rows, line - 1), view->columns[c].member,
				     &text);
			str_add(dst, str_c(&text));
			size_t used = width(str_c(&text));
			if (c + 1 < n)
				str_addf(dst, "%*s",
					 (int)(2 + (used < widths[c] ? widths[c] - used : 0)), "");
		}
		str_addc(dst, '\n');
	}
	str_fini(&text);
}

static void lines(const json_t *object, struct str *dst)
{
	const char *name;
	const json_t *value;
	size_t widest = 0;
	void *it;
	json_t *o = (json_t *)(uintptr_t)object;
	for (it = json_object_iter(o); it != NULL; it = json_object_iter_next(o, it))
		widest = LN_MAX(widest, strlen(json_object_iter_key(it)));
	for (it = json_object_iter(o); it != NULL; it = json_object_iter_next(o, it)) {
		name = json_object_iter_key(it);
		value = json_object_iter_value(it);
		for (const char *p = name; *p != '\0'; p++)
			str_addc(dst, *p == '_' ? ' ' : *p);
		str_addf(dst, ":%*s", (int)(widest - strlen(name) + 1), "");
		value_text(dst, value);
		str_addc(dst, '\n');
	}
}

void linnet_server_admin_text(const struct linnet_server_verb *v, const json_t *result,
			      struct str *dst)
{
	if (strcmp(v->verb, "list") == 0) {
		for (size_t i = 0; i < LN_COUNT(views); i++) {
			if (strcmp(views[i].noun, v->noun) != 0)
				continue;
			const json_t *rows = json_object_get(result, views[i].member);
			if (json_array_size(rows) == 0)
				str_add(dst, views[i].empty);
			else
				table(&views[i], rows, dst);
			return;
		}
	}
	if (json_object_size(result) == 0) {
		str_add(dst, "Done.\n");
		return;
	}
	lines(result, dst);
	if (json_object_get(result, "key") != NULL && strcmp(v->noun, "setup-key") == 0 &&
	    strcmp(v->verb, "create") == 0)
		str_add(dst, "\nThe key is shown only now. A machine joins with\n"
			     "  linnet up --management-url URL --setup-key KEY\n");
}
