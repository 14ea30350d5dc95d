#pragma once
/*
 * Configuration from one table. A program describes its settings as rows (key, type, default,
 * range, names in the environment and on the command line, help); from them come the reader of the
 * file, the check of every value, --help, the sample file, the manual page and the redacted dump.
 *
 * Sources in rising order: default, file, command line, environment (the order NetBird's users
 * depend on). Each value remembers where it came from. The file is YAML (JSON is YAML) without
 * aliases, at most 1 MiB, 16 levels and 20,000 events; a key that no row knows is an error.
 *
 * The values live in a struct of the program, at the offset of each row; strings and lists belong
 * to the svc_conf and live as long as it does. A reload builds a second one and compares.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"

enum svc_conf_type {
	CONF_BOOL,     /* bool */
	CONF_INT,      /* int64_t within min..max */
	CONF_DURATION, /* ln_time: "1h30m", "10s", or integer nanoseconds; min..max in ns */
	CONF_STR,      /* const char *, never null */
	CONF_STR_LIST, /* struct svc_conf_strs */
	CONF_INT_LIST, /* struct svc_conf_ints, each within min..max */
	CONF_ANY,      /* no field: any value or subtree, only its presence is remembered */
};

enum svc_conf_flags {
	CONF_SECRET = 1, /* never shown */
	CONF_RELOAD = 2, /* may change by reload */
	CONF_LATER = 4,  /* belongs to a part that is not built: accepted and named once */
	CONF_MOOT = 8,   /* accepted without a word: there is nothing it could switch */
};

struct svc_conf_strs {
	const char **v;
	size_t n;
};

struct svc_conf_ints {
	int64_t *v;
	size_t n;
};

struct svc_conf_row {
	/* "server.tls.certFile"; "server.stuns[].uri" is a member of each map in a list. */
	const char *key;
	enum svc_conf_type type;
	unsigned flags;
	size_t offset;
	const char *preset; /* default as text; null = empty, 0, false */
	int64_t min, max;   /* both 0: no range */
	const char *env;    /* null: none */
	const char *flag;   /* "listen" for --listen; null: none */
	const char *arg;    /* name of the value in --help: "HOST:PORT" */
	/* Null when the text is good, else what is allowed (completes "allowed: "). May be null. */
	const char *(*check)(const char *text);
	const char *help; /* one sentence without its full stop */
};

enum svc_conf_source {
	SVC_CONF_DEFAULT,
	SVC_CONF_FILE,
	SVC_CONF_FLAG,
	SVC_CONF_ENV
};

struct svc_conf_state {
	enum svc_conf_source source;
	int line; /* of the file */
};

struct svc_conf {
	const struct svc_conf_row *rows;
	size_t nrows;
	void *values; /* the program's struct */
	struct arena arena;
	struct svc_conf_state *state; /* one per row */
	const char *file;             /* as named in messages; null before a file was read */
};

/* Sets all defaults. rows and values must outlive c. A default that breaks its own row asserts. */
void svc_conf_init(struct svc_conf *c, const struct svc_conf_row *rows, size_t nrows, void *values);
void svc_conf_fini(struct svc_conf *c);

/*
 * Reads a file. -errno when it cannot be read; LN_E_MALFORMED, LN_E_LIMIT, LN_E_NOTFOUND (unknown
 * key) or LN_E_CONFLICT (key given twice) with "FILE:LINE: what, and what is allowed" in f.
 */
LN_MUST_CHECK int svc_conf_read_file(struct svc_conf *c, const char *path, struct ln_fail *f);
/* The same from memory; `name` stands for the file in messages. */
LN_MUST_CHECK int svc_conf_read_text(struct svc_conf *c, const char *name, struct slice text,
				     struct ln_fail *f);
/* Takes what `get` (getenv in programs) knows. Unset and empty variables change nothing. */
LN_MUST_CHECK int svc_conf_read_env(struct svc_conf *c, const char *(*get)(const char *name),
				    struct ln_fail *f);
/*
 * Sets one row from text; lists are comma-separated. A flag does not undo the environment, so the
 * order of calls does not matter. LN_E_MALFORMED, LN_E_LIMIT; `where` begins the message.
 */
LN_MUST_CHECK int svc_conf_set(struct svc_conf *c, const struct svc_conf_row *row, const char *text,
			       enum svc_conf_source source, const char *where, struct ln_fail *f);
/* One element more for a list row, from the file. */
LN_MUST_CHECK int svc_conf_append(struct svc_conf *c, const struct svc_conf_row *row,
				  const char *text, const char *where, struct ln_fail *f);

const struct svc_conf_row *svc_conf_find(const struct svc_conf *c, const char *key);
struct svc_conf_state *svc_conf_state_of(const struct svc_conf *c, const struct svc_conf_row *row);
bool svc_conf_is_set(const struct svc_conf *c, const char *key); /* key must be a row's */
/* "/etc/x.yaml:12: server.dataDir", "--data-dir", "NB_DATADIR" or the key: begins a message. */
void svc_conf_where(const struct svc_conf *c, const char *key, char *dst, size_t size);
/* The keys in use that belong to parts that are not built, comma-separated; empty if none. */
void svc_conf_later(const struct svc_conf *c, struct str *dst);
/* First key whose value differs though its row is not CONF_RELOAD, or null. Same rows in both. */
const char *svc_conf_unreloadable(const struct svc_conf *a, const struct svc_conf *b);

/* "1h30m", "250ms", "-" is refused; an integer without unit is nanoseconds. LN_E_MALFORMED. */
LN_MUST_CHECK int svc_conf_parse_duration(const char *text, ln_time *ret);
void svc_conf_format_duration(ln_time t, char dst[32]);

/* --- for people (svc_conf_text.c) -------------------------------------------------------------*/

/* Values in force as YAML, secrets redacted, the source of each as a comment. */
void svc_conf_dump(const struct svc_conf *c, struct str *dst);
/* A file with every key, its help and its default, all commented out. */
void svc_conf_sample(const struct svc_conf_row *rows, size_t n, struct str *dst);
/* The rows of the manual page (roff), one .TP each. */
void svc_conf_manual(const struct svc_conf_row *rows, size_t n, struct str *dst);
