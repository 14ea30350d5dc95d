#pragma once
/* A scratch folder and repeatable randomness for the tests of the agent's files. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/rng.h"
#include "lib/base/str.h"

#include "src/agent/agent_file.h"
#include "tests/unit/unit.h"

static char folder[64];
static uint8_t folder_seed;

static void folder_fill(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = folder_seed++;
}

static const struct ln_rng folder_rng = { folder_fill, NULL };

static int folder_new(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/linnet-agent.XXXXXX");
	folder_seed = 1;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int folder_drop(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int folder_free(void **state)
{
	(void)state;
	return nftw(folder, folder_drop, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *folder_path(const char *name)
{
	static char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static inline void folder_write(const char *name, const char *text)
{
	assert_int_equal(agent_file_write(folder_path(name), slice_str(text), NULL), 0);
}
