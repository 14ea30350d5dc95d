#include "src/svc/svc_conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARENA_LIMIT ((size_t)8 << 20)
#define MAX_LIST 1000

/* --- durations --------------------------------------------------------------------------------*/

static const struct {
	const char *name;
	ln_time ns;
} units[] = {
	{ "ns", 1 },     { "us", LN_USEC },  { "ms", LN_MSEC },
	{ "s", LN_SEC }, { "m", LN_MINUTE }, { "h", LN_HOUR },
};

static ln_time unit_of(const char *text, size_t n)
{
	for (size_t i = 0; i < LN_COUNT(units); i++)
		if (strlen(units[i].name) == n && memcmp(units[i].name, text, n) == 0)
			return units[i].ns;
	return 0;
}

/* One "12", "1.5" of a duration as nanoseconds of `unit`; at most nine digits of fraction. */
static int scaled(const char *digits, size_t n, ln_time unit, ln_time *ret)
{
	__int128 whole = 0, part = 0, scale = 1;
	bool dot = false, any = false;
	for (size_t i = 0; i < n; i++) {
		if (digits[i] == '.' && !dot) {
			dot = true;
			continue;
		}
		if (!isdigit((unsigned char)digits[i]))
			return LN_E_MALFORMED;
		any = true;
		if (!dot)
			whole = whole * 10 + (digits[i] - '0');
		else if (scale < 1000000000) {
			part = part * 10 + (digits[i] - '0');
			scale *= 10;
		}
		if (whole > INT64_MAX)
			return LN_E_MALFORMED;
	}
	__int128 ns = whole * unit + part * unit / scale;
	if (!any || ns > INT64_MAX / 2)
		return LN_E_MALFORMED;
	*ret = (ln_time)ns;
	return 0;
}

int svc_conf_parse_duration(const char *text, ln_time *ret)
{
	ln_time sum = 0;
	size_t digits = strspn(text, "0123456789.");
	if (digits != 0 && text[digits] == '\0')
		return scaled(text, digits, 1, ret);
	for (const char *p = text; p == text || *p != '\0';) {
		ln_time part;
		size_t n = strspn(p, "0123456789.");
		size_t u = strspn(p + n, "nsumh");
		ln_time unit = unit_of(p + n, u);
		if (unit == 0 || scaled(p, n, unit, &part) < 0 || part > INT64_MAX / 2 - sum)
			return LN_E_MALFORMED;
		sum += part;
		p += n + u;
	}
	*ret = sum;
	return 0;
}

void svc_conf_format_duration(ln_time t, char dst[32])
{
	static const int order[] = { 5, 4, 3, 2, 1, 0 };
	size_t used = 0;
	if (t <= 0) {
		snprintf(dst, 32, "0s");
		return;
	}
	dst[0] = '\0';
	for (size_t i = 0; i < LN_COUNT(order) && t > 0; i++) {
		ln_time unit = units[order[i]].ns;
		if (t < unit)
			continue;
		used += (size_t)snprintf(dst + used, 32 - used, "%lld%s", (long long)(t / unit),
					 units[order[i]].name);
		t %= unit;
		if (used >= 24)
			break;
	}
}

/* --- rows and their state ---------------------------------------------------------------------*/

const struct svc_conf_row *svc_conf_find(const struct svc_conf *c, const char *key)
{
	for (size_t i = 0; i < c->nrows; i++)
		if (strcmp(c->rows[i].key, key) == 0)
			return &c->rows[i];
	return NULL;
}

struct svc_conf_state *svc_conf_state_of(const struct svc_conf *c, const struct svc_conf_row *row)
{
	return &c->state[row - c->rows];
}

bool svc_conf_is_set(const struct svc_conf *c, const char *key)
{
	const struct svc_conf_row *row = svc_conf_find(c, key);
	ln_assert(row != NULL);
	return svc_conf_state_of(c, row)->source != SVC_CONF_DEFAULT;
}

void svc_conf_where(const struct svc_conf *c, const char *key, char *dst, size_t size)
{
	const struct svc_conf_row *row = svc_conf_find(c, key);
	ln_assert(row != NULL);
	const struct svc_conf_state *st = svc_conf_state_of(c, row);
	switch (st->source) {
	case SVC_CONF_DEFAULT:
		snprintf(dst, size, "%s", key);
		return;
	case SVC_CONF_FILE:
		snprintf(dst, size, "%s:%d: %s", c->file, st->line, key);
		return;
	case SVC_CONF_FLAG:
		snprintf(dst, size, "--%s", row->flag);
		return;
	case SVC_CONF_ENV:
		snprintf(dst, size, "%s", row->env);
		return;
	}
}

void svc_conf_later(const struct svc_conf *c, struct str *dst)
{
	for (size_t i = 0; i < c->nrows; i++) {
		if ((c->rows[i].flags & CONF_LATER) == 0 || c->state[i].source == SVC_CONF_DEFAULT)
			continue;
		str_addf(dst, "%s%s", dst->n > 0 ? ", " : "", c->rows[i].key);
	}
}

/* --- values -----------------------------------------------------------------------------------*/

static void *field(const struct svc_conf *c, const struct svc_conf_row *row)
{
	return (char *)c->values + row->offset;
}

/* What stands after "allowed: " for a row without a check of its own. */
static void allowed(const struct svc_conf_row *row, char *dst, size_t size)
{
	char lo[32], hi[32];
	bool range = row->min != 0 || row->max != 0;
	switch (row->type) {
	case CONF_BOOL:
		snprintf(dst, size, "true or false");
		return;
	case CONF_INT:
	case CONF_INT_LIST:
		if (range)
			snprintf(dst, size, "a whole number from %lld to %lld", (long long)row->min,
				 (long long)row->max);
		else
			snprintf(dst, size, "a whole number");
		return;
	case CONF_DURATION:
		svc_conf_format_duration(row->min, lo);
		svc_conf_format_duration(row->max, hi);
		if (range)
			snprintf(dst, size, "a duration such as 10s or 1h30m, from %s to %s", lo,
				 hi);
		else
			snprintf(dst, size, "a duration such as 10s or 1h30m");
		return;
	case CONF_STR:
	case CONF_STR_LIST:
	case CONF_ANY:
		snprintf(dst, size, "text without control characters");
		return;
	}
}

/* The refusal of a value. A secret is not repeated; strange bytes are not shown. */
static int refuse(const struct svc_conf_row *row, const char *where, const char *text,
		  const char *what, struct ln_fail *f)
{
	char shown[48], rule[120];
	snprintf(shown, sizeof(shown), "%s", (row->flags & CONF_SECRET) != 0 ? "***" : text);
	for (char *p = shown; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (what == NULL) {
		allowed(row, rule, sizeof(rule));
		what = rule;
	}
	return ln_fail(f, LN_E_MALFORMED, "%s: \"%s\" is not allowed; allowed: %s", where, shown,
		       what);
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "true", "yes", "on", "1", "t" };
	static const char *const no[] = { "false", "no", "off", "0", "f" };
	for (size_t i = 0; i < LN_COUNT(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return LN_E_MALFORMED;
}

static int parse_int(const struct svc_conf_row *row, const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || isspace((unsigned char)text[0]))
		return LN_E_MALFORMED;
	if ((row->min != 0 || row->max != 0) && (v < row->min || v > row->max))
		return LN_E_MALFORMED;
	*ret = v;
	return 0;
}

static bool is_clean(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* A copy of the array v with room for one element more; null at the limit. */
static void *grown(struct svc_conf *c, const void *v, size_t n, size_t size)
{
	void *p = n < MAX_LIST ? arena_calloc(&c->arena, n + 1, size) : NULL;
	if (p != NULL && n > 0)
		memcpy(p, v, n * size);
	return p;
}

int svc_conf_append(struct svc_conf *c, const struct svc_conf_row *row, const char *text,
		    const char *where, struct ln_fail *f)
{
	const char *why = row->check != NULL ? row->check(text) : NULL;
	if (why != NULL || !is_clean(text))
		return refuse(row, where, text, why, f);
	if (row->type == CONF_STR_LIST) {
		struct svc_conf_strs *l = field(c, row);
		const char **v = grown(c, l->v, l->n, sizeof(*v));
		char *copy = arena_strdup(&c->arena, text);
		if (v == NULL || copy == NULL)
			return ln_fail(f, LN_E_LIMIT, "%s: more than %d values", where, MAX_LIST);
		v[l->n] = copy;
		*l = (struct svc_conf_strs){ .v = v, .n = l->n + 1 };
		return 0;
	}
	ln_assert(row->type == CONF_INT_LIST);
	struct svc_conf_ints *l = field(c, row);
	int64_t value;
	if (parse_int(row, text, &value) < 0)
		return refuse(row, where, text, NULL, f);
	int64_t *v = grown(c, l->v, l->n, sizeof(*v));
	if (v == NULL)
		return ln_fail(f, LN_E_LIMIT, "%s: more than %d values", where, MAX_LIST);
	v[l->n] = value;
	*l = (struct svc_conf_ints){ .v = v, .n = l->n + 1 };
	return 0;
}

static void clear_list(struct svc_conf *c, const struct svc_conf_row *row)
{
	if (row->type == CONF_STR_LIST)
		*(struct svc_conf_strs *)field(c, row) = (struct svc_conf_strs){ 0 };
	else
		*(struct svc_conf_ints *)field(c, row) = (struct svc_conf_ints){ 0 };
}

/* A comma-separated list; the whole is replaced. Empty text is the empty list. */
static int set_list(struct svc_conf *c, const struct svc_conf_row *row, const char *text,
		    const char *where, struct ln_fail *f)
{
	clear_list(c, row);
	while (*text != '\0') {
		char item[1024];
		size_t n = strcspn(text, ",");
		const char *next = text + n + (text[n] == ',');
		while (n > 0 && *text == ' ') {
			text++;
			n--;
		}
		while (n > 0 && text[n - 1] == ' ')
			n--;
		if (n >= sizeof(item))
			return refuse(row, where, "(long)", NULL, f);
		memcpy(item, text, n);
		item[n] = '\0';
		int err = svc_conf_append(c, row, item, where, f);
		if (err < 0)
			return err;
		text = next;
	}
	return 0;
}

static int set_scalar(struct svc_conf *c, const struct svc_conf_row *row, const char *text,
		      const char *where, struct ln_fail *f)
{
	const char *why = row->check != NULL ? row->check(text) : NULL;
	if (why != NULL || !is_clean(text))
		return refuse(row, where, text, why, f);
	if (row->type == CONF_STR) {
		char *copy = arena_strdup(&c->arena, text);
		if (copy == NULL)
			return ln_fail(f, LN_E_LIMIT, "%s: too long", where);
		*(const char **)field(c, row) = copy;
		return 0;
	}
	bool b;
	int64_t i;
	ln_time t;
	if (row->type == CONF_BOOL && parse_bool(text, &b) == 0)
		*(bool *)field(c, row) = b;
	else if (row->type == CONF_INT && parse_int(row, text, &i) == 0)
		*(int64_t *)field(c, row) = i;
	else if (row->type == CONF_DURATION && svc_conf_parse_duration(text, &t) == 0 &&
		 ((row->min == 0 && row->max == 0) || (t >= row->min && t <= row->max)))
		*(ln_time *)field(c, row) = t;
	else
		return refuse(row, where, text, NULL, f);
	return 0;
}

int svc_conf_set(struct svc_conf *c, const struct svc_conf_row *row, const char *text,
		 enum svc_conf_source source, const char *where, struct ln_fail *f)
{
	struct svc_conf_state *st = svc_conf_state_of(c, row);
	if (source < st->source)
		return 0;
	int err = 0;
	if (row->type == CONF_STR_LIST || row->type == CONF_INT_LIST)
		err = set_list(c, row, text, where, f);
	else if (row->type != CONF_ANY)
		err = set_scalar(c, row, text, where, f);
	if (err == 0)
		st->source = source;
	return err;
}

void svc_conf_init(struct svc_conf *c, const struct svc_conf_row *rows, size_t nrows, void *values)
{
	*c = (struct svc_conf){ .rows = rows, .nrows = nrows, .values = values };
	arena_init(&c->arena, ARENA_LIMIT);
	c->state = ln_calloc(nrows, sizeof(*c->state));
	for (size_t i = 0; i < nrows; i++) {
		const struct svc_conf_row *row = &rows[i];
		struct ln_fail f;
		if (row->type == CONF_STR)
			*(const char **)field(c, row) = "";
		if (row->type == CONF_ANY || row->preset == NULL)
			continue;
		int err = svc_conf_set(c, row, row->preset, SVC_CONF_DEFAULT, row->key, &f);
		ln_assert(err == 0);
	}
}

void svc_conf_fini(struct svc_conf *c)
{
	arena_fini(&c->arena);
	free(c->state);
	*c = (struct svc_conf){ 0 };
}

int svc_conf_read_env(struct svc_conf *c, const char *(*get)(const char *name), struct ln_fail *f)
{
	for (size_t i = 0; i < c->nrows; i++) {
		const struct svc_conf_row *row = &c->rows[i];
		const char *text = row->env != NULL ? get(row->env) : NULL;
		if (text == NULL || *text == '\0')
			continue;
		int err = svc_conf_set(c, row, text, SVC_CONF_ENV, row->env, f);
		if (err < 0)
			return err;
	}
	return 0;
}

/* --- reload -----------------------------------------------------------------------------------*/

static bool same_strs(const struct svc_conf_strs *a, const struct svc_conf_strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_value(const struct svc_conf_row *row, const void *a, const void *b)
{
	const struct svc_conf_ints *x, *y;
	switch (row->type) {
	case CONF_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case CONF_INT:
	case CONF_DURATION:
		return *(const int64_t *)a == *(const int64_t *)b;
	case CONF_STR:
		return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
	case CONF_STR_LIST:
		return same_strs(a, b);
	case CONF_INT_LIST:
		x = a;
		y = b;
		return x->n == y->n && (x->n == 0 || memcmp(x->v, y->v, x->n * sizeof(*x->v)) == 0);
	case CONF_ANY:
		return true;
	}
	return true;
}

const char *svc_conf_unreloadable(const struct svc_conf *a, const struct svc_conf *b)
{
	ln_assert(a->rows == b->rows);
	for (size_t i = 0; i < a->nrows; i++) {
		const struct svc_conf_row *row = &a->rows[i];
		if ((row->flags & CONF_RELOAD) == 0 &&
		    !same_value(row, field(a, row), field(b, row)))
			return row->key;
	}
	return NULL;
}
