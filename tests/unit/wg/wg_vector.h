#pragma once
/* Reads tests/vectors/wg: lines of handshake.txt, and whole recorded datagrams. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hex.h"
#include "lib/base/rng.h"
#include "lib/base/slice.h"

static inline FILE *wg_vector_open(const char *name)
{
	char path[1024];
	const char *dir = getenv("LN_VECTORS");
	snprintf(path, sizeof(path), "%s/wg/%s", dir != NULL ? dir : "tests/vectors", name);
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	return f;
}

/* The bytes of one line of handshake.txt. */
static inline size_t wg_vector_line(const char *name, void *dst, size_t size)
{
	static char line[8192];
	int n = -1;
	FILE *f = wg_vector_open("handshake.txt");
	while (n < 0 && fgets(line, sizeof(line), f) != NULL) {
		size_t at = strlen(name);
		if (strncmp(line, name, at) != 0 || line[at] != ' ')
			continue;
		line[strcspn(line, "\n")] = '\0';
		n = hex_decode(slice_str(line + at + 1), mslice_of(dst, size));
	}
	fclose(f);
	if (n < 0) {
		fprintf(stderr, "no vector %s\n", name);
		exit(1);
	}
	return (size_t)n;
}

static inline size_t wg_vector_file(const char *name, void *dst, size_t size)
{
	FILE *f = wg_vector_open(name);
	size_t n = fread(dst, 1, size, f);
	fclose(f);
	return n;
}

/* "Random" bytes that were agreed on before. */
struct wg_vector_rng {
	const uint8_t *bytes;
	size_t n;
	size_t at;
};

static inline void wg_vector_fill(void *ctx, void *dst, size_t n)
{
	struct wg_vector_rng *r = ctx;
	uint8_t *d = dst;
	for (size_t i = 0; i < n; i++)
		d[i] = r->bytes[r->at++ % r->n];
}
