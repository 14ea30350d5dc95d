#pragma once
/* Lines of tests/vectors/ice, read into a struct; see the README there. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hex.h"

struct stun_vector {
	char name[64];
	char source[64];
	char destination[64];
	char password[64]; /* "-": no MESSAGE-INTEGRITY */
	char fingerprint[8];
	uint8_t bytes[1500];
	size_t n;
};

/* The next vector of an open file; false at its end. */
static inline bool stun_vector_next(FILE *f, struct stun_vector *v)
{
	char line[4096];
	char hex[3072];
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		if (sscanf(line, "%63s %63s %63s %63s %7s %3071s", v->name, v->source,
			   v->destination, v->password, v->fingerprint, hex) != 6)
			return false;
		int n = hex_decode(slice_str(hex), mslice_of(v->bytes, sizeof(v->bytes)));
		v->n = n > 0 ? (size_t)n : 0;
		return n > 0;
	}
	return false;
}

static inline FILE *stun_vector_open(const char *name)
{
	char path[1024];
	const char *dir = getenv("LN_VECTORS");
	snprintf(path, sizeof(path), "%s/ice/%s", dir != NULL ? dir : "tests/vectors", name);
	return fopen(path, "r");
}
