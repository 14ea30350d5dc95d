#pragma once
/*
 * Errors, assertions and clean-up of the whole project.
 *
 * A fallible function returns int: 0 or positive is good, negative is bad. Negative values are
 * -errno for what the system refused and LN_E_* (from -1001 downwards) for what we refused.
 * Text exists only at the edge: ln_strerror() and struct ln_fail.
 */
#include <stdbool.h>
#include <stddef.h>

#define LN_MUST_CHECK __attribute__((warn_unused_result))
#define LN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LN_AUTO(fn) __attribute__((cleanup(fn)))
#define LN_NORETURN __attribute__((noreturn))

#define ln_container(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define LN_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LN_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LN_MAX(a, b) ((a) > (b) ? (a) : (b))

enum ln_err {
	LN_E_TRUNCATED = -1001,   /* input ends before the value does */
	LN_E_MALFORMED = -1002,   /* input breaks the format */
	LN_E_LIMIT = -1003,       /* a bound of ours was reached */
	LN_E_UNSUPPORTED = -1004, /* well formed, but we do not do this */
	LN_E_AUTH = -1005,        /* a MAC, tag or signature does not verify */
	LN_E_REPLAY = -1006,      /* seen before */
	LN_E_STATE = -1007,       /* not now: the object is in another state */
	LN_E_CLOSED = -1008,      /* the object or the other side is gone */
	LN_E_CONFLICT = -1009,    /* exists already, or changed underneath */
	LN_E_NOTFOUND = -1010,
	LN_E_DENIED = -1011, /* known, but not allowed */
	LN_E_STALE = -1012,  /* older than what we have */
	LN_E_AGAIN = -1013,  /* no progress now; try after the next event */
	LN_E_TIMEOUT = -1014,
	LN_E_INTERNAL = -1015, /* a mistake of ours that could be contained */
};

/* Text for a negative result: our table, else strerror. Never null; static storage. */
const char *ln_strerror(int err);

/*
 * Where a person reads the reason (configuration, store, REST), the last parameter is a
 * struct ln_fail *: a code and a short text. May be null if the caller does not care.
 */
struct ln_fail {
	int code;
	char text[240];
};

/* Writes code and text into f (if not null) and returns code, so `return ln_fail(...)` works. */
int ln_fail(struct ln_fail *f, int code, const char *fmt, ...) LN_PRINTF(3, 4);

/*
 * ln_assert is for our own mistakes and stays on in release builds. Nothing a peer or a file can
 * cause may reach one. The hook (set once by the program before threads start) gets the message;
 * afterwards the process aborts.
 */
typedef void ln_assert_hook_fn(const char *file, int line, const char *what);
void ln_assert_set_hook(ln_assert_hook_fn *hook);
void ln_assert_fail(const char *file, int line, const char *what) LN_NORETURN;

#define ln_assert(cond)                                                                            \
 do {                                                                                              \
  if (__builtin_expect(!(cond), 0))                                                                \
   ln_assert_fail(__FILE__, __LINE__, #cond);                                                      \
 } while (0)

/*
 * Allocation of bounded, own-chosen size: aborts when memory is out (architecture 8). Anything
 * whose size a peer chooses uses an arena or a checked limit first. Result is zeroed.
 */
void *ln_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *ln_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *ln_realloc(void *p, size_t size) __attribute__((returns_nonnull));
char *ln_strdup(const char *s) __attribute__((malloc, returns_nonnull));
