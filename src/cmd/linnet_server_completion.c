/* Completion scripts for bash, zsh and fish, made from the tables of commands and options. */
#include <stdio.h>
#include <string.h>

#include "src/cmd/linnet_server.h"
#include "src/cmd/linnet_server_admin.h"

static const char *const config_verbs[] = { "check", "show", "sample", "manual" };

static void words(struct str *dst)
{
	for (const struct linnet_server_word *w = linnet_server_words; w->name != NULL; w++)
		str_addf(dst, "%s%s", w == linnet_server_words ? "" : " ", w->name);
}

static void option_words(struct str *dst)
{
	struct svc_opt opts[LINNET_SERVER_MAX_OPTS];
	size_t n = linnet_server_conf_opts(opts);
	for (size_t i = 0; i < n; i++)
		if (opts[i].help != NULL)
			str_addf(dst, "%s--%s", i > 0 ? " " : "", opts[i].name);
}

/* Nouns stand together in the table of verbs. */
static bool first_of_noun(size_t i)
{
	return i == 0 || strcmp(linnet_server_verbs[i - 1].noun, linnet_server_verbs[i].noun) != 0;
}

static void nouns(struct str *dst)
{
	for (size_t i = 0; i < linnet_server_nverbs; i++)
		if (first_of_noun(i))
			str_addf(dst, "%s%s", i > 0 ? " " : "", linnet_server_verbs[i].noun);
}

static void verbs_of(const char *noun, struct str *dst)
{
	bool any = false;
	for (size_t i = 0; i < linnet_server_nverbs; i++) {
		if (strcmp(linnet_server_verbs[i].noun, noun) != 0)
			continue;
		str_addf(dst, "%s%s", any ? " " : "", linnet_server_verbs[i].verb);
		any = true;
	}
}

static void options_of(const struct linnet_server_verb *v, struct str *dst)
{
	str_add(dst, "--json --config --data-dir --help");
	for (size_t i = 0; i < v->nargs; i++)
		if (v->args[i].opt != NULL)
			str_addf(dst, " --%s", v->args[i].opt);
}

/* A shell function body: sets `words` from the words typed so far ($1 command, $2.. rest). */
static void choices(struct str *dst)
{
	str_add(dst, "_linnet_server_choices() {\n\tcase \"$1 $2 $3\" in\n");
	for (size_t i = 0; i < linnet_server_nverbs; i++) {
		const struct linnet_server_verb *v = &linnet_server_verbs[i];
		str_addf(dst, "\t\"admin %s %s\") echo \"", v->noun, v->verb);
		options_of(v, dst);
		str_add(dst, "\" ;;\n");
	}
	for (size_t i = 0; i < linnet_server_nverbs; i++) {
		if (!first_of_noun(i))
			continue;
		str_addf(dst, "\t\"admin %s \"*) echo \"", linnet_server_verbs[i].noun);
		verbs_of(linnet_server_verbs[i].noun, dst);
		str_add(dst, "\" ;;\n");
	}
	str_add(dst, "\t\"admin \"*) echo \"");
	nouns(dst);
	str_add(dst, "\" ;;\n\t\"config  \") echo \"");
	for (size_t i = 0; i < LN_COUNT(config_verbs); i++)
		str_addf(dst, "%s%s", i > 0 ? " " : "", config_verbs[i]);
	str_add(dst, "\" ;;\n\t\"completion \"*) echo \"bash zsh fish\" ;;\n\t\"  \") echo \"");
	words(dst);
	str_addc(dst, ' ');
	option_words(dst);
	str_add(dst, "\" ;;\n\t*) echo \"");
	option_words(dst);
	str_add(dst, "\" ;;\n\tesac\n}\n");
}

static void bash(struct str *dst)
{
	str_add(dst, "# bash completion of linnet-server\n");
	choices(dst);
	str_add(dst,
		"_linnet_server() {\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tlocal typed=() i\n"
		"\tcase $prev in\n"
		"\t--config|-c|--cert-file|--cert-key|--data-dir|--log-file|--admin-socket|--rules)\n"
		"\t\tCOMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
		"\tesac\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tcase ${COMP_WORDS[i]} in\n"
		"\t\t--config|-c|--data-dir|--admin-socket) ((i++)) ;;\n"
		"\t\t-*) ;;\n"
		"\t\t*) typed+=(\"${COMP_WORDS[i]}\") ;;\n"
		"\t\tesac\n"
		"\tdone\n"
		"\tCOMPREPLY=($(compgen -W \"$(_linnet_server_choices \"${typed[0]}\" "
		"\"${typed[1]}\" \"${typed[2]}\")\" -- \"$cur\"))\n"
		"}\n"
		"complete -F _linnet_server linnet-server\n");
}

static void zsh(struct str *dst)
{
	str_add(dst, "#compdef linnet-server\n");
	choices(dst);
	str_add(dst, "_linnet_server() {\n"
		     "\tlocal -a typed found\n"
		     "\ttyped=(${${words[2,CURRENT-1]}:#-*})\n"
		     "\tfound=(${=$(_linnet_server_choices \"$typed[1]\" \"$typed[2]\" "
		     "\"$typed[3]\")})\n"
		     "\tcompadd -- $found\n"
		     "\t_files\n"
		     "}\n"
		     "compdef _linnet_server linnet-server\n");
}

static void fish(struct str *dst)
{
	struct svc_opt opts[LINNET_SERVER_MAX_OPTS];
	size_t n = linnet_server_conf_opts(opts);
	str_add(dst, "# fish completion of linnet-server\n"
		     "complete -c linnet-server -f\n");
	for (const struct linnet_server_word *w = linnet_server_words; w->name != NULL; w++)
		str_addf(dst, "complete -c linnet-server -n __fish_use_subcommand -a %s -d '%s'\n",
			 w->name, w->help);
	for (size_t i = 0; i < n; i++)
		if (opts[i].help != NULL)
			str_addf(dst, "complete -c linnet-server -l %s%s -d '%s'\n", opts[i].name,
				 opts[i].arg != NULL ? " -r" : "", opts[i].help);
	for (size_t i = 0; i < linnet_server_nverbs; i++) {
		const struct linnet_server_verb *v = &linnet_server_verbs[i];
		if (first_of_noun(i))
			str_addf(dst,
				 "complete -c linnet-server -n '__fish_seen_subcommand_from "
				 "admin' -a %s\n",
				 v->noun);
		str_addf(dst,
			 "complete -c linnet-server -n '__fish_seen_subcommand_from %s' -a %s "
			 "-d '%s'\n",
			 v->noun, v->verb, v->help);
	}
}

int linnet_server_completion(int argc, char **argv)
{
	const char *shell = argc == 1 ? argv[0] : "";
	struct str text;
	str_init(&text, 0);
	if (strcmp(shell, "bash") == 0)
		bash(&text);
	else if (strcmp(shell, "zsh") == 0)
		zsh(&text);
	else if (strcmp(shell, "fish") == 0)
		fish(&text);
	int status = LINNET_SERVER_DONE;
	if (text.n == 0)
		status = linnet_server_fail(LINNET_SERVER_USAGE,
					    "usage: linnet-server completion bash|zsh|fish");
	fputs(str_c(&text), stdout);
	str_fini(&text);
	return status;
}
