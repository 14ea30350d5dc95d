#pragma once
/* The recorded messages of tests/vectors/wire, with their boxes opened. For tests only. */
#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/crypto/key.h"

struct wire_row {
	const char *protocol;
	const char *message;
	const char *file;
	const char *inside;
	struct slice plain;
	struct slice sealed; /* the envelope; empty when it travelled in clear */
	struct wg_secret mine;
	struct wg_key theirs;
};

struct wire_index {
	struct arena a;
	struct wire_row *rows;
	size_t nrows;
};

/* Ends the program with a message when a file is missing or a line is wrong. */
void wire_index_load(struct wire_index *x);
void wire_index_free(struct wire_index *x);
/* The sealed body opens with the row's keys and equals the plain message. */
bool wire_row_opens(struct wire_index *x, const struct wire_row *row, struct slice body);
/* Feeds every truncation and some change of every byte, in exactly sized memory. */
void wire_mutate(struct slice msg, void (*feed)(struct slice));
