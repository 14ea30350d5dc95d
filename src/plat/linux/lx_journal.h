#pragma once
/*
 * What we have set up outside of our own process, written down before it is done: one small JSON
 * file per network in the state folder, `plat-<ifname>.json`. After a crash the next start reads
 * them and takes away what is still there. Written to a temporary file, synced, renamed; 0600.
 *
 * A record names the process that wrote it (pid and start time), so that one start does not take
 * away what a running instance with the same folder has made.
 */
#include "src/plat/linux/lx_rpf.h"
#include "src/plat/plat.h"

#define LX_TABLE_MAX 65

struct lx_journal {
	char ifname[PLAT_IFNAME_MAX];
	char table[LX_TABLE_MAX]; /* "" = no packet filter */
	uint32_t mark;            /* routing rules of this mark; 0 none */
	struct lx_rpf rpf;        /* reverse path filters that were strict */
};

/* Makes the folder (0700) when it is missing. -errno. */
LN_MUST_CHECK int lx_journal_prepare(const char *dir, struct ln_fail *f);
LN_MUST_CHECK int lx_journal_write(const char *dir, const struct lx_journal *j, struct ln_fail *f);
/* LN_E_NOTFOUND without a record; LN_E_MALFORMED when it cannot be read as one. */
LN_MUST_CHECK int lx_journal_read(const char *dir, const char *ifname, struct lx_journal *ret);
/* 0 also when there was none. */
LN_MUST_CHECK int lx_journal_remove(const char *dir, const char *ifname);

typedef void lx_journal_each_fn(void *arg, const struct lx_journal *j);
/*
 * Every record whose process is gone. One that cannot be read is renamed to `<name>.corrupted` and
 * left for people. The callback may remove the record it got.
 */
LN_MUST_CHECK int lx_journal_each_orphan(const char *dir, lx_journal_each_fn *fn, void *arg);
