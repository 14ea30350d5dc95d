/* Configuration of linnet-server from file, command line and environment; `config ...`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_server.h"

static const struct svc_opt own_opts[] = {
	{ .name = "config", .letter = 'c', .arg = "FILE", .help = "read this configuration file" },
	{ .name = "help", .letter = 'h', .help = "show this text" },
	{ .name = "json", .help = NULL },
};

size_t linnet_server_conf_opts(struct svc_opt *dst)
{
	size_t n = LN_COUNT(own_opts);
	memcpy(dst, own_opts, sizeof(own_opts));
	return n + svc_opts_from_conf(combined_conf_rows, combined_conf_nrows, dst + n,
				      LINNET_SERVER_MAX_OPTS - n);
}

static const char *environment(const char *name)
{
	return getenv(name);
}

/* First pass: the file, --help and --json. Second pass (set): the rows. */
static int read_options(struct linnet_server_conf *s, int argc, char **argv, bool set)
{
	struct svc_opt opts[LINNET_SERVER_MAX_OPTS];
	struct svc_opts o;
	struct ln_fail f;
	size_t n = linnet_server_conf_opts(opts);
	svc_opts_init(&o, argc, argv, opts, n);
	for (;;) {
		int kind = svc_opts_next(&o, &f);
		if (kind == SVC_OPTS_END)
			return 0;
		if (kind < 0)
			return linnet_server_fail(LINNET_SERVER_USAGE, "%s", f.text);
		if (kind == SVC_OPTS_WORD)
			return linnet_server_fail(LINNET_SERVER_USAGE,
						  "unexpected word \"%.60s\"; see --help", o.value);
		const struct svc_conf_row *row = o.opt->row;
		if (row == NULL) {
			bool yes = strcmp(o.value, "true") == 0;
			if (strcmp(o.opt->name, "config") == 0)
				s->file = o.value;
			else if (strcmp(o.opt->name, "help") == 0)
				s->help = yes;
			else
				s->json = yes;
		} else if (set) {
			char where[80];
			snprintf(where, sizeof(where), "--%s", row->flag);
			int err = svc_conf_set(&s->c, row, o.value, SVC_CONF_FLAG, where, &f);
			if (err < 0)
				return linnet_server_fail(LINNET_SERVER_USAGE, "%s", f.text);
		}
	}
}

int linnet_server_conf_load(struct linnet_server_conf *s, int argc, char **argv)
{
	struct ln_fail f;
	*s = (struct linnet_server_conf){ 0 };
	svc_conf_init(&s->c, combined_conf_rows, combined_conf_nrows, &s->v);
	int status = read_options(s, argc, argv, false);
	if (status != 0 || s->help)
		return status;
	if (s->file == NULL && (s->file = getenv("LINNET_SERVER_CONFIG")) != NULL &&
	    s->file[0] == '\0')
		s->file = NULL;
	if (s->file != NULL && svc_conf_read_file(&s->c, s->file, &f) < 0)
		return linnet_server_fail(LINNET_SERVER_FAILED, "%s", f.text);
	status = read_options(s, argc, argv, true);
	if (status != 0)
		return status;
	if (svc_conf_read_env(&s->c, environment, &f) < 0 ||
	    combined_plan_make(&s->c, &s->plan, &f) < 0)
		return linnet_server_fail(LINNET_SERVER_FAILED, "%s", f.text);
	return 0;
}

void linnet_server_conf_fini(struct linnet_server_conf *s)
{
	svc_conf_fini(&s->c);
}

/* --- config check, show, sample, manual -------------------------------------------------------*/

static void print(struct str *text)
{
	fputs(str_c(text), stdout);
	str_fini(text);
}

static int check(int argc, char **argv)
{
	struct linnet_server_conf s;
	struct str later;
	int status = linnet_server_conf_load(&s, argc, argv);
	if (status == 0) {
		str_init(&later, 0);
		svc_conf_later(&s.c, &later);
		printf("The configuration is good: %s, agents reach it as %s.\n",
		       s.file != NULL ? s.file : "no file", s.plan.signal_uri);
		if (later.n > 0)
			printf("Accepted, but these parts are not built yet: %s\n", str_c(&later));
		str_fini(&later);
	}
	linnet_server_conf_fini(&s);
	return status;
}

static int show(int argc, char **argv)
{
	struct linnet_server_conf s;
	struct str text;
	int status = linnet_server_conf_load(&s, argc, argv);
	if (status == 0) {
		str_init(&text, 0);
		svc_conf_dump(&s.c, &text);
		print(&text);
	}
	linnet_server_conf_fini(&s);
	return status;
}

static int sample(void)
{
	struct str text;
	str_init(&text, 0);
	str_add(&text, "# Configuration of linnet-server. Every key with its default; JSON is\n"
		       "# accepted too. The keys under server: are those of NetBird's combined\n"
		       "# server.\n");
	svc_conf_sample(combined_conf_rows, combined_conf_nrows, &text);
	print(&text);
	return LINNET_SERVER_DONE;
}

/* linnet-server.yaml(5), whole: installed by the build. */
static int manual(void)
{
	struct str text;
	str_init(&text, 0);
	str_add(&text,
		".TH LINNET-SERVER.YAML 5 \"\" \"linnet " LINNET_VERSION "\" \"linnet\"\n"
		".SH NAME\nlinnet-server.yaml \\- configuration of linnet-server\n"
		".SH DESCRIPTION\n"
		"A YAML file (JSON is YAML) without aliases, at most 1 MiB. The keys under\n"
		".B server\nare those of NetBird's combined server, so that an operator swaps the\n"
		"program and keeps the file; our own stand under\n.BR linnet .\n"
		"The environment wins over the command line, the command line over the file.\n"
		"A key that is not listed here is an error.\n"
		"Durations are written 10s, 1h30m, or as a whole number of nanoseconds.\n"
		"A dot in a name means nesting; [] a list of maps.\n"
		".SH KEYS\n");
	svc_conf_manual(combined_conf_rows, combined_conf_nrows, &text);
	str_add(&text, ".SH SEE ALSO\n.BR linnet-server (8)\n");
	print(&text);
	return LINNET_SERVER_DONE;
}

static const char config_usage[] =
	"Usage: linnet-server config check|show [OPTIONS]\n"
	"       linnet-server config sample|manual\n\n"
	"check   reads the configuration from all sources and says whether it is good\n"
	"show    prints the values in force with the source of each; secrets are hidden\n"
	"sample  prints a file with every key, its meaning and its default\n"
	"manual  prints the manual page linnet-server.yaml(5)\n\n"
	"Options: those of linnet-server (see linnet-server --help).\n";

int linnet_server_config(int argc, char **argv)
{
	const char *verb = argc > 0 ? argv[0] : "";
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(config_usage, stdout);
			return LINNET_SERVER_DONE;
		}
	}
	if (strcmp(verb, "check") == 0)
		return check(argc - 1, argv + 1);
	if (strcmp(verb, "show") == 0)
		return show(argc - 1, argv + 1);
	if (strcmp(verb, "sample") == 0 && argc == 1)
		return sample();
	if (strcmp(verb, "manual") == 0 && argc == 1)
		return manual();
	fputs(config_usage, stderr);
	return LINNET_SERVER_USAGE;
}
