#pragma once
/*
 * A shared library that is loaded when it is wanted for the first time: a program that may want it
 * need not carry it, and what it needs, in memory from its start on.
 */
#include <stddef.h>

#include "lib/base/err.h"

struct ev_library_name {
	const char *text;
	size_t at; /* offset of the function's slot in the table */
};

/*
 * Fills the slots of `table`, each a function pointer. The library stays loaded; which of several
 * threads calls first must be settled by the caller. LN_E_UNSUPPORTED: it or a function of it is
 * not on this machine; the slots are not to be used then.
 */
LN_MUST_CHECK int ev_library_load(const char *file, const struct ev_library_name *names, size_t n,
				  void *table, struct ln_fail *f);
