#pragma once
/*
 * Where finished log lines go: console (stderr), syslog, the journal's native socket, files.
 * Private to src/obs. A destination set is owned by obs_log.c, which also holds the lock that makes
 * writing thread-safe. A destination that cannot be written loses the line: logging never blocks a
 * program for long and never ends it.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"

#include "src/obs/obs_log.h"

#define OBS_DEST_MAX 4

struct obs_dest {
	enum obs_dest_kind {
		OBS_DEST_CONSOLE,
		OBS_DEST_SYSLOG,
		OBS_DEST_JOURNAL,
		OBS_DEST_FILE
	} kind;

	int fd;
	char *path; /* file only, owned */
};

struct obs_dest_set {
	struct obs_dest v[OBS_DEST_MAX];
	size_t n;
	char program[64];
};

/*
 * Opens everything named in `names` (comma separated). On failure nothing stays open.
 * LN_E_LIMIT for too many, LN_E_MALFORMED for an empty list, -errno when one cannot be opened.
 */
LN_MUST_CHECK int obs_dest_open(struct obs_dest_set *set, const char *program, const char *names,
				struct ln_fail *f);
/* body is "text key=value ..." without time, level and newline. */
void obs_dest_write(const struct obs_dest_set *set, ln_wall now, enum log_level level,
		    const char *module, struct slice body);
void obs_dest_reopen(struct obs_dest_set *set); /* files only; keeps the old one on failure */
void obs_dest_close(struct obs_dest_set *set);
