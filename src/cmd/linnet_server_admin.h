#pragma once
/*
 * `linnet-server admin NOUN VERB`: the table of verbs, from which come the parser, --help and the
 * shell completions. The requests are those of src/management/admin_api.h.
 */
#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum linnet_server_arg_type {
	LINNET_SERVER_TEXT,
	LINNET_SERVER_SWITCH,   /* true when given */
	LINNET_SERVER_OFF,      /* false when given */
	LINNET_SERVER_COUNT,    /* whole number from 0 */
	LINNET_SERVER_DURATION, /* seconds; "24h", "30d", "0" = never */
	LINNET_SERVER_LIST,     /* may be given several times */
	LINNET_SERVER_RULES     /* file with a JSON list of rules */
};

struct linnet_server_arg {
	const char *json; /* its name in the request */
	const char *opt;  /* null: a word, in the order of the rows */
	const char *arg;  /* name of the value for --help */
	enum linnet_server_arg_type type;
	bool required;
	bool rule; /* goes into the one rule that the command line describes */
	const char *help;
};

struct linnet_server_verb {
	const char *noun;
	const char *verb;
	const struct linnet_server_arg *args;
	size_t nargs;
	const char *help;
};

extern const struct linnet_server_verb linnet_server_verbs[];
extern const size_t linnet_server_nverbs;

/*
 * Reads the words behind "NOUN VERB" into a request {"noun", "verb", "args"}; the caller owns it.
 * Options the verb does not know are handed to `other`, which returns 0 when it took them.
 * LN_E_MALFORMED or LN_E_NOTFOUND with the reason in f.
 */
LN_MUST_CHECK int
linnet_server_admin_request(const struct linnet_server_verb *v, int argc, char **argv,
			    int (*other)(void *user, const char *name, const char *value),
			    void *user, json_t **ret, struct ln_fail *f);
/* The result as text for people, in tables or lines of "name: value". */
void linnet_server_admin_text(const struct linnet_server_verb *v, const json_t *result,
			      struct str *dst);
