#pragma once
/*
 * Watches the host's resolver configuration by inotify: the file as it is (also a bind mount),
 * another one renamed over it, a symbolic link that is turned, and the target of the link. Of
 * systemd-resolved's stub file the list of real name servers beside it is watched as well.
 */
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

#define LX_DNS_FILE "/etc/resolv.conf"
#define LX_DNS_WATCHES 4

struct lx_dns {
	int fd; /* inotify; readable when something may have changed; -1 closed */
	const char *path;
	int watch[LX_DNS_WATCHES]; /* -1 none */
	struct str says;           /* the lines that count */
};

/* path outlives w; the file may be missing. -errno. */
LN_MUST_CHECK int lx_dns_open(struct lx_dns *w, const char *path);
void lx_dns_close(struct lx_dns *w);
/* Takes what has been seen. True when name servers, search list or options are others now. */
bool lx_dns_changed(struct lx_dns *w);
