#pragma once
/*
 * What the kernel tells about links, addresses and default routes (rtnetlink groups). The owner
 * waits for the descriptor to turn readable and then asks until nothing is left.
 */
#include <libmnl/libmnl.h>

#include "src/plat/plat.h"

#define LX_WATCH_BUFFER 16384

struct lx_watch {
	struct mnl_socket *sock;
	size_t have, at; /* bytes in buf, and how far they are read */
	char buf[LX_WATCH_BUFFER] __attribute__((aligned(8)));
};

LN_MUST_CHECK int lx_watch_open(struct lx_watch *w, struct ln_fail *f);
void lx_watch_close(struct lx_watch *w);
/*
 * false when nothing is waiting. After an overflow (we were too slow, messages are lost) one
 * address event with ifindex 0 comes: look at everything again.
 */
bool lx_watch_next(struct lx_watch *w, struct plat_event *ret);
