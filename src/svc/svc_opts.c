#include "src/svc/svc_opts.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 34

void svc_opts_init(struct svc_opts *o, int argc, char **argv, const struct svc_opt *opts, size_t n)
{
	*o = (struct svc_opts){ .argc = argc, .argv = argv, .opts = opts, .n = n };
}

static const struct svc_opt *find_name(const struct svc_opts *o, const char *name, size_t n)
{
	for (size_t i = 0; i < o->n; i++)
		if (strlen(o->opts[i].name) == n && memcmp(o->opts[i].name, name, n) == 0)
			return &o->opts[i];
	return NULL;
}

static const struct svc_opt *find_letter(const struct svc_opts *o, char letter)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->opts[i].letter == letter)
			return &o->opts[i];
	return NULL;
}

/* The value of o->opt: what stuck to it, or the next word. */
static int take_value(struct svc_opts *o, const char *stuck, struct ln_fail *f)
{
	o->value = stuck;
	if (o->opt->arg == NULL) {
		o->value = stuck != NULL ? stuck : "true";
		if (strcmp(o->value, "true") != 0 && strcmp(o->value, "false") != 0)
			return ln_fail(f, LN_E_MALFORMED, "--%s takes no value", o->opt->name);
		return SVC_OPTS_OPTION;
	}
	if (o->value == NULL && o->next < o->argc)
		o->value = o->argv[o->next++];
	if (o->value == NULL)
		return ln_fail(f, LN_E_MALFORMED, "--%s wants a value: %s", o->opt->name,
			       o->opt->arg);
	return SVC_OPTS_OPTION;
}

int svc_opts_next(struct svc_opts *o, struct ln_fail *f)
{
	if (o->next >= o->argc)
		return SVC_OPTS_END;
	const char *word = o->argv[o->next++];
	o->opt = NULL;
	o->value = word;
	if (o->only_words || word[0] != '-' || word[1] == '\0')
		return SVC_OPTS_WORD;
	if (strcmp(word, "--") == 0) {
		o->only_words = true;
		return svc_opts_next(o, f);
	}
	if (word[1] != '-') {
		o->opt = find_letter(o, word[1]);
		if (o->opt != NULL)
			return take_value(o, word[2] != '\0' ? word + 2 : NULL, f);
	} else {
		size_t n = strcspn(word + 2, "=");
		o->opt = find_name(o, word + 2, n);
		if (o->opt != NULL)
			return take_value(o, word[2 + n] == '=' ? word + 3 + n : NULL, f);
	}
	return ln_fail(f, LN_E_NOTFOUND, "there is no option %.60s; see --help", word);
}

size_t svc_opts_from_conf(const struct svc_conf_row *rows, size_t nrows, struct svc_opt *dst,
			  size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < nrows && n < max; i++) {
		if (rows[i].flag == NULL)
			continue;
		dst[n++] = (struct svc_opt){
			.name = rows[i].flag,
			.arg = rows[i].type == CONF_BOOL       ? NULL
			       : rows[i].arg != NULL           ? rows[i].arg
			       : rows[i].type == CONF_DURATION ? "DURATION"
							       : "VALUE",
			.help = rows[i].help,
			.row = &rows[i],
		};
	}
	return n;
}

void svc_opts_help(const struct svc_opt *opts, size_t n, struct str *dst)
{
	for (size_t i = 0; i < n; i++) {
		const struct svc_opt *opt = &opts[i];
		char left[80], letter[8] = "    ";
		if (opt->help == NULL)
			continue;
		if (opt->letter != 0)
			snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
		snprintf(left, sizeof(left), "  %s--%s%s%s", letter, opt->name,
			 opt->arg != NULL ? " " : "", opt->arg != NULL ? opt->arg : "");
		if (strlen(left) >= HELP_COLUMN)
			str_addf(dst, "%s\n%*s", left, HELP_COLUMN, "");
		else
			str_addf(dst, "%-*s", HELP_COLUMN, left);
		str_add(dst, opt->help);
		if (opt->row != NULL && opt->row->preset != NULL && opt->row->preset[0] != '\0' &&
		    opt->row->type != CONF_BOOL)
			str_addf(dst, " (default %s)", opt->row->preset);
		str_addc(dst, '\n');
	}
}
