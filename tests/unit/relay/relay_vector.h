#pragma once
/* Reads tests/vectors/relay: the recorded connections, one message at a time. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hex.h"
#include "lib/base/slice.h"
#include "lib/crypto/key.h"

struct relay_vector {
	FILE *f;
	char secret[64];
	struct wg_key key[2]; /* of a and b */
	/* the message at hand */
	unsigned agent; /* 0 = a */
	bool from_client;
	char name[32];
	uint8_t bytes[9000];
	size_t n;
};

static inline void relay_vector_open(struct relay_vector *v, const char *name)
{
	char path[512];
	const char *dir = getenv("LN_VECTORS");
	*v = (struct relay_vector){ .agent = 0 };
	snprintf(path, sizeof(path), "%s/relay/%s.txt", dir != NULL ? dir : ".", name);
	v->f = fopen(path, "r");
	if (v->f == NULL) {
		perror(path);
		abort();
	}
}

/* False at the end, which closes the file. */
static inline bool relay_vector_next(struct relay_vector *v)
{
	char line[20000], agent, way[4];
	while (fgets(line, sizeof(line), v->f) != NULL) {
		char text[64];
		int at = 0;
		if (sscanf(line, "secret %63s", v->secret) == 1)
			continue;
		if (sscanf(line, "key %c %63s", &agent, text) == 2) {
			if (wg_key_parse(slice_str(text), &v->key[agent - 'a']) != 0)
				abort();
			continue;
		}
		if (sscanf(line, "msg %c %3s %31s %n", &agent, way, v->name, &at) != 3)
			abort();
		v->agent = (unsigned)(agent - 'a');
		v->from_client = strcmp(way, "c2s") == 0;
		v->n = 0;
		for (const char *p = line + at; p[0] != '\n' && p[0] != '\0'; p += 2) {
			unsigned b;
			if (v->n == sizeof(v->bytes) || sscanf(p, "%2x", &b) != 1)
				abort();
			v->bytes[v->n++] = (uint8_t)b;
		}
		return true;
	}
	fclose(v->f);
	return false;
}
