#pragma once
/*
 * What the files of a user-space device share.
 *
 *	uwg.c         the owner's calls: they put mail into a box and wake the thread
 *	uwg_thread.c  the thread: TUN and sockets alternately, run to completion
 *	uwg_mail.c    the box to the thread, and the events back to the owner's loop
 *	uwg_tun.c     creating the interface, and writing it
 *	uwg_steer.c   which of its queues a packet waits in
 *	uwg_sock.c    the UDP sockets, batches in and out
 *	uwg_relay.c   batches that go to the owner instead of a socket, and come from it
 *
 * Everything below "thread" is touched by the thread only; the mail box and the statistics have a
 * mutex each. Nothing on the way of a packet takes a lock or allocates.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/wg/wg_dev.h"
#include "lib/wg/wg_merge.h"
#include "lib/wg/wg_msg.h"

#include "src/agent/uwg/uwg.h"
#include "src/agent/uwg/uwg_aead.h"

#define UWG_TX_SLOTS 128   /* packets sealed and sent together */
#define UWG_TX_SEGMENTS 64 /* messages in one UDP_SEGMENT send: safe on every kernel */
#define UWG_TX_BYTES 65000 /* and their bytes */
#define UWG_TUN_QUEUES 8
#define UWG_TUN_READS 64          /* reads of a queue per turn */
#define UWG_TUN_BYTES (256 << 10) /* and their bytes, more or less: 0.3 ms of sealing */
#define UWG_TUN_ROOM (65536 + 64) /* a super-packet with its header */
#define UWG_RX_MSGS 8             /* datagrams, each perhaps many joined by UDP_GRO, per call */
#define UWG_RX_ROOM 65536
#define UWG_RX_SHORT 512 /* read of each when nearly everything is thrown away */
#define UWG_SHED_HALF                                                                              \
 50                      /* percent of the socket's buffer, from which half of it is thrown away   \
			  */
#define UWG_SHED_MOST 75 /* and nearly all of every second read */
#define UWG_RX_SLOTS 512
#define UWG_SOCKET_BUFFER (7 << 20)
#define UWG_ROUNDS 16        /* turns of all sources before the statistics are looked at again */
#define UWG_STUN_WAITING 256 /* datagrams on their way to the owner; more are dropped */
#define UWG_EVENTS_WAITING 65536
#define UWG_RELAY_BATCH 65536         /* bytes handed to the owner together */
#define UWG_RELAY_WAITING 64          /* batches on their way to it; more are dropped */
#define UWG_INJECT_WAITING (4u << 20) /* bytes on their way to the thread, likewise */

/* For calls that only read what they get, though an iovec has no const. */
static inline struct iovec uwg_iovec(struct slice s)
{
	union {
		const uint8_t *in;
		void *out;
	} p = { .in = s.p };

	return (struct iovec){ .iov_base = p.out, .iov_len = s.n };
}

/* --- sockets ---------------------------------------------------------------------------------- */

struct uwg_sock {
	int fd; /* -1: the host has no such family */
	unsigned family;
	bool gso; /* UDP_SEGMENT works on it */
};

/* -errno. `port` 0 or busy: the kernel chooses; both families get the same one. */
LN_MUST_CHECK int uwg_sock_open(struct uwg_sock v[2], const uint16_t ports[2], uint32_t mark,
				uint16_t *ret_port, struct ln_fail *f);
void uwg_sock_close(struct uwg_sock v[2]);
/*
 * Sends sealed messages (len 0 is skipped), joining runs of one size to one peer. Those too long
 * for their path leave in fragments; one such path is returned, or null.
 */
LN_MUST_CHECK const struct ip_ep *uwg_sock_send(struct uwg_sock v[2], const struct wg_tx *tx,
						size_t n);
/* One datagram. 0 or -errno. Safe from any thread. */
int uwg_sock_send_one(const struct uwg_sock v[2], const struct ip_ep *to, enum wg_ecn ecn,
		      struct slice data);
/* What the kernel knows of the path to an endpoint: the longest IP packet, or 0. */
size_t uwg_sock_path_mtu(const struct ip_ep *to, uint32_t mark);

struct uwg_datagrams {
	struct mslice b[UWG_RX_MSGS];
	size_t segment[UWG_RX_MSGS]; /* size of the pieces, the last may be shorter */
	struct ip_ep from[UWG_RX_MSGS];
	enum wg_ecn ecn[UWG_RX_MSGS];
	bool drop[UWG_RX_MSGS]; /* false; for the one who sheds */
	size_t n;
	bool full; /* as many were read as could be */
};

/*
 * Reads what is there, at most UWG_RX_MSGS, into room of UWG_RX_ROOM bytes each. Of what is longer
 * than `each` bytes, only the messages that lie within them whole are given.
 */
void uwg_sock_recv(const struct uwg_sock *s, uint8_t *room, size_t each, struct uwg_datagrams *ret);

/* How full the socket's buffer is, in percent. */
unsigned uwg_sock_fill(const struct uwg_sock *s);

/* --- TUN -------------------------------------------------------------------------------------- */

/*
 * The interface. A flow waits in one of its queues, and when that is full, the kernel drops what
 * comes: so a flood drowns itself and few others.
 */
struct uwg_tun {
	int queue[UWG_TUN_QUEUES];
	unsigned n;
	bool udp; /* it takes joined UDP datagrams */
};

/* 0, or -errno with the reason in words; t is to be closed in any case. */
LN_MUST_CHECK int uwg_tun_open(struct uwg_tun *t, const char *name, unsigned mtu,
			       char ret_name[IF_NAMESIZE], struct ln_fail *f);
void uwg_tun_close(struct uwg_tun *t); /* the kernel removes the interface */
/* 0 or -errno; a packet the kernel does not like is no error. */
LN_MUST_CHECK int uwg_tun_write(const struct uwg_tun *t, const struct wg_merge_item *it);
/* A packet of our own making, checksums finished. */
LN_MUST_CHECK int uwg_tun_write_one(const struct uwg_tun *t, struct slice packet);
/* Makes the queues ones of flows. -errno: not allowed, or the kernel has no packet filter. */
LN_MUST_CHECK int uwg_steer(int tun);

/* --- mail ------------------------------------------------------------------------------------- */

enum uwg_mail_kind {
	UWG_MAIL_STOP,
	UWG_MAIL_SET,
	UWG_MAIL_REMOVE,
	UWG_MAIL_ENDPOINT,
	UWG_MAIL_SPARE,
	UWG_MAIL_INJECT,
};

struct uwg_mail {
	struct list link;
	enum uwg_mail_kind kind;
	struct wg_peer_conf peer; /* key for all kinds; `allowed` points behind this struct */
	struct ip_ep ep;
	bool initiate;
	ln_time doubt_after;
	struct str batch; /* INJECT; see uwg_relay.c */
	struct ip_prefix allowed[];
};

/*
 * The events' way back. Outlives the device while a message to the loop is under way; `closed` is
 * touched on the loop's thread only.
 */
struct uwg_box {
	struct ev_loop *loop;
	uwg_event_fn *on_event;
	void *user;
	bool closed;
	pthread_mutex_t lock; /* guards the rest */
	struct list events;
	size_t nevents;
	bool posted;
	int refs;
};

struct uwg_box *uwg_box_new(struct ev_loop *l, uwg_event_fn *on_event, void *user);
void uwg_box_close(struct uwg_box *b); /* on the loop's thread; gives up the owner's reference */
/* Copies the event. From the device's thread. */
void uwg_box_post(struct uwg_box *b, const struct uwg_event *ev);

struct uwg {
	struct uwg_box *box;
	char ifname[IF_NAMESIZE];
	unsigned ifindex;
	unsigned mtu;
	uint16_t port;
	uint32_t fwmark;
	struct uwg_tun tun;
	int wake; /* eventfd */
	struct uwg_sock sock[2];
	pthread_t thread;

	pthread_mutex_t mail_lock;
	struct list mail;
	size_t inject_bytes; /* in the mail */

	/* owner */
	struct str inject;
	struct ev_timer inject_timer;

	pthread_mutex_t stats_lock;
	struct map stats; /* struct uwg_slot by key */

	/* thread */
	struct uwg_aead *aead;
	struct wg_dev *dev;
	int epoll;
	ln_time now;
	ln_time wall_set;
	ln_time stats_due; /* LN_TIME_NEVER: nothing changed since the last copy */
	bool stop;
	bool failed;
	ln_time answers_full; /* bucket of ICMP answers */
	ln_time path_asked;   /* when the kernel was last asked about a path */
	uint64_t shed; /* bytes received and not looked at, since the last copy of the statistics */
	size_t stride; /* of tx_room */
	uint8_t *rooms; /* the four below */
	uint8_t *tx_room;
	uint8_t *rx_room;
	uint8_t *tun_room;
	uint8_t *poll_room;
	struct wg_tx tx[UWG_TX_SLOTS];
	size_t ntx;
	struct str relay_out;
	struct wg_rx rx[UWG_RX_SLOTS];
	struct wg_merge merge;
};

struct uwg_slot {
	struct map_node node;
	struct wg_key key;
	struct wg_peer_stats stats;
};

void uwg_mail_send(struct uwg *u, struct uwg_mail *m); /* takes m */
void uwg_mail_free(struct uwg_mail *m);
/* Everything in the box, into an empty list of the caller. */
void uwg_mail_take(struct uwg *u, struct list *ret);

/* --- relay ------------------------------------------------------------------------------------ */

/* Thread: keeps a datagram for the owner; a full batch is posted. */
void uwg_relay_out(struct uwg *u, const struct ip_ep *to, struct slice data);
void uwg_relay_flush(struct uwg *u);
/* Owner: hands over what uwg_inject() collected. */
void uwg_inject_flush(struct ev_timer *t);

/* The thread. */
void *uwg_thread_main(void *arg);
