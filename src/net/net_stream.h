#pragma once
/*
 * A connected byte stream on a loop: TCP or Unix socket, with or without TLS. Owns the descriptor
 * and the session. Nothing is buffered while idle; what the socket does not take is kept and sent
 * when it does, so writers look at net_stream_pending() before they make more.
 *
 * States: (handshaking ->) open -> closed. Callbacks come from the loop, never from inside a call
 * to this header; data may still come before ready() was ever called on plain streams, which are
 * ready at once and do not call it.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include "src/ev/ev.h"

struct net_stream;
struct net_tls;

struct net_stream_ops {
	/* Bytes in the loop's scratch buffer, valid during the call. */
	void (*data)(void *user, struct slice data);
	void (*writable)(void *user); /* everything kept was sent */
	void (*ready)(void *user);    /* TLS handshake done; may be null */
	/*
	 * LN_E_CLOSED at a proper end, else the error; `why` is words. The stream is still to be
	 * freed by the owner and does nothing more.
	 */
	void (*closed)(void *user, int err, const char *why);
};

/* Takes the non-blocking descriptor and the TLS session (may be null). -errno: both are gone. */
LN_MUST_CHECK int net_stream_new(struct ev_loop *l, int fd, struct net_tls *tls,
				 const struct net_stream_ops *ops, void *user,
				 struct net_stream **ret);
void net_stream_free(struct net_stream *s); /* also inside its callbacks */
/* Another layer takes over (sniffed protocol). */
void net_stream_set_owner(struct net_stream *s, const struct net_stream_ops *ops, void *user);
/*
 * To another loop and its thread: leave() on the thread of the present one, at a moment when no
 * callback of the stream is running, then enter() on that of the other. In between it may only be
 * handed over. LN_E_CLOSED of leave(): it has ended, which the owner has heard or will. -errno of
 * enter(): only net_stream_free() is left.
 */
LN_MUST_CHECK int net_stream_leave(struct net_stream *s);
LN_MUST_CHECK int net_stream_enter(struct net_stream *s, struct ev_loop *l);
/* Hands bytes an earlier owner has read to the present one. */
void net_stream_feed(struct net_stream *s, struct slice data);
/*
 * Turns a plain stream into a TLS server stream; `first` was already read from it. The handshake is
 * computed on worker threads (its keys and signature cost hundreds of microseconds); meanwhile the
 * stream rests, and may be freed. Nothing may be written before ready() or data().
 */
void net_stream_start_tls(struct net_stream *s, struct net_tls *tls, struct slice first);
/* Takes all of it. After the end or an error it is dropped. */
void net_stream_write(struct net_stream *s, struct slice data);
/* The same for several pieces, with one system call where it can be. */
void net_stream_writev(struct net_stream *s, const struct slice *v, size_t n);
size_t net_stream_pending(const struct net_stream *s);
/* Sends what is kept, then a FIN; reading goes on until the peer has ended too. */
void net_stream_finish(struct net_stream *s);
/* No more callbacks at all; the descriptor stays open for a last write. */
void net_stream_mute(struct net_stream *s);
int net_stream_fd(const struct net_stream *s);
bool net_stream_is_h2(const struct net_stream *s); /* TLS with ALPN h2 */
bool net_stream_is_tls(const struct net_stream *s);
