#include "src/plat/linux/lx_nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_BUFFER 32768 /* what the kernel fills at most per dump message */
#define ANSWER_LIMIT_SEC 5  /* the kernel answers at once; a lost answer must not hang us */

static int open_bus(struct lx_nl *nl, int bus, struct ln_fail *f)
{
	*nl = (struct lx_nl){ 0 };
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (nl->sock == NULL)
		return ln_fail(f, -errno, "cannot open a netlink socket: %s", strerror(errno));
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;
		lx_nl_close(nl);
		return ln_fail(f, err, "cannot bind a netlink socket: %s", strerror(-err));
	}
	int on = 1;
	/* Both are comfort: explanations, and dumps filtered by the kernel. Old kernels refuse. */
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	struct timeval limit = { .tv_sec = ANSWER_LIMIT_SEC };
	(void)setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &limit,
			 sizeof(limit));
	return 0;
}

int lx_nl_open(struct lx_nl *nl, struct ln_fail *f)
{
	return open_bus(nl, NETLINK_ROUTE, f);
}

int lx_nl_open_generic(struct lx_nl *nl, struct ln_fail *f)
{
	return open_bus(nl, NETLINK_GENERIC, f);
}

void lx_nl_close(struct lx_nl *nl)
{
	if (nl->sock != NULL)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

struct nlmsghdr *lx_nl_begin(struct lx_nl *nl, void *buf, uint16_t type, uint16_t flags)
{
	memset(buf, 0, LX_NL_REQUEST);
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++nl->seq;
	return h;
}

/* The text of an extended acknowledgement behind an NLMSG_ERROR, if there is one. */
static void keep_reason(struct lx_nl *nl, const struct nlmsghdr *h)
{
	nl->why[0] = '\0';
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
		return;
	size_t head = sizeof(struct nlmsgerr);
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	if ((h->nlmsg_flags & NLM_F_CAPPED) == 0 && e->error != 0)
		head += e->msg.nlmsg_len - sizeof(struct nlmsghdr);
	if (mnl_nlmsg_get_payload_len(h) < head)
		return;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, head)
	{
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0) {
			snprintf(nl->why, sizeof(nl->why), "%s", mnl_attr_get_str(attr));
			return;
		}
	}
}

static int send_request(struct lx_nl *nl, const struct nlmsghdr *req)
{
	nl->why[0] = '\0';
	return mnl_socket_sendto(nl->sock, req, req->nlmsg_len) < 0 ? -errno : 0;
}

static void buf_freep(char **p)
{
	free(*p);
}

int lx_nl_get(struct lx_nl *nl, struct nlmsghdr *req, mnl_cb_t cb, void *arg)
{
	LN_AUTO(buf_freep) char *buf = ln_alloc(ANSWER_BUFFER);
	unsigned portid = mnl_socket_get_portid(nl->sock);
	int r = send_request(nl, req);
	while (r == 0) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, buf, ANSWER_BUFFER);
		if (n < 0)
			return errno == EAGAIN ? LN_E_TIMEOUT : -errno;
		const struct nlmsghdr *first = (const struct nlmsghdr *)(const void *)buf;
		/* The rest of an earlier request that failed half-way: not for us. */
		if ((size_t)n >= sizeof(*first) && first->nlmsg_seq != nl->seq)
			continue;
		if ((size_t)n >= sizeof(*first) && first->nlmsg_type == NLMSG_ERROR &&
		    mnl_nlmsg_ok(first, (int)n))
			keep_reason(nl, first);
		int more = mnl_cb_run(buf, (size_t)n, nl->seq, portid, cb, arg);
		if (more < 0)
			return -errno;
		if (more == MNL_CB_STOP)
			return 0;
	}
	return r;
}

int lx_nl_ask(struct lx_nl *nl, struct nlmsghdr *req)
{
	req->nlmsg_flags |= NLM_F_ACK;
	return lx_nl_get(nl, req, NULL, NULL);
}
