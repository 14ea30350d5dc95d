#pragma once
/*
 * The schema as an append-only list of numbered steps. A step that was released is never edited:
 * what it got wrong the next one repairs. There is no way back.
 */
#include <stddef.h>

struct store_migration {
	int number; /* 1, 2, 3 ... without a gap */
	const char *what;
	const char *sql; /* statements separated by semicolons; run in one transaction */
};

extern const struct store_migration store_migrations[];
extern const size_t store_migration_count;
