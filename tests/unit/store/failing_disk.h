#pragma once
/*
 * A disk that fails on demand: a VFS between SQLite and the file, for stores opened while it is
 * installed. One in the process.
 */
#include <stdbool.h>

enum failing_disk_kind {
	FAILING_DISK_FULL,
	FAILING_DISK_IO,
	FAILING_DISK_KINDS
};

void failing_disk_install(void);
void failing_disk_remove(void); /* after the stores are closed */
/* After so many more writes and syncs one fails, or every one until failing_disk_clear(). */
void failing_disk_set(int calls, enum failing_disk_kind with, bool only_once);
void failing_disk_clear(void);
bool failing_disk_hit(void);       /* one has failed */
unsigned failing_disk_syncs(void); /* so far */
