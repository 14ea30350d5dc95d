/*
 * The reader of configuration files: libyaml's events walked along the table of rows. No tree is
 * built, so a file can cost no more memory than its values.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "src/svc/svc_conf.h"

#define MAX_FILE ((size_t)1 << 20)
#define MAX_DEPTH 16
#define MAX_EVENTS 20000
#define MAX_PATH_TEXT 256

struct reader {
	yaml_parser_t p;
	struct svc_conf *c;
	struct str path; /* key of the value being read: "server.tls" */
	unsigned depth;
	unsigned events;
	struct ln_fail *f;
};

static int read_value(struct reader *r, const yaml_event_t *ev);

/* "FILE:LINE" of an event; a very long name loses its beginning. */
static const char *at(const struct reader *r, const yaml_event_t *ev, char dst[160])
{
	const char *file = r->c->file;
	size_t n = strlen(file);
	snprintf(dst, 160, "%s:%zu", n > 110 ? file + n - 110 : file, ev->start_mark.line + 1);
	return dst;
}

static int next(struct reader *r, yaml_event_t *ev)
{
	if (++r->events > MAX_EVENTS)
		return ln_fail(r->f, LN_E_LIMIT, "%s: more than %d values", r->c->file, MAX_EVENTS);
	if (!yaml_parser_parse(&r->p, ev)) {
		const char *what = r->p.problem != NULL ? r->p.problem : "out of memory";
		return ln_fail(r->f, LN_E_MALFORMED, "%s:%zu: not YAML: %s", r->c->file,
			       r->p.problem_mark.line + 1, what);
	}
	return 0;
}

/* --- unknown keys -----------------------------------------------------------------------------*/

/* Levenshtein distance without regard to case; both texts are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[65];
	size_t nb = strlen(b);
	if (nb >= LN_COUNT(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < nb; j++) {
			bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
			size_t best = LN_MIN(row[j], row[j + 1]) + 1;
			best = LN_MIN(best, diagonal + (same ? 0 : 1));
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[nb];
}

/* The member of section `prefix` (with its dot) that row belongs to; false if it is elsewhere. */
static bool member_of(const struct svc_conf_row *row, struct slice prefix, char dst[64])
{
	struct slice key = slice_str(row->key);
	if (!slice_has_prefix(key, prefix))
		return false;
	const char *rest = row->key + prefix.n;
	size_t n = strcspn(rest, ".[");
	snprintf(dst, 64, "%.*s", (int)n, rest);
	return true;
}

static int unknown_key(struct reader *r, const yaml_event_t *ev, size_t prefix_len, const char *key)
{
	char where[160], name[64], last[64] = "", best[64] = "";
	size_t best_distance = 4;
	struct slice prefix = slice_of(str_c(&r->path), prefix_len);
	struct str list;
	str_init(&list, 0);
	for (size_t i = 0; i < r->c->nrows; i++) {
		if (!member_of(&r->c->rows[i], prefix, name) || strcmp(name, last) == 0)
			continue;
		memcpy(last, name, sizeof(last));
		str_addf(&list, "%s%s", list.n > 0 ? ", " : "", name);
		size_t d = distance(key, name);
		if (d < best_distance) {
			best_distance = d;
			memcpy(best, name, sizeof(best));
		}
	}
	char section[80] = "at the top";
	if (prefix_len > 0)
		snprintf(section, sizeof(section), "under %.*s", (int)prefix_len - 1,
			 str_c(&r->path));
	at(r, ev, where);
	int err;
	if (best[0] != '\0')
		err = ln_fail(r->f, LN_E_NOTFOUND,
			      "%s: there is no key \"%.40s\" %s; did you mean %s?", where, key,
			      section, best);
	else
		err = ln_fail(r->f, LN_E_NOTFOUND, "%s: there is no key \"%.40s\" %s; allowed: %s",
			      where, key, section, str_c(&list));
	str_fini(&list);
	return err;
}

/* --- values -----------------------------------------------------------------------------------*/

static bool is_section(const struct svc_conf *c, const char *path, const char *suffix)
{
	size_t n = strlen(path), m = strlen(suffix);
	for (size_t i = 0; i < c->nrows; i++) {
		const char *key = c->rows[i].key;
		if (strncmp(key, path, n) == 0 && strncmp(key + n, suffix, m) == 0)
			return true;
	}
	return false;
}

static int wrong_shape(struct reader *r, const yaml_event_t *ev, const char *wanted)
{
	char where[160];
	return ln_fail(r->f, LN_E_MALFORMED, "%s: %s must be %s", at(r, ev, where), str_c(&r->path),
		       wanted);
}

static bool is_null(const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (strcmp(s, "") == 0 || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

/* Reads past the rest of a value whose first event is ev. */
static int skip_value(struct reader *r, const yaml_event_t *first)
{
	unsigned depth = 0;
	yaml_event_type_t type = first->type;
	for (;;) {
		if (type == YAML_ALIAS_EVENT)
			return wrong_shape(r, first, "written out: aliases are not supported");
		if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
			depth++;
		if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
			depth--;
		if (depth == 0)
			return 0;
		if (depth > MAX_DEPTH)
			return wrong_shape(r, first, "nested less deeply");
		yaml_event_t ev;
		int err = next(r, &ev);
		if (err < 0)
			return err;
		type = ev.type;
		yaml_event_delete(&ev);
	}
}

/* Notes that a row is set by this line; a second time is an error except inside a list. */
static int mark_set(struct reader *r, const struct svc_conf_row *row, const yaml_event_t *ev)
{
	struct svc_conf_state *st = svc_conf_state_of(r->c, row);
	char where[160];
	if (st->line != 0 && strstr(row->key, "[]") == NULL)
		return ln_fail(r->f, LN_E_CONFLICT, "%s: %s is given twice, first on line %d",
			       at(r, ev, where), row->key, st->line);
	st->line = (int)ev->start_mark.line + 1;
	st->source = LN_MAX(st->source, SVC_CONF_FILE);
	return 0;
}

static int scalar_text(struct reader *r, const yaml_event_t *ev, const char **ret)
{
	const char *text = (const char *)ev->data.scalar.value;
	if (strlen(text) != ev->data.scalar.length)
		return wrong_shape(r, ev, "free of zero bytes");
	*ret = text;
	return 0;
}

static int read_scalar(struct reader *r, const struct svc_conf_row *row, const yaml_event_t *ev)
{
	char at_text[160], where[240];
	const char *text = NULL;
	bool list = row->type == CONF_STR_LIST || row->type == CONF_INT_LIST;
	bool member = strstr(row->key, "[]") != NULL;
	if (is_null(ev))
		return 0;
	if (list && !member)
		return wrong_shape(r, ev, "a list: [a, b]");
	int err = scalar_text(r, ev, &text);
	if (err < 0)
		return err;
	snprintf(where, sizeof(where), "%s: %s", at(r, ev, at_text), row->key);
	if (list)
		err = svc_conf_append(r->c, row, text, where, r->f);
	else
		err = svc_conf_set(r->c, row, text, SVC_CONF_FILE, where, r->f);
	return err < 0 ? err : mark_set(r, row, ev);
}

/* A list of plain values; it replaces the default. */
static int read_list(struct reader *r, const struct svc_conf_row *row, const yaml_event_t *start)
{
	char at_text[160], where[240];
	int err = svc_conf_set(r->c, row, "", SVC_CONF_FILE, row->key, r->f);
	if (err == 0)
		err = mark_set(r, row, start);
	while (err == 0) {
		yaml_event_t ev;
		const char *text = NULL;
		err = next(r, &ev);
		if (err < 0)
			return err;
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		if (!end && (ev.type != YAML_SCALAR_EVENT || is_null(&ev)))
			err = wrong_shape(r, &ev, "a list of plain values");
		else if (!end)
			err = scalar_text(r, &ev, &text);
		if (!end && err == 0) {
			snprintf(where, sizeof(where), "%s: %s", at(r, &ev, at_text), row->key);
			err = svc_conf_append(r->c, row, text, where, r->f);
		}
		yaml_event_delete(&ev);
		if (end)
			break;
	}
	return err;
}

static int read_mapping(struct reader *r)
{
	size_t outer = r->path.n;
	if (++r->depth > MAX_DEPTH)
		return ln_fail(r->f, LN_E_LIMIT, "%s: nested too deeply", r->c->file);
	if (outer > 0)
		str_addc(&r->path, '.');
	size_t prefix_len = r->path.n;
	int err = 0;
	while (err == 0) {
		yaml_event_t key, value;
		err = next(r, &key);
		if (err < 0)
			return err;
		if (key.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&key);
			break;
		}
		const char *name = key.type == YAML_SCALAR_EVENT
					   ? (const char *)key.data.scalar.value
					   : "(not a plain key)";
		str_add(&r->path, name);
		bool known = r->path.err == 0 && key.type == YAML_SCALAR_EVENT &&
			     strlen(name) == key.data.scalar.length &&
			     strpbrk(name, ".[") == NULL &&
			     (svc_conf_find(r->c, str_c(&r->path)) != NULL ||
			      is_section(r->c, str_c(&r->path), ".") ||
			      is_section(r->c, str_c(&r->path), "[]."));
		if (!known)
			err = unknown_key(r, &key, prefix_len, name);
		yaml_event_delete(&key);
		if (err == 0)
			err = next(r, &value);
		else
			break;
		if (err == 0) {
			err = read_value(r, &value);
			yaml_event_delete(&value);
		}
		r->path.n = prefix_len;
		r->path.s[prefix_len] = '\0';
	}
	r->path.n = outer;
	if (r->path.s != NULL)
		r->path.s[outer] = '\0';
	r->depth--;
	return err;
}

/* A list of maps; each member row collects one element per map. */
static int read_map_list(struct reader *r)
{
	size_t outer = r->path.n;
	int err = 0;
	str_add(&r->path, "[]");
	while (err == 0) {
		yaml_event_t ev;
		err = next(r, &ev);
		if (err < 0)
			return err;
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		if (!end && ev.type != YAML_MAPPING_START_EVENT)
			err = wrong_shape(r, &ev, "a map, as in - uri: stun:host:3478");
		else if (!end)
			err = read_mapping(r);
		yaml_event_delete(&ev);
		if (end)
			break;
	}
	r->path.n = outer;
	r->path.s[outer] = '\0';
	return err;
}

static int read_section(struct reader *r, const yaml_event_t *ev)
{
	const char *path = str_c(&r->path);
	bool maps = is_section(r->c, path, "[].");
	if (ev->type == YAML_SCALAR_EVENT && is_null(ev))
		return 0;
	if (ev->type == YAML_MAPPING_START_EVENT && !maps)
		return read_mapping(r);
	if (ev->type == YAML_SEQUENCE_START_EVENT && maps)
		return read_map_list(r);
	return wrong_shape(r, ev, maps ? "a list of maps" : "a section with keys of its own");
}

static int read_value(struct reader *r, const yaml_event_t *ev)
{
	const struct svc_conf_row *row = svc_conf_find(r->c, str_c(&r->path));
	if (ev->type == YAML_ALIAS_EVENT)
		return wrong_shape(r, ev, "written out: aliases are not supported");
	if (row == NULL)
		return read_section(r, ev);
	if (row->type == CONF_ANY) {
		bool null = ev->type == YAML_SCALAR_EVENT && is_null(ev);
		int err = null ? 0 : mark_set(r, row, ev);
		return err < 0 ? err : skip_value(r, ev);
	}
	if (ev->type == YAML_SCALAR_EVENT)
		return read_scalar(r, row, ev);
	bool list = row->type == CONF_STR_LIST || row->type == CONF_INT_LIST;
	if (ev->type == YAML_SEQUENCE_START_EVENT && list && strstr(row->key, "[]") == NULL)
		return read_list(r, row, ev);
	return wrong_shape(r, ev, list ? "a list of plain values" : "one plain value");
}

/* --- documents --------------------------------------------------------------------------------*/

static int read_document(struct reader *r)
{
	yaml_event_t ev;
	int err = next(r, &ev);
	if (err < 0)
		return err;
	if (ev.type == YAML_MAPPING_START_EVENT)
		err = read_mapping(r);
	else if (ev.type != YAML_SCALAR_EVENT || !is_null(&ev))
		err = ln_fail(r->f, LN_E_MALFORMED, "%s:%zu: the file must be a map of keys",
			      r->c->file, ev.start_mark.line + 1);
	yaml_event_delete(&ev);
	if (err == 0)
		err = next(r, &ev);
	if (err == 0)
		yaml_event_delete(&ev); /* end of the document */
	return err;
}

static int read_stream(struct reader *r)
{
	unsigned documents = 0;
	for (;;) {
		yaml_event_t ev;
		int err = next(r, &ev);
		if (err < 0)
			return err;
		yaml_event_type_t type = ev.type;
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			err = ln_fail(r->f, LN_E_MALFORMED, "%s:%zu: a second document begins here",
				      r->c->file, ev.start_mark.line + 1);
		yaml_event_delete(&ev);
		if (err == 0 && type == YAML_DOCUMENT_START_EVENT)
			err = read_document(r);
		if (err < 0 || type == YAML_STREAM_END_EVENT)
			return err;
	}
}

int svc_conf_read_text(struct svc_conf *c, const char *name, struct slice text, struct ln_fail *f)
{
	struct reader r = { .c = c, .f = f };
	if (text.n > MAX_FILE)
		return ln_fail(f, LN_E_LIMIT, "%s: larger than 1 MiB", name);
	c->file = arena_strdup(&c->arena, name);
	if (c->file == NULL || !yaml_parser_initialize(&r.p))
		return ln_fail(f, -ENOMEM, "%s: no memory to read it", name);
	str_init(&r.path, MAX_PATH_TEXT);
	yaml_parser_set_input_string(&r.p, text.p != NULL ? text.p : (const uint8_t *)"", text.n);
	yaml_parser_set_encoding(&r.p, YAML_UTF8_ENCODING);
	int err = read_stream(&r);
	yaml_parser_delete(&r.p);
	str_fini(&r.path);
	return err;
}

int svc_conf_read_file(struct svc_conf *c, const char *path, struct ln_fail *f)
{
	struct stat st;
	struct str text;
	char buf[16384];
	ssize_t n = 0;
	int err = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	str_init(&text, MAX_FILE);
	while (err == 0 && (n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n > 0)
			str_addn(&text, buf, (size_t)n);
		if (text.err != 0)
			err = ln_fail(f, LN_E_LIMIT, "%s: larger than 1 MiB", path);
	}
	if (fd >= 0)
		close(fd);
	if (err < 0 && err != LN_E_LIMIT)
		ln_fail(f, err, "cannot read the configuration %.120s: %s", path, ln_strerror(err));
	if (err == 0)
		err = svc_conf_read_text(c, path, str_slice(&text), f);
	str_fini(&text); /* libyaml and the arena have their own copies */
	explicit_bzero(buf, sizeof(buf));
	return err;
}
