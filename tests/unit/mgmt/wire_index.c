#include "tests/unit/mgmt/wire_index.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/crypto/box.h"

#define COLUMNS 7

static void give_up(const char *what, const char *where)
{
	fprintf(stderr, "wire vectors: %s: %s\n", what, where);
	exit(1);
}

static struct slice load_file(struct arena *a, const char *name)
{
	const char *root = getenv("LN_VECTORS");
	if (root == NULL)
		give_up("LN_VECTORS is not set", name);
	char path[1024];
	snprintf(path, sizeof(path), "%s/wire/%s", root, name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		give_up("cannot open", path);
	fseek(f, 0, SEEK_END);
	long n = ftell(f);
	rewind(f);
	char *p = arena_alloc(a, (size_t)n + 1);
	if (p == NULL || fread(p, 1, (size_t)n, f) != (size_t)n)
		give_up("cannot read", path);
	fclose(f);
	return slice_of(p, (size_t)n);
}

static void load_row(struct wire_index *x, char *line, struct wire_row *row)
{
	char *col[COLUMNS];
	for (size_t i = 0; i < COLUMNS; i++) {
		col[i] = strsep(&line, "\t");
		if (col[i] == NULL)
			give_up("a line has too few columns", col[0]);
	}
	row->protocol = col[0];
	row->message = col[1];
	row->file = col[2];
	row->inside = col[6];
	row->plain = load_file(&x->a, col[2]);
	if (strcmp(col[3], "-") == 0)
		return;
	row->sealed = load_file(&x->a, col[3]);
	if (wg_secret_parse(slice_str(col[4]), &row->mine) < 0 ||
	    wg_key_parse(slice_str(col[5]), &row->theirs) < 0)
		give_up("a key is none", col[2]);
}

void wire_index_load(struct wire_index *x)
{
	*x = (struct wire_index){ 0 };
	arena_init(&x->a, (size_t)16 << 20);
	struct slice text = load_file(&x->a, "index.tsv");
	char *rest = arena_strndup(&x->a, (const char *)text.p, text.n);
	size_t lines = 0;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	x->rows = arena_calloc(&x->a, lines, sizeof(*x->rows));
	for (size_t i = 0; i < lines; i++)
		load_row(x, strsep(&rest, "\n"), &x->rows[x->nrows++]);
}

void wire_index_free(struct wire_index *x)
{
	arena_fini(&x->a);
}

bool wire_row_opens(struct wire_index *x, const struct wire_row *row, struct slice body)
{
	struct box_key key;
	if (box_key_init(&key, &row->mine, &row->theirs) < 0 || body.n < BOX_OVERHEAD)
		return false;
	uint8_t *p = arena_alloc(&x->a, body.n);
	int n = box_open(&key, body, mslice_of(p, body.n));
	box_key_wipe(&key);
	return n >= 0 && slice_equal(slice_of(p, (size_t)n), row->plain);
}

static void feed_copy(struct slice msg, void (*feed)(struct slice))
{
	uint8_t *p = malloc(msg.n > 0 ? msg.n : 1);
	memcpy(p, msg.p, msg.n);
	feed(slice_of(p, msg.n));
	free(p);
}

void wire_mutate(struct slice msg, void (*feed)(struct slice))
{
	uint8_t *p = malloc(msg.n + 1);
	memcpy(p, msg.p, msg.n);
	for (size_t i = 0; i < msg.n; i++) {
		feed_copy(slice_of(p, i), feed);
		uint8_t was = p[i];
		const uint8_t changed[] = { (uint8_t)(was ^ 1u << i % 8), (uint8_t)(was ^ 0x80),
					    0x00, 0xff };
		for (size_t k = 0; k < LN_COUNT(changed); k++) {
			p[i] = changed[k];
			feed_copy(slice_of(p, msg.n), feed);
		}
		p[i] = was;
	}
	free(p);
}
