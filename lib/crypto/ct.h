#pragma once
/* Constant-time comparison and wiping. The only ways to compare or drop a secret. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* True when the n bytes are equal; time depends on n only. */
static inline bool ct_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t diff = 0;
	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

static inline bool ct_is_zero(const void *a, size_t n)
{
	const volatile uint8_t *x = a;
	uint8_t any = 0;
	for (size_t i = 0; i < n; i++)
		any |= x[i];
	return any == 0;
}

static inline void ct_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}
