/* `linnet-server admin`: finds the server's socket, asks, prints. */
#include "src/cmd/linnet_server_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_server.h"
#include "src/management/admin_api.h"

struct admin_call {
	bool json;
	char *words[8]; /* options that say where the socket is, for linnet_server_conf_load */
	int nwords;
	char config[1024 + 16], data_dir[1024 + 16], socket[1024 + 16];
};

static int keep(struct admin_call *call, char *buf, size_t size, const char *name,
		const char *value)
{
	bool first = buf[0] == '\0';
	if (snprintf(buf, size, "--%s=%s", name, value) >= (int)size)
		return LN_E_LIMIT;
	if (first)
		call->words[call->nwords++] = buf;
	return 0;
}

static int take_option(void *user, const char *name, const char *value)
{
	struct admin_call *call = user;
	if (strcmp(name, "json") == 0)
		call->json = strcmp(value, "true") == 0;
	else if (strcmp(name, "config") == 0)
		return keep(call, call->config, sizeof(call->config), name, value);
	else if (strcmp(name, "data-dir") == 0)
		return keep(call, call->data_dir, sizeof(call->data_dir), name, value);
	else if (strcmp(name, "admin-socket") == 0)
		return keep(call, call->socket, sizeof(call->socket), name, value);
	return 0;
}

/* --- help -------------------------------------------------------------------------------------*/

static void usage(FILE *out)
{
	fputs("Usage: linnet-server admin [--config FILE | --data-dir DIR | --admin-socket PATH]\n"
	      "                           NOUN VERB ... [--json]\n\n",
	      out);
	for (size_t i = 0; i < linnet_server_nverbs; i++) {
		const struct linnet_server_verb *v = &linnet_server_verbs[i];
		char left[80];
		int n = snprintf(left, sizeof(left), "  %s %s", v->noun, v->verb);
		for (size_t a = 0; a < v->nargs && n < (int)sizeof(left); a++)
			if (v->args[a].opt == NULL)
				n += snprintf(left + n, sizeof(left) - (size_t)n, " %s",
					      v->args[a].arg);
		fprintf(out, "%-38s%s\n", left, v->help);
	}
	fputs("\nThe server must be running. A peer, group, key or policy is named by id or name.\n"
	      "linnet-server admin NOUN VERB --help shows the options of one verb.\n",
	      out);
}

static void verb_usage(const struct linnet_server_verb *v)
{
	struct str text;
	str_init(&text, 0);
	str_addf(&text, "Usage: linnet-server admin %s %s", v->noun, v->verb);
	for (size_t i = 0; i < v->nargs; i++)
		if (v->args[i].opt == NULL)
			str_addf(&text, " %s", v->args[i].arg);
	str_addf(&text, " [OPTIONS]\n\nTo %s.\n\n", v->help);
	for (size_t i = 0; i < v->nargs; i++) {
		const struct linnet_server_arg *a = &v->args[i];
		char left[64];
		snprintf(left, sizeof(left), "  %s%s%s%s", a->opt != NULL ? "--" : "",
			 a->opt != NULL ? a->opt : a->arg,
			 a->opt != NULL && a->arg != NULL ? " " : "",
			 a->opt != NULL && a->arg != NULL ? a->arg : "");
		str_addf(&text, "%-34s%s%s%s\n", left, a->help,
			 a->type == LINNET_SERVER_LIST ? " (may be repeated)" : "",
			 a->opt != NULL && a->required ? " (required)" : "");
	}
	str_add(&text, "  --json                          print the server's answer as JSON\n"
		       "  -c, --config FILE               the server's configuration file\n"
		       "  --data-dir DIR                  or its data folder\n"
		       "  --admin-socket PATH             or its administration socket\n");
	fputs(str_c(&text), stdout);
	str_fini(&text);
}

/* --- the call ---------------------------------------------------------------------------------*/

static int call_server(const struct linnet_server_verb *v, const struct admin_call *call,
		       const char *socket_path, const json_t *request)
{
	struct ln_fail f;
	json_t *result = NULL;
	int err = admin_client_call(socket_path, request, &result, &f);
	if (err < 0)
		return linnet_server_fail(LINNET_SERVER_FAILED, "%s", f.text);
	struct str text;
	str_init(&text, 0);
	if (call->json) {
		char *dump = json_dumps(result, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		if (dump != NULL)
			str_addf(&text, "%s\n", dump);
		free(dump);
	} else {
		linnet_server_admin_text(v, result, &text);
	}
	fputs(str_c(&text), stdout);
	bool written = fflush(stdout) == 0 && !ferror(stdout);
	str_fini(&text);
	json_decref(result);
	if (!written)
		return linnet_server_fail(LINNET_SERVER_FAILED,
					  "the answer could not be written to standard output");
	return LINNET_SERVER_DONE;
}

static int run_verb(const struct linnet_server_verb *v, struct admin_call *call, int argc,
		    char **argv)
{
	struct linnet_server_conf s;
	struct ln_fail f;
	json_t *request;
	int err = linnet_server_admin_request(v, argc, argv, take_option, call, &request, &f);
	if (err < 0)
		return linnet_server_fail(LINNET_SERVER_USAGE, "%s", f.text);
	int status = linnet_server_conf_load(&s, call->nwords, call->words);
	if (status == 0)
		status = call_server(v, call, s.plan.admin_socket, request);
	linnet_server_conf_fini(&s);
	json_decref(request);
	return status;
}

static const struct linnet_server_verb *find_verb(const char *noun, const char *verb)
{
	for (size_t i = 0; i < linnet_server_nverbs; i++)
		if (strcmp(linnet_server_verbs[i].noun, noun) == 0 &&
		    strcmp(linnet_server_verbs[i].verb, verb) == 0)
			return &linnet_server_verbs[i];
	return NULL;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* Takes the options that stand before NOUN; returns how many words they were, or -1. */
static int leading_options(struct admin_call *call, int argc, char **argv)
{
	static const struct svc_opt opts[] = {
		{ .name = "config", .letter = 'c', .arg = "FILE" },
		{ .name = "data-dir", .arg = "DIR" },
		{ .name = "admin-socket", .arg = "PATH" },
		{ .name = "json" },
	};
	struct svc_opts o;
	struct ln_fail f = { 0 };
	svc_opts_init(&o, argc, argv, opts, LN_COUNT(opts));
	for (;;) {
		int at = o.next;
		if (at < argc && is_help(argv[at]))
			return at;
		int kind = svc_opts_next(&o, &f);
		if (kind == SVC_OPTS_OPTION && take_option(call, o.opt->name, o.value) == 0)
			continue;
		if (kind == SVC_OPTS_WORD || kind == SVC_OPTS_END)
			return at;
		linnet_server_fail(0, "%s", f.text[0] != '\0' ? f.text : "an option is too long");
		return -1;
	}
}

int linnet_server_admin(int argc, char **argv)
{
	struct admin_call call = { 0 };
	int skip = leading_options(&call, argc, argv);
	if (skip < 0)
		return LINNET_SERVER_USAGE;
	argc -= skip;
	argv += skip;
	if (argc >= 1 && is_help(argv[0])) {
		usage(stdout);
		return LINNET_SERVER_DONE;
	}
	const struct linnet_server_verb *v = argc >= 2 ? find_verb(argv[0], argv[1]) : NULL;
	if (v == NULL) {
		if (argc >= 2 && !is_help(argv[1]))
			linnet_server_fail(0, "there is no \"admin %.30s %.30s\"", argv[0],
					   argv[1]);
		usage(argc >= 2 && is_help(argv[1]) ? stdout : stderr);
		return argc >= 2 && is_help(argv[1]) ? LINNET_SERVER_DONE : LINNET_SERVER_USAGE;
	}
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			verb_usage(v);
			return LINNET_SERVER_DONE;
		}
	}
	return run_verb(v, &call, argc - 2, argv + 2);
}
