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
