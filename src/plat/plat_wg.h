#pragma once
/*
 * WireGuard in the kernel: a link of type "wireguard", its peers over generic netlink, and the raw
 * sockets that share its UDP port with STUN (spec signal-and-connection 4.1, agent 2.3).
 *
 * The kernel owns the port, the keys and the timers; what comes back is what a dump of the device
 * says. Blocking calls of well under a millisecond, for the owner's loop. The device belongs to the
 * caller of plat_wg_new(); the link goes away with plat_wg_free(), and what a crash left is taken
 * away by plat_remove().
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"

#include "src/plat/plat.h"

#define PLAT_WG_KEEP (-1) /* keepalive: as it is */

struct plat_wg_conf {
	const char *ifname; /* a link of that name and of type "wireguard" is replaced */
	unsigned mtu;
	uint16_t port;               /* wanted; 0 or busy: the kernel chooses */
	uint16_t first_port;         /* tried before it, 0 none */
	uint32_t fwmark;             /* of the tunnel's packets and of our STUN; 0 none */
	const struct wg_secret *key; /* not kept */
};

struct plat_wg_change { /* of one peer; made when it is not there unless `update_only` */
	struct wg_key key;
	bool remove, update_only;
	bool replace_allowed;            /* forget the old list first */
	const struct ip_prefix *allowed; /* added; a prefix of another peer moves here */
	size_t nallowed;
	const struct wg_secret *psk;  /* null: as it is; all zero: none */
	int keepalive;                /* seconds, 0 off, PLAT_WG_KEEP */
	const struct ip_ep *endpoint; /* null: as it is */
};

struct plat_wg_peer { /* as the kernel tells it */
	struct wg_key key;
	struct ip_ep endpoint;  /* family 0: none */
	ln_wall last_handshake; /* 0: never */
	uint64_t rx_bytes, tx_bytes;
	uint16_t keepalive;
	size_t nallowed;
};

/*
 * Can this host do it? Asks for a link with an impossible MTU, which a kernel that knows the type
 * refuses as such, and loads the module when it does not. LN_E_UNSUPPORTED, -EPERM, in words.
 */
LN_MUST_CHECK int plat_wg_probe(struct plat *p, struct ln_fail *f);

struct plat_wg;
/* Makes the link, without addresses and peers, brings it up (only then the port is its own) and
 * opens the raw sockets. LN_E_CONFLICT: another kind of interface has that name; -errno. */
LN_MUST_CHECK int plat_wg_new(struct plat *p, const struct plat_wg_conf *conf, struct plat_wg **ret,
			      struct ln_fail *f);
void plat_wg_free(struct plat_wg *w); /* removes the link; null is allowed */

uint16_t plat_wg_port(const struct plat_wg *w);
const char *plat_wg_ifname(const struct plat_wg *w);
unsigned plat_wg_ifindex(const struct plat_wg *w);
/* False when somebody has removed the link. */
bool plat_wg_alive(const struct plat_wg *w);

/* -errno of the kernel; -ENODEV: the link is gone. */
LN_MUST_CHECK int plat_wg_change(struct plat_wg *w, const struct plat_wg_change *c);
typedef void plat_wg_peer_fn(void *user, const struct plat_wg_peer *p);
/* Every peer once, or in rare cases (the table changed meanwhile) some of them twice. -errno. */
LN_MUST_CHECK int plat_wg_dump(struct plat_wg *w, plat_wg_peer_fn *fn, void *user);

/* --- STUN on the tunnel's port ---------------------------------------------------------------- */

#define PLAT_WG_FDS 2
/* Descriptor for readiness: 0 is IPv4, 1 is IPv6, which may be -1. Owned by the device. */
int plat_wg_fd(const struct plat_wg *w, unsigned which);
/*
 * One datagram with the shape of STUN, in `room`. 0; -EAGAIN when nothing is left; LN_E_MALFORMED:
 * skip it and ask again. These are copies, before the kernel has looked at the UDP checksum.
 */
LN_MUST_CHECK int plat_wg_recv(struct plat_wg *w, unsigned which, struct mslice room,
			       struct slice *ret, struct ip_ep *from);
/*
 * Datagrams for the tunnel, as if they had come from `from`: what a relay has brought. `size` bytes
 * each, one behind the other, the last may be shorter. -errno; LN_E_LIMIT.
 */
LN_MUST_CHECK int plat_wg_inject(struct plat_wg *w, const struct ip_ep *from, struct slice data,
				 size_t size);
/* From the tunnel's port. -errno; LN_E_LIMIT: longer than a datagram may be. */
LN_MUST_CHECK int plat_wg_send(struct plat_wg *w, const struct ip_ep *to, struct slice data);
