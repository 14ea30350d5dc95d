#pragma once
/*
 * Small private files (configuration, profiles): read whole with a limit, written by temporary file
 * and rename so that a crash leaves the old or the new one. Mode 0600, folders 0700.
 */
#include "lib/base/err.h"
#include "lib/base/str.h"

/* Appends the file to dst. -ENOENT and the like; LN_E_LIMIT above dst->limit. */
LN_MUST_CHECK int agent_file_read(const char *path, struct str *dst, struct ln_fail *f);
/* -errno (ENOSPC, EROFS, EACCES ...); the old file stays on failure. */
LN_MUST_CHECK int agent_file_write(const char *path, struct slice data, struct ln_fail *f);
/* Makes the folder and its parents. 0 when it exists. */
LN_MUST_CHECK int agent_file_mkdir(const char *path, struct ln_fail *f);
