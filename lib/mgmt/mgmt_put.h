#pragma once
/*
 * Protobuf fields written forward into memory that is known to suffice; private to lib/mgmt. Field
 * numbers are at most 15, so that a tag is one byte. What is empty or zero is left out by the
 * caller, as proto3 has it.
 */
#include <string.h>

#include "lib/base/slice.h"

#define MGMT_PUT_VARINT_MAX 10

static inline size_t mgmt_varint_size(uint64_t v)
{
	size_t n = 1;
	while (v >= 0x80) {
		v >>= 7;
		n++;
	}
	return n;
}

static inline uint8_t *mgmt_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *mgmt_put_int(uint8_t *p, unsigned number, uint64_t v)
{
	*p++ = (uint8_t)(number << 3);
	return mgmt_put_varint(p, v);
}

/* Tag and length; the bytes follow. */
static inline uint8_t *mgmt_put_head(uint8_t *p, unsigned number, size_t n)
{
	*p++ = (uint8_t)(number << 3 | 2);
	return mgmt_put_varint(p, n);
}

static inline uint8_t *mgmt_put_raw(uint8_t *p, const void *from, size_t n)
{
	if (n > 0)
		memcpy(p, from, n);
	return p + n;
}

static inline uint8_t *mgmt_put_bytes(uint8_t *p, unsigned number, const void *from, size_t n)
{
	return mgmt_put_raw(mgmt_put_head(p, number, n), from, n);
}

/* Of a field of bytes with a one-byte tag; 0 when empty, for it is left out. */
static inline size_t mgmt_bytes_size(size_t n)
{
	return n > 0 ? 1 + mgmt_varint_size(n) + n : 0;
}
