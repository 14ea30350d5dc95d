#pragma once
/*
 * Raw UDP sockets beside the kernel's WireGuard socket: STUN to and from a port that is not ours
 * (spec signal-and-connection 4.1). A classic BPF program lets through copies of what is addressed
 * to the port and has the shape of STUN, and nothing that has the shape of WireGuard; everything
 * else costs no wake-up. Sending writes the UDP header itself; the checksum of IPv4 covers the
 * source address, so that is asked from the routing table and pinned to the packet.
 */
#include <linux/filter.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#define LX_STUNSOCK_FILTER_MAX 24
#define LX_STUNSOCK_UDP 8         /* bytes of a UDP header */
#define LX_STUNSOCK_DATA_MAX 1452 /* more would be a fragment on an ordinary path */

struct lx_stunsock {
	int fd[2]; /* IPv4, IPv6; -1 */
	uint16_t port;
	uint32_t mark;
};

/* -errno in words. A host without IPv6 has the first one only. */
LN_MUST_CHECK int lx_stunsock_open(struct lx_stunsock *s, uint16_t port, uint32_t mark,
				   struct ln_fail *f);
void lx_stunsock_close(struct lx_stunsock *s);
/* As plat_wg_recv(), plat_wg_send(). */
LN_MUST_CHECK int lx_stunsock_recv(const struct lx_stunsock *s, unsigned which, struct mslice room,
				   struct slice *ret, struct ip_ep *from);
LN_MUST_CHECK int lx_stunsock_send(const struct lx_stunsock *s, const struct ip_ep *to,
				   struct slice data);

/* The program for a family (4: over the IP header on, 6: over the UDP header on); its length. */
size_t lx_stunsock_filter(unsigned family, uint16_t port,
			  struct sock_filter ret[LX_STUNSOCK_FILTER_MAX]);
/*
 * The UDP payload of what a raw socket of the family delivers, and its source port. LN_E_MALFORMED.
 */
LN_MUST_CHECK int lx_stunsock_parse(unsigned family, struct slice packet, struct slice *ret,
				    uint16_t *ret_port);
/* Of a datagram with its UDP header, whose field is 0. Never 0: that would mean "none". */
uint16_t lx_stunsock_checksum(const struct ip_addr *src, const struct ip_addr *dst,
			      struct slice head, struct slice data);
