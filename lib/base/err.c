#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ln_assert_hook_fn *assert_hook; /* set once, before any thread exists */

static const char *const err_text[] = {
	[-1001 - LN_E_TRUNCATED] = "message is truncated",
	[-1001 - LN_E_MALFORMED] = "message is malformed",
	[-1001 - LN_E_LIMIT] = "limit reached",
	[-1001 - LN_E_UNSUPPORTED] = "not supported",
	[-1001 - LN_E_AUTH] = "authentication failed",
	[-1001 - LN_E_REPLAY] = "replayed",
	[-1001 - LN_E_STATE] = "not possible in this state",
	[-1001 - LN_E_CLOSED] = "closed",
	[-1001 - LN_E_CONFLICT] = "conflict",
	[-1001 - LN_E_NOTFOUND] = "not found",
	[-1001 - LN_E_DENIED] = "not allowed",
	[-1001 - LN_E_STALE] = "stale",
	[-1001 - LN_E_AGAIN] = "try again",
	[-1001 - LN_E_TIMEOUT] = "timed out",
	[-1001 - LN_E_INTERNAL] = "internal error",
};

const char *ln_strerror(int err)
{
	if (err >= 0)
		return "success";
	if (err <= -1001 && (size_t)(-1001 - err) < LN_COUNT(err_text))
		return err_text[-1001 - err];
	const char *sys = strerrordesc_np(-err);
	return sys != NULL ? sys : "unknown error";
}

int ln_fail(struct ln_fail *f, int code, const char *fmt, ...)
{
	if (f != NULL) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(f->text, sizeof(f->text), fmt, ap);
		va_end(ap);
		f->code = code;
	}
	return code;
}

void ln_assert_set_hook(ln_assert_hook_fn *hook)
{
	assert_hook = hook;
}

void ln_assert_fail(const char *file, int line, const char *what)
{
	if (assert_hook != NULL)
		assert_hook(file, line, what);
	abort();
}

static void *checked(void *p)
{
	ln_assert(p != NULL && "out of memory");
	return p;
}

void *ln_alloc(size_t size)
{
	return checked(calloc(1, size != 0 ? size : 1));
}

void *ln_calloc(size_t count, size_t size)
{
	return checked(calloc(count != 0 ? count : 1, size != 0 ? size : 1));
}

void *ln_realloc(void *p, size_t size)
{
	return checked(realloc(p, size != 0 ? size : 1));
}

char *ln_strdup(const char *s)
{
	return checked(strdup(s));
}
