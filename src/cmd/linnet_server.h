#pragma once
/*
 * linnet-server: what its files share. Each linnet_server_*() is one command: it gets the words
 * behind its name and returns the exit status: 0 done, 1 failed, 2 wrong usage.
 */
#include "src/combined/combined_conf.h"
#include "src/svc/svc_opts.h"

#define LINNET_SERVER "linnet-server"
#define LINNET_SERVER_MAX_OPTS 48

enum linnet_server_exit {
	LINNET_SERVER_DONE,
	LINNET_SERVER_FAILED,
	LINNET_SERVER_USAGE
};

/* Configuration from all sources; owner calls linnet_server_conf_fini(), also after a failure. */
struct linnet_server_conf {
	struct svc_conf c;
	struct combined_conf v;
	struct combined_plan plan;
	const char *file; /* null: none was named */
	bool help;        /* --help was given */
	bool json;        /* --json was given */
};

/* The options of every command that reads the configuration; dst has LINNET_SERVER_MAX_OPTS. */
size_t linnet_server_conf_opts(struct svc_opt *dst);
/*
 * Reads the command line, the file it names and the environment. 0, LINNET_SERVER_FAILED or
 * LINNET_SERVER_USAGE; on failure the reason has been printed. With --help nothing is read.
 */
LN_MUST_CHECK int linnet_server_conf_load(struct linnet_server_conf *s, int argc, char **argv);
void linnet_server_conf_fini(struct linnet_server_conf *s);

int linnet_server_run(int argc, char **argv, unsigned roles);
int linnet_server_config(int argc, char **argv); /* check, show, sample, manual */
int linnet_server_admin(int argc, char **argv);
int linnet_server_completion(int argc, char **argv);

/* Prints "linnet-server: TEXT" to standard error and returns status. */
int linnet_server_fail(int status, const char *fmt, ...) LN_PRINTF(2, 3);

/* A name of a command and what it is for: the rows of --help and of the shell completions. */
struct linnet_server_word {
	const char *name;
	const char *help;
};

extern const struct linnet_server_word linnet_server_words[]; /* ends with a null name */
