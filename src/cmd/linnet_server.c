/* linnet-server: management, signal, relay and STUN in one program. */
#include "src/cmd/linnet_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/combined/combined_server.h"

const struct linnet_server_word linnet_server_words[] = {
	{ "run", "run all services (the default)" },
	{ "management", "run the management service only" },
	{ "signal", "run the signal service only" },
	{ "stun", "run the STUN service only" },
	{ "relay", "run the relay only" },
	{ "admin", "setup keys, peers, groups and policies of a running server" },
	{ "config", "check or show the configuration, print a sample" },
	{ "completion", "print a completion script: bash, zsh or fish" },
	{ "version", "print the version" },
	{ "help", "show this text" },
	{ NULL, NULL },
};

int linnet_server_fail(int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs(LINNET_SERVER ": ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return status;
}

static int usage(void)
{
	struct svc_opt opts[LINNET_SERVER_MAX_OPTS];
	struct str text;
	size_t n = linnet_server_conf_opts(opts);
	str_init(&text, 0);
	str_add(&text, "Usage: linnet-server [COMMAND] [OPTIONS]\n\nCommands:\n");
	for (const struct linnet_server_word *w = linnet_server_words; w->name != NULL; w++)
		str_addf(&text, "  %-12s  %s\n", w->name, w->help);
	str_add(&text, "\nOptions:\n");
	svc_opts_help(opts, n, &text);
	str_add(&text,
		"\nThe environment wins over the command line, that over the file; the names and\n"
		"all other keys are in linnet-server.yaml(5) or `linnet-server config sample`.\n"
		"Exit status: 0 stopped in order, 1 failed, 2 wrong usage.\n");
	fputs(str_c(&text), stdout);
	str_fini(&text);
	return LINNET_SERVER_DONE;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int run(int argc, char **argv, unsigned roles)
{
	return wants_help(argc, argv) ? usage() : linnet_server_run(argc, argv, roles);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 && argv[1][0] != '-' ? argv[1] : "run";
	int skip = argc > 1 && argv[1][0] != '-' ? 2 : LN_MIN(argc, 1);
	argc -= skip;
	argv += skip;
	if (argc > 0 && strcmp(argv[0], "--version") == 0)
		word = "version";
	if (strcmp(word, "run") == 0)
		return run(argc, argv, COMBINED_ALL);
	if (strcmp(word, "management") == 0)
		return run(argc, argv, COMBINED_MANAGEMENT);
	if (strcmp(word, "signal") == 0)
		return run(argc, argv, COMBINED_SIGNAL);
	if (strcmp(word, "stun") == 0)
		return run(argc, argv, COMBINED_STUN);
	if (strcmp(word, "relay") == 0)
		return run(argc, argv, COMBINED_RELAY);
	if (strcmp(word, "admin") == 0)
		return linnet_server_admin(argc, argv);
	if (strcmp(word, "config") == 0)
		return linnet_server_config(argc, argv);
	if (strcmp(word, "completion") == 0)
		return linnet_server_completion(argc, argv);
	if (strcmp(word, "help") == 0)
		return usage();
	if (strcmp(word, "version") == 0) {
		puts("linnet-server " LINNET_VERSION);
		return LINNET_SERVER_DONE;
	}
	return linnet_server_fail(LINNET_SERVER_USAGE,
				  "there is no command \"%.60s\"; see linnet-server --help", word);
}
