/* What the table of settings looks like to people: dump, sample file, manual page. */
#include <stdio.h>
#include <string.h>

#include "src/svc/svc_conf.h"

/* How many leading sections (dot-separated parts but the last) two keys share. */
static size_t shared_sections(const char *a, const char *b)
{
	size_t n = 0;
	for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
		if (a[i] == '.')
			n++;
	return n;
}

static size_t section_count(const char *key)
{
	size_t n = 0;
	for (; *key != '\0'; key++)
		n += *key == '.';
	return n;
}

static void indent(struct str *dst, size_t level)
{
	for (size_t i = 0; i < level; i++)
		str_add(dst, "  ");
}

/* Opens the sections of `key` that the previous key was not in. `mark` comments them out. */
static void open_sections(struct str *dst, const char *previous, const char *key, const char *mark)
{
	size_t level = 0, shared = shared_sections(previous, key);
	for (const char *p = key, *dot; (dot = strchr(p, '.')) != NULL; p = dot + 1, level++) {
		if (level < shared)
			continue;
		size_t n = (size_t)(dot - p);
		bool list = n > 2 && dot[-1] == ']';
		str_add(dst, mark);
		indent(dst, level);
		str_addf(dst, "%.*s:\n", (int)(list ? n - 2 : n), p);
	}
}

static const char *leaf(const char *key)
{
	const char *dot = strrchr(key, '.');
	return dot != NULL ? dot + 1 : key;
}

static void quoted(struct str *dst, const char *s)
{
	str_addc(dst, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			str_addc(dst, '\\');
		str_addc(dst, *s);
	}
	str_addc(dst, '"');
}

/* The strings of a member of a list of maps: one "- name: value" per line. */
static void map_list(struct str *dst, const char *name, const struct svc_conf_strs *l, size_t level)
{
	for (size_t i = 0; i < l->n; i++) {
		indent(dst, level);
		str_addf(dst, "- %s: ", name);
		quoted(dst, l->v[i]);
		str_addc(dst, '\n');
	}
}

static void value(struct str *dst, const struct svc_conf_row *row, const void *field)
{
	char text[32];
	const struct svc_conf_strs *strs = field;
	const struct svc_conf_ints *ints = field;
	switch (row->type) {
	case CONF_BOOL:
		str_add(dst, *(const bool *)field ? "true" : "false");
		return;
	case CONF_INT:
		str_addf(dst, "%lld", (long long)*(const int64_t *)field);
		return;
	case CONF_DURATION:
		svc_conf_format_duration(*(const ln_time *)field, text);
		str_add(dst, text);
		return;
	case CONF_STR:
		quoted(dst, *(const char *const *)field);
		return;
	case CONF_STR_LIST:
		str_addc(dst, '[');
		for (size_t i = 0; i < strs->n; i++) {
			str_add(dst, i > 0 ? ", " : "");
			quoted(dst, strs->v[i]);
		}
		str_addc(dst, ']');
		return;
	case CONF_INT_LIST:
		str_addc(dst, '[');
		for (size_t i = 0; i < ints->n; i++)
			str_addf(dst, "%s%lld", i > 0 ? ", " : "", (long long)ints->v[i]);
		str_addc(dst, ']');
		return;
	case CONF_ANY:
		str_add(dst, "...");
		return;
	}
}

static bool is_empty_secret(const struct svc_conf_row *row, const void *field)
{
	return row->type == CONF_STR && **(const char *const *)field == '\0';
}

static void source(struct str *dst, const struct svc_conf_row *row, const struct svc_conf_state *st)
{
	switch (st->source) {
	case SVC_CONF_DEFAULT:
		str_add(dst, "  # default\n");
		return;
	case SVC_CONF_FILE:
		str_addf(dst, "  # line %d%s\n", st->line,
			 (row->flags & CONF_LATER) != 0 ? ", accepted; this part is not built yet"
							: "");
		return;
	case SVC_CONF_FLAG:
		str_addf(dst, "  # --%s\n", row->flag);
		return;
	case SVC_CONF_ENV:
		str_addf(dst, "  # %s\n", row->env);
		return;
	}
}

void svc_conf_dump(const struct svc_conf *c, struct str *dst)
{
	const char *previous = "";
	for (size_t i = 0; i < c->nrows; i++) {
		const struct svc_conf_row *row = &c->rows[i];
		const struct svc_conf_state *st = &c->state[i];
		const void *field = (const char *)c->values + row->offset;
		bool member = strstr(row->key, "[].") != NULL;
		if ((row->type == CONF_ANY || member) && st->source == SVC_CONF_DEFAULT)
			continue;
		open_sections(dst, previous, row->key, "");
		previous = row->key;
		size_t level = section_count(row->key);
		if (member && row->type == CONF_STR_LIST) {
			map_list(dst, leaf(row->key), field, level);
			continue;
		}
		indent(dst, level);
		str_addf(dst, "%s%s: ", row->type == CONF_ANY && member ? "# " : "",
			 leaf(row->key));
		if ((row->flags & CONF_SECRET) != 0 &&
		    (row->type == CONF_ANY || !is_empty_secret(row, field)))
			str_add(dst, "\"***\"");
		else
			value(dst, row, field);
		source(dst, row, st);
	}
}

void svc_conf_sample(const struct svc_conf_row *rows, size_t n, struct str *dst)
{
	const char *previous = "";
	for (size_t i = 0; i < n; i++) {
		const struct svc_conf_row *row = &rows[i];
		if (row->type == CONF_ANY || (row->flags & CONF_MOOT) != 0)
			continue;
		open_sections(dst, previous, row->key, "");
		previous = row->key;
		size_t level = section_count(row->key);
		bool list = row->type == CONF_STR_LIST || row->type == CONF_INT_LIST;
		bool member = strstr(row->key, "[].") != NULL;
		bool text = row->type == CONF_STR;
		indent(dst, level);
		str_addf(dst, "# %s.\n", row->help);
		indent(dst, level);
		str_addf(dst, "# %s%s: %s%s%s\n", member ? "- " : "", leaf(row->key),
			 list && !member ? "["
			 : text          ? "\""
					 : "",
			 row->preset != NULL ? row->preset : "",
			 list && !member ? "]"
			 : text          ? "\""
					 : "");
	}
}

/* roff: a line may not begin with a control character, and a minus is written "\-". */
static void roff(struct str *dst, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '-')
			str_add(dst, "\\-");
		else if (*s == '\\')
			str_add(dst, "\\e");
		else
			str_addc(dst, *s);
	}
}

void svc_conf_manual(const struct svc_conf_row *rows, size_t n, struct str *dst)
{
	for (size_t i = 0; i < n; i++) {
		const struct svc_conf_row *row = &rows[i];
		str_add(dst, ".TP\n.B ");
		roff(dst, row->key);
		str_addc(dst, '\n');
		roff(dst, row->help);
		str_add(dst, ".\n");
		if (row->preset != NULL && row->preset[0] != '\0') {
			str_add(dst, "Default: ");
			roff(dst, row->preset);
			str_add(dst, ".\n");
		}
		if (row->flag != NULL) {
			str_add(dst, "Command line: ");
			roff(dst, "--");
			roff(dst, row->flag);
			str_add(dst, ".\n");
		}
		if (row->env != NULL) {
			str_add(dst, "Environment: ");
			roff(dst, row->env);
			str_add(dst, ".\n");
		}
		if ((row->flags & CONF_RELOAD) != 0)
			str_add(dst, "Taken over by a reload.\n");
		if ((row->flags & CONF_LATER) != 0)
			str_add(dst,
				"Accepted and named in the log: this part is not built yet.\n");
	}
}
