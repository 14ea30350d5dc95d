#pragma once
/*
 * Random bytes are handed in. A program gives ev_rng() (getrandom); a test or the simulator gives a
 * seeded stream. fill never fails: a program without randomness aborts instead.
 */
#include <stddef.h>
#include <stdint.h>

struct ln_rng {
	void (*fill)(void *ctx, void *dst, size_t n);
	void *ctx;
};

static inline void rng_fill(const struct ln_rng *r, void *dst, size_t n)
{
	r->fill(r->ctx, dst, n);
}

static inline uint32_t rng_u32(const struct ln_rng *r)
{
	uint32_t v;
	r->fill(r->ctx, &v, sizeof(v));
	return v;
}

static inline uint64_t rng_u64(const struct ln_rng *r)
{
	uint64_t v;
	r->fill(r->ctx, &v, sizeof(v));
	return v;
}

/* Uniform in [0, bound), bound > 0. Multiply-shift; the bias is below 2^-32 * bound. */
static inline uint32_t rng_below(const struct ln_rng *r, uint32_t bound)
{
	return (uint32_t)(((uint64_t)rng_u32(r) * bound) >> 32);
}

/* Uniform in [0, bound) for 64-bit durations, bound > 0. */
static inline int64_t rng_below64(const struct ln_rng *r, int64_t bound)
{
	return (int64_t)(((unsigned __int128)rng_u64(r) * (uint64_t)bound) >> 64);
}
