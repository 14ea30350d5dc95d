/* From words and variables to values. Messages are worded like those of NetBird's command line. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_cli.h"

#define ARENA_LIMIT ((size_t)4 << 20) /* a command line and an environment fit */
#define LIST_MAX 1024

const char *linnet_env(const struct linnet_cli *cli, const char *name)
{
	size_t n = strlen(name);
	for (const char *const *e = cli->environment; e != NULL && *e != NULL; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

/* --- one value -------------------------------------------------------------------------------- */

static bool parse_bool(const char *text, int64_t *ret)
{
	static const char *const words[2][6] = { { "0", "f", "F", "false", "FALSE", "False" },
						 { "1", "t", "T", "true", "TRUE", "True" } };
	for (int value = 0; value < 2; value++)
		for (size_t i = 0; i < 6; i++)
			if (strcmp(text, words[value][i]) == 0) {
				*ret = value;
				return true;
			}
	return false;
}

static bool parse_number(const char *text, int64_t max, int64_t *ret)
{
	char *end;
	if (!isdigit((unsigned char)text[0]))
		return false;
	long long n = strtoll(text, &end, 10);
	if (*end != '\0' || n > max)
		return false;
	*ret = n;
	return true;
}

/* Go's notation: 1h2m3.5s; units h, m, s, ms. */
static bool parse_duration(const char *text, int64_t *ret)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{ "ms", 1000000 }, { "h", 3600000000000 }, { "m", 60000000000 }, { "s", 1000000000 }
	};

	int64_t sum = 0;
	if (*text == '\0')
		return false;
	while (*text != '\0') {
		char *end;
		double n = isdigit((unsigned char)*text) ? strtod(text, &end) : -1;
		size_t i = 0;
		while (n >= 0 && i < LN_COUNT(units) &&
		       strncmp(end, units[i].name, strlen(units[i].name)) != 0)
			i++;
		if (n < 0 || n > 1e6 || i == LN_COUNT(units))
			return false;
		sum += (int64_t)(n * (double)units[i].ns);
		text = end + strlen(units[i].name);
	}
	*ret = sum;
	return true;
}

/* "" empties the list; else its comma-separated items are appended. */
static bool append(struct linnet_cli *cli, struct linnet_value *v, const char *text)
{
	if (v->list == NULL)
		v->list = arena_calloc(&cli->arena, LIST_MAX + 1, sizeof(*v->list));
	while (v->list != NULL && *text != '\0') {
		size_t n = strcspn(text, ",");
		if (v->nlist == LIST_MAX)
			return false;
		v->list[v->nlist] = arena_strndup(&cli->arena, text, n);
		if (v->list[v->nlist++] == NULL)
			return false;
		text += n + (text[n] == ',');
	}
	return v->list != NULL;
}

static int set(struct linnet_cli *cli, const struct linnet_opt *o, const char *text,
	       const char *where, struct ln_fail *f)
{
	struct linnet_value *v = &cli->values[o->id];
	bool ok = true;
	switch (o->type) {
	case LINNET_STR:
		break;
	case LINNET_BOOL:
		ok = parse_bool(text, &v->number);
		break;
	case LINNET_UINT16:
		ok = parse_number(text, 65535, &v->number);
		break;
	case LINNET_INT:
		ok = parse_number(text, INT32_MAX, &v->number);
		break;
	case LINNET_DURATION:
		ok = parse_duration(text, &v->number);
		break;
	case LINNET_LIST:
		if (!v->given) /* the preset goes with the first */
			v->nlist = 0;
		ok = append(cli, v, text);
		break;
	}
	if (!ok)
		return ln_fail(f, LN_E_MALFORMED, "invalid argument \"%.80s\" for %s", text, where);
	v->text = text;
	v->given = true;
	return 0;
}

static void set_presets(struct linnet_cli *cli)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		ln_assert(o->id == i);
		cli->values[i].text = "";
		if (o->preset != NULL) {
			ln_assert(set(cli, o, o->preset, o->name, NULL) == 0);
			cli->values[i].given = false;
		}
	}
}

/* --- options ---------------------------------------------------------------------------------- */

static const struct linnet_opt *find_long(unsigned scopes, const char *name, size_t n)
{
	for (size_t i = 0; i < OPT_COUNT; i++)
		if ((linnet_opts[i].scopes & scopes) != 0 && strlen(linnet_opts[i].name) == n &&
		    strncmp(linnet_opts[i].name, name, n) == 0)
			return &linnet_opts[i];
	return NULL;
}

static const struct linnet_opt *find_letter(unsigned scopes, char letter)
{
	/* From the end: -N of a command goes before a global one. */
	for (size_t i = OPT_COUNT; i-- > 0;)
		if ((linnet_opts[i].scopes & scopes) != 0 && linnet_opts[i].letter == letter)
			return &linnet_opts[i];
	return NULL;
}

/* Takes the option at argv[*at], and the word behind it when that is its value. */
static int take_long(struct linnet_cli *cli, unsigned scopes, char *const argv[], int argc, int *at,
		     struct ln_fail *f)
{
	const char *name = argv[*at] + 2;
	size_t n = strcspn(name, "=");
	const struct linnet_opt *o = find_long(scopes, name, n);
	char where[80];
	if (o == NULL)
		return ln_fail(f, LN_E_NOTFOUND, "unknown flag: --%.*s", (int)n, name);
	snprintf(where, sizeof(where), "\"--%s\" flag", o->name);
	if (name[n] == '=')
		return set(cli, o, name + n + 1, where, f);
	if (o->type == LINNET_BOOL)
		return set(cli, o, "true", where, f);
	if (*at + 1 >= argc)
		return ln_fail(f, LN_E_MALFORMED, "flag needs an argument: --%s", o->name);
	return set(cli, o, argv[++*at], where, f);
}

static int take_short(struct linnet_cli *cli, unsigned scopes, char *const argv[], int argc,
		      int *at, struct ln_fail *f)
{
	const char *word = argv[*at];
	for (const char *p = word + 1; *p != '\0'; p++) {
		const struct linnet_opt *o = find_letter(scopes, *p);
		char where[80];
		if (o == NULL)
			return ln_fail(f, LN_E_NOTFOUND, "unknown shorthand flag: '%c' in %s", *p,
				       word);
		snprintf(where, sizeof(where), "\"-%c, --%s\" flag", o->letter, o->name);
		if (p[1] == '=')
			return set(cli, o, p + 2, where, f);
		if (o->type != LINNET_BOOL && p[1] != '\0')
			return set(cli, o, p + 1, where, f);
		if (o->type != LINNET_BOOL && *at + 1 >= argc)
			return ln_fail(f, LN_E_MALFORMED, "flag needs an argument: '%c' in %s", *p,
				       word);
		if (o->type != LINNET_BOOL)
			return set(cli, o, argv[++*at], where, f);
		int r = set(cli, o, "true", where, f);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Does the word behind this option belong to it? Before the command only global ones are known. */
static bool takes_next(const char *word)
{
	const struct linnet_opt *o;
	if (word[1] == '-')
		o = strchr(word, '=') != NULL
			    ? NULL
			    : find_long(LINNET_GLOBAL, word + 2, strlen(word + 2));
	else
		o = word[2] == '\0' ? find_letter(LINNET_GLOBAL, word[1]) : NULL;
	return o != NULL && o->type != LINNET_BOOL;
}

/* --- commands --------------------------------------------------------------------------------- */

static const struct linnet_command *match(const char *first, const char *second, int *ret_words)
{
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		size_t n = strcspn(c->words, " ");
		bool one = strlen(first) == n && strncmp(first, c->words, n) == 0;
		bool alias = c->alias != NULL && strcmp(first, c->alias) == 0;
		bool two = c->words[n] == ' ';
		if ((!two && (one || alias)) ||
		    (two && one && second != NULL && strcmp(second, c->words + n + 1) == 0)) {
			*ret_words = two ? 2 : 1;
			return c;
		}
	}
	return NULL;
}

/* "service" and "peer" are no commands by themselves. */
bool linnet_is_group(const char *word)
{
	size_t n = strlen(word);
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++)
		if (strncmp(c->words, word, n) == 0 && c->words[n] == ' ')
			return true;
	return false;
}

/* The places in argv of the first two words that are no options; their number. */
static int find_words(int argc, char *const argv[], int places[2])
{
	int n = 0;
	for (int i = 1; i < argc && n < 2; i++) {
		if (strcmp(argv[i], "--") == 0)
			break;
		if (argv[i][0] == '-' && argv[i][1] != '\0')
			i += takes_next(argv[i]);
		else
			places[n++] = i;
	}
	return n;
}

static int take_all(struct linnet_cli *cli, int argc, char *const argv[], const int *places,
		    int nplaces, struct ln_fail *f)
{
	unsigned scopes = LINNET_GLOBAL | (cli->command != NULL ? cli->command->scope : 0);
	bool only_words = false;
	int r = 0;
	for (int i = 1; i < argc && r == 0; i++) {
		if (nplaces > 0 && i == places[0])
			places++, nplaces--;
		else if (!only_words && strcmp(argv[i], "--") == 0)
			only_words = true;
		else if (!only_words && strncmp(argv[i], "--", 2) == 0)
			r = take_long(cli, scopes, argv, argc, &i, f);
		else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
			r = take_short(cli, scopes, argv, argc, &i, f);
		else if (cli->command == NULL || cli->nargs >= cli->command->max_args)
			r = ln_fail(f, LN_E_MALFORMED, "unexpected argument \"%.60s\"", argv[i]);
		else
			cli->args[cli->nargs++] = argv[i];
	}
	return r;
}

/* WT_ before NB_, so that the newer name wins; both after the flags, so that they win. */
static void take_environment(struct linnet_cli *cli, struct str *warn)
{
	static const char *const prefixes[] = { "WT_", "NB_" };
	unsigned scopes = LINNET_GLOBAL | (cli->command != NULL ? cli->command->scope : 0);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		if ((o->scopes & scopes) == 0 || o->id == OPT_HELP)
			continue;
		for (size_t k = 0; k < LN_COUNT(prefixes); k++) {
			char name[80];
			struct ln_fail f;
			snprintf(name, sizeof(name), "%s%s", prefixes[k], o->name);
			for (char *p = name; *p != '\0'; p++)
				*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
			const char *text = linnet_env(cli, name);
			if (text != NULL && set(cli, o, text, name, &f) < 0)
				str_addf(warn, "%s\n", f.text);
		}
	}
}

int linnet_cli_parse(struct linnet_cli *cli, int argc, char *const argv[],
		     const char *const *environment, struct str *warn, struct ln_fail *f)
{
	*cli = (struct linnet_cli){ .environment = environment };
	arena_init(&cli->arena, ARENA_LIMIT);
	set_presets(cli);
	int places[2] = { 0, 0 }, words = 0;
	int n = find_words(argc, argv, places);
	if (n > 0)
		cli->command = match(argv[places[0]], n > 1 ? argv[places[1]] : NULL, &words);
	if (n > 0 && cli->command == NULL && !linnet_is_group(argv[places[0]]))
		return ln_fail(f, LN_E_NOTFOUND,
			       "unknown command \"%.60s\" for \"linnet\"\nRun 'linnet --help' for "
			       "usage.",
			       argv[places[0]]);
	if (n > 1 && cli->command == NULL)
		return ln_fail(f, LN_E_NOTFOUND,
			       "unknown command \"%.60s\" for \"linnet %s\"\nRun 'linnet "
			       "--help' for usage.",
			       argv[places[1]], argv[places[0]]);
	int r = take_all(cli, argc, argv, places, cli->command != NULL ? words : n, f);
	if (r == 0)
		take_environment(cli, warn);
	return r;
}

void linnet_cli_fini(struct linnet_cli *cli)
{
	arena_fini(&cli->arena);
}
