#pragma once
/*
 * One netlink request socket (libmnl), rtnetlink or generic, used one request at a time by its
 * owner. A request is built in the caller's buffer, sent, and its acknowledgement or dump is read
 * to the end before the call returns. The kernel's own explanation (extended acknowledgement) is
 * kept in `why`.
 *
 * Results: 0, -errno of the kernel, or -EINTR when a dump changed underneath (ask again).
 */
#include <libmnl/libmnl.h>

#include "lib/base/err.h"

#define LX_NL_REQUEST 512 /* bytes a request of ours may need */

struct lx_nl {
	struct mnl_socket *sock; /* null when closed */
	uint32_t seq;
	char why[120]; /* last extended acknowledgement, "" without */
};

LN_MUST_CHECK int lx_nl_open(struct lx_nl *nl, struct ln_fail *f);
LN_MUST_CHECK int lx_nl_open_generic(struct lx_nl *nl, struct ln_fail *f);
void lx_nl_close(struct lx_nl *nl);
/* Header of a new request in buf (LX_NL_REQUEST bytes, zeroed here). */
struct nlmsghdr *lx_nl_begin(struct lx_nl *nl, void *buf, uint16_t type, uint16_t flags);
/* Sends and waits for the acknowledgement. */
LN_MUST_CHECK int lx_nl_ask(struct lx_nl *nl, struct nlmsghdr *req);
/* Sends and hands every answer to cb (MNL_CB_OK goes on, MNL_CB_ERROR with errno ends). */
LN_MUST_CHECK int lx_nl_get(struct lx_nl *nl, struct nlmsghdr *req, mnl_cb_t cb, void *arg);
