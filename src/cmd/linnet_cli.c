/* linnet: the command line of the agent. */
#include "src/cmd/linnet_cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int linnet_fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fflush(stdout);
	fputs("Error: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return 1;
}

static int show_help(const struct linnet_command *c)
{
	struct str text;
	str_init(&text, 0);
	linnet_help(c, &text);
	fputs(str_c(&text), stdout);
	str_fini(&text);
	return 0;
}

int main(int argc, char **argv)
{
	struct linnet_cli cli;
	struct ln_fail f;
	struct str warn;
	/* `linnet status | head` ends quietly; a daemon that hangs up must not kill us. */
	signal(SIGPIPE, SIG_IGN);
	str_init(&warn, 0);
	int r = linnet_cli_parse(&cli, argc, argv, (const char *const *)environ, &warn, &f);
	fputs(str_c(&warn), stderr);
	str_fini(&warn);
	if (r < 0)
		r = linnet_fail("%s", f.text);
	else if (cli.command == NULL || linnet_on(&cli, OPT_HELP))
		r = show_help(cli.command);
	else
		r = cli.command->run(&cli);
	linnet_cli_fini(&cli);
	if (fflush(stdout) != 0 && r == 0)
		r = 1;
	return r;
}
