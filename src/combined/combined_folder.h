#pragma once
/*
 * The data folder of a server: made with mode 0700 when missing, checked for writing, and locked
 * for as long as the server lives, so that two servers never share a database.
 */
#include "lib/base/err.h"

/*
 * Returns the descriptor of the lock (close it to unlock). LN_E_CONFLICT: another server has it.
 * -EACCES, -EROFS, -ENOSPC, -ENOTDIR ...; f says in one sentence what to do.
 */
LN_MUST_CHECK int combined_folder_open(const char *path, struct ln_fail *f);

/*
 * A secret that lives in the data folder: read from `path`, or made of 32 random bytes (base64) and
 * written there with mode 0600 when there is none. -errno, LN_E_MALFORMED for an empty file or one
 * of more than COMBINED_SECRET_TEXT bytes; the reason in f.
 */
#define COMBINED_SECRET_TEXT 512
LN_MUST_CHECK int combined_secret_open(const char *path, char dst[COMBINED_SECRET_TEXT],
				       struct ln_fail *f);
