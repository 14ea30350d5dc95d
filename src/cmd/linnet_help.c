/* Help, completion scripts and the manual page, all from the tables of linnet_table.c. */
#include <stdio.h>
#include <string.h>

#include "src/cmd/linnet_cli.h"

static bool shown(const struct linnet_opt *o, unsigned scopes)
{
	return (o->scopes & scopes) != 0 && !o->hidden;
}

/* --- help ------------------------------------------------------------------------------------- */

static void add_options(unsigned scopes, unsigned without, struct str *dst)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		if (!shown(o, scopes) || (o->scopes & without) != 0)
			continue;
		char left[64], letter[8] = "    ";
		if (o->letter != '\0')
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "  %s--%s%s%s", letter, o->name,
			 o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
		str_addf(dst, "%-45s %s", left, o->help);
		if (o->preset != NULL)
			str_addf(dst, " (default %s)", o->preset);
		str_addc(dst, '\n');
	}
}

static void program_help(struct str *dst)
{
	str_add(dst, "linnet connects this machine to a private network of peers.\n\nUsage:\n"
		     "  linnet COMMAND [OPTIONS]\n\nCommands:\n");
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++)
		if (!c->hidden)
			str_addf(dst, "  %-22s %s\n", c->words, c->brief);
	str_add(dst, "\nOptions of every command:\n");
	add_options(LINNET_GLOBAL, 0, dst);
	str_add(dst,
		"\nEvery option can be set in the environment: NB_ and its name in capitals, as in\n"
		"NB_SETUP_KEY. The environment wins over the command line.\n"
		"linnet COMMAND --help shows the options of a command.\n");
}

void linnet_help(const struct linnet_command *c, struct str *dst)
{
	if (c == NULL) {
		program_help(dst);
		return;
	}
	str_addf(dst, "%s\n\nUsage:\n  linnet %s%s%s [OPTIONS]\n", c->text, c->words,
		 c->args != NULL ? " " : "", c->args != NULL ? c->args : "");
	if (c->alias != NULL)
		str_addf(dst, "\nAnother name: %s\n", c->alias);
	if (c->scope != LINNET_OTHER) {
		str_add(dst, "\nOptions:\n");
		add_options(c->scope, LINNET_GLOBAL, dst);
	}
	str_add(dst, "\nOptions of every command:\n");
	add_options(LINNET_GLOBAL, 0, dst);
}

/* --- completion ------------------------------------------------------------------------------- */

static void add_words(struct str *dst)
{
	const char *last = "";
	size_t n = 0;
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		size_t k = strcspn(c->words, " ");
		if (c->hidden || (k == n && strncmp(last, c->words, k) == 0))
			continue;
		str_addf(dst, "%s%.*s", last[0] != '\0' ? " " : "", (int)k, c->words);
		if (c->alias != NULL)
			str_addf(dst, " %s", c->alias);
		last = c->words;
		n = k;
	}
}

static void add_second_words(const char *group, struct str *dst)
{
	size_t n = strlen(group);
	const char *gap = "";
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		const char *second = strchr(c->words, ' ');
		if (second == NULL || c->hidden || strncmp(c->words, group, n) != 0)
			continue;
		str_addf(dst, "%s%s", gap, second + 1);
		gap = " ";
	}
}

static void add_option_words(unsigned scopes, struct str *dst)
{
	const char *gap = "";
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (!shown(&linnet_opts[i], scopes))
			continue;
		str_addf(dst, "%s--%s", gap, linnet_opts[i].name);
		gap = " ";
	}
}

/* A function that all three shells understand: echoes what may follow the words $1 and $2. */
static void add_choices(struct str *dst)
{
	str_add(dst, "_linnet_choices() {\n\tcase \"$1\" in\n\t'') echo \"");
	add_words(dst);
	str_add(dst, "\" ;;\n\tservice) [ -z \"$2\" ] && echo \"");
	add_second_words("service ", dst);
	str_add(dst, "\" || echo \"");
	add_option_words(LINNET_GLOBAL | LINNET_SERVICE | LINNET_INSTALL, dst);
	str_add(dst, "\" ;;\n\tpeer) [ -z \"$2\" ] && echo \"");
	add_second_words("peer ", dst);
	/* The daemon knows the names. */
	str_add(dst, "\" || echo \"$(linnet status --json 2>/dev/null | "
		     "grep -o '\"fqdn\":\"[^\"]*\",\"netbirdIp\"' | cut -d'\"' -f4) ");
	add_option_words(LINNET_GLOBAL | LINNET_PEER, dst);
	str_add(dst, "\" ;;\n\tcompletion) echo \"bash zsh fish\" ;;\n");
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		if (c->hidden || strchr(c->words, ' ') != NULL ||
		    strcmp(c->words, "completion") == 0)
			continue;
		str_addf(dst, "\t%s%s%s) echo \"", c->words, c->alias != NULL ? "|" : "",
			 c->alias != NULL ? c->alias : "");
		add_option_words(LINNET_GLOBAL | c->scope, dst);
		str_add(dst, "\" ;;\n");
	}
	str_add(dst, "\tesac\n}\n");
}

static const char bash_tail[] =
	"_linnet() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} word words=()\n"
	"\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	"\t\t[[ $word == -* ]] || words+=(\"$word\")\n"
	"\tdone\n"
	"\tCOMPREPLY=($(compgen -W \"$(_linnet_choices \"${words[0]}\" \"${words[1]}\")\" -- \"$cur\"))\n"
	"\t[[ ${COMPREPLY[*]} || $cur == -* ]] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
	"}\n"
	"complete -F _linnet linnet\n";

static const char zsh_tail[] =
	"_linnet() {\n"
	"\tlocal -a given\n"
	"\tgiven=(${${words[2,CURRENT-1]}:#-*})\n"
	"\tcompadd -- ${=$(_linnet_choices \"${given[1]}\" \"${given[2]}\")} || _files\n"
	"}\n"
	"compdef _linnet linnet\n";

static void add_fish_options(const struct linnet_command *c, struct str *dst)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		unsigned scopes = c != NULL ? c->scope : LINNET_GLOBAL;
		if (!shown(o, scopes))
			continue;
		str_add(dst, "complete -c linnet");
		if (c != NULL)
			str_addf(dst, " -n '__fish_seen_subcommand_from %.*s'",
				 (int)strcspn(c->words, " "), c->words);
		str_addf(dst, " -l %s", o->name);
		if (o->letter != '\0')
			str_addf(dst, " -s %c", o->letter);
		str_add(dst, o->type == LINNET_BOOL ? " -d '" : " -r -d '");
		for (const char *p = o->help; *p != '\0'; p++)
			str_add(dst, *p == '\'' ? "\\'" : (char[]){ *p, '\0' });
		str_add(dst, "'\n");
	}
}

static void fish(struct str *dst)
{
	str_add(dst, "complete -c linnet -f\n");
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		const char *second = strchr(c->words, ' ');
		if (c->hidden)
			continue;
		if (second == NULL)
			str_addf(dst, "complete -c linnet -n __fish_use_subcommand -a %s -d '%s'\n",
				 c->words, c->brief);
		else
			str_addf(
				dst,
				"complete -c linnet -n '__fish_seen_subcommand_from %.*s' -a %s -d "
				"'%s'\n",
				(int)(second - c->words), c->words, second + 1, c->brief);
		if (second == NULL || strcmp(second, " install") == 0 || c->scope == LINNET_PEER)
			add_fish_options(c, dst);
	}
	str_add(dst, "complete -c linnet -n __fish_use_subcommand -a 'service peer'\n"
		     "complete -c linnet -n '__fish_seen_subcommand_from completion' -a 'bash zsh "
		     "fish'\n");
	add_fish_options(NULL, dst);
}

int linnet_completion(const char *shell, struct str *dst)
{
	if (strcmp(shell, "fish") == 0) {
		fish(dst);
		return 0;
	}
	bool zsh = strcmp(shell, "zsh") == 0;
	if (!zsh && strcmp(shell, "bash") != 0)
		return LN_E_NOTFOUND;
	if (zsh)
		str_add(dst, "#compdef linnet\n");
	add_choices(dst);
	str_add(dst, zsh ? zsh_tail : bash_tail);
	return 0;
}

/* --- manual page ------------------------------------------------------------------------------ */

/* Roff takes a minus as a hyphen and a point at the start of a line as a request. */
static void add_roff(const char *s, struct str *dst)
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

static void add_manual_options(unsigned scopes, unsigned without, struct str *dst)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct linnet_opt *o = &linnet_opts[i];
		if (!shown(o, scopes) || (o->scopes & without) != 0)
			continue;
		str_add(dst, ".TP\n");
		if (o->letter != '\0')
			str_addf(dst, "\\fB\\-%c\\fR, ", o->letter);
		str_add(dst, "\\fB\\-\\-");
		add_roff(o->name, dst);
		str_addf(dst, "\\fR%s%s%s\n", o->arg != NULL ? " \\fI" : "",
			 o->arg != NULL ? o->arg : "", o->arg != NULL ? "\\fR" : "");
		add_roff(o->help, dst);
		if (o->preset != NULL) {
			str_add(dst, " (default ");
			add_roff(o->preset, dst);
			str_addc(dst, ')');
		}
		str_addc(dst, '\n');
	}
}

void linnet_manual(struct str *dst)
{
	str_add(dst,
		".TH LINNET 1 \"\" \"linnet " LINNET_VERSION "\" \"User Commands\"\n"
		".SH NAME\nlinnet \\- connect this machine to a private network of peers\n"
		".SH SYNOPSIS\n.B linnet\n.I COMMAND\n.RI [ OPTIONS ]\n.SH DESCRIPTION\n"
		"Talks to the daemon\n.BR linnetd (8)\nover its local socket.\n.SH COMMANDS\n");
	unsigned before = 0;
	for (const struct linnet_command *c = linnet_commands; c->words != NULL; c++) {
		if (c->hidden)
			continue;
		str_addf(dst, ".SS %s%s%s\n", c->words, c->alias != NULL ? ", " : "",
			 c->alias != NULL ? c->alias : "");
		add_roff(c->text, dst);
		str_addc(dst, '\n');
		if (c->scope != LINNET_OTHER && c->scope != before)
			add_manual_options(c->scope, LINNET_GLOBAL, dst);
		before = c->scope;
	}
	str_add(dst, ".SH OPTIONS OF EVERY COMMAND\n");
	add_manual_options(LINNET_GLOBAL, 0, dst);
	str_add(dst,
		".SH ENVIRONMENT\nEvery option can be set by a variable: \\fBNB_\\fR and the name of "
		"the option in\ncapitals with underscores (\\fBNB_SETUP_KEY\\fR); \\fBWT_\\fR is an older "
		"form. The\nenvironment wins over the command line; values of lists are added to it.\n"
		".SH EXIT STATUS\n0 on success, 1 on any error.\n.SH FILES\n"
		".TP\n.I /var/run/netbird.sock\nThe daemon's socket. If it is missing and exactly one\n"
		".I *.sock\nlies in\n.IR /var/run/netbird/ ,\nthat one is used.\n"
		".SH SEE ALSO\n.BR linnetd (8),\n.BR linnet\\-server (8)\n");
}
