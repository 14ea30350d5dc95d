#pragma once
/*
 * Sets of small numbers as words of 64 bits. The caller owns the words and knows how many there
 * are; bits beyond the last member of its range stay zero.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITSET_WORDS(n) (((size_t)(n) + 63) / 64)

static inline bool bitset_has(const uint64_t *set, size_t i)
{
	return (set[i / 64] >> (i % 64) & 1) != 0;
}

static inline void bitset_add(uint64_t *set, size_t i)
{
	set[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline void bitset_drop(uint64_t *set, size_t i)
{
	set[i / 64] &= ~((uint64_t)1 << (i % 64));
}

/* to |= from */
static inline void bitset_join(uint64_t *to, const uint64_t *from, size_t words)
{
	for (size_t i = 0; i < words; i++)
		to[i] |= from[i];
}

static inline size_t bitset_count(const uint64_t *set, size_t words)
{
	size_t n = 0;
	for (size_t i = 0; i < words; i++)
		n += (size_t)__builtin_popcountll(set[i]);
	return n;
}

/* The first i >= from that is in the set (or, with `in` false, is not); `words * 64` when none. */
static inline size_t bitset_next(const uint64_t *set, size_t words, size_t from, bool in)
{
	size_t w = from / 64;
	if (w >= words)
		return words * 64;
	uint64_t flip = in ? 0 : UINT64_MAX;
	uint64_t v = (set[w] ^ flip) & (UINT64_MAX << (from % 64));
	while (v == 0) {
		if (++w == words)
			return words * 64;
		v = set[w] ^ flip;
	}
	return w * 64 + (size_t)__builtin_ctzll(v);
}
