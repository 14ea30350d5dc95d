#pragma once
/*
 * Command lines from a table. Long options as --name VALUE or --name=VALUE, short ones as -n VALUE
 * or -nVALUE; a switch may say --name=false. Options and words may be mixed; "--" ends the options.
 */
#include "lib/base/err.h"
#include "lib/base/str.h"

#include "src/svc/svc_conf.h"

struct svc_opt {
	const char *name;
	char letter;                    /* 0: none */
	const char *arg;                /* name of the value in --help; null: a switch */
	const char *help;               /* null: not shown */
	const struct svc_conf_row *row; /* set when it stands for a row of the configuration */
};

enum svc_opts_kind {
	SVC_OPTS_END,
	SVC_OPTS_OPTION, /* opt and value are set; a switch has the value "true" or "false" */
	SVC_OPTS_WORD    /* value is a word that is no option */
};

struct svc_opts {
	int argc, next;
	char **argv;
	const struct svc_opt *opts;
	size_t n;
	bool only_words; /* "--" was seen */
	const struct svc_opt *opt;
	const char *value;
};

void svc_opts_init(struct svc_opts *o, int argc, char **argv, const struct svc_opt *opts, size_t n);
/* enum svc_opts_kind, or LN_E_NOTFOUND (unknown option), LN_E_MALFORMED (value wanted). */
LN_MUST_CHECK int svc_opts_next(struct svc_opts *o, struct ln_fail *f);

/* Options for all rows that have a flag, into dst[]; returns how many (at most max). */
size_t svc_opts_from_conf(const struct svc_conf_row *rows, size_t nrows, struct svc_opt *dst,
			  size_t max);
/* The lines of --help: "  -c, --config FILE   read this file". */
void svc_opts_help(const struct svc_opt *opts, size_t n, struct str *dst);
