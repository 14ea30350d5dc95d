#pragma once
/*
 * The command line's end of the daemon's local API: one connection, one call at a time, each call
 * returning when it is answered. Errors are those of gRPC; what a person reads is in `text`.
 */
#include "lib/base/str.h"

#include "src/net/net_grpc.h"

struct linnet_daemon {
	struct ev_loop *loop;
	struct grpc_channel *channel;
	char address[256]; /* as used, after the fallback */
	/* The call in flight. */
	bool done;
	enum grpc_status status;
	struct str reply;
	struct str text;
	const char *doing; /* shown when a call takes longer than two seconds; may be null */
};

/*
 * `address` is unix://PATH or tcp://HOST:PORT. fallback: when the socket does not exist and exactly
 * one *.sock lies in `fallback`, that one is used (null: no fallback). patient: wait up to 10 s for
 * a daemon that is just starting. LN_E_MALFORMED, or -errno with what to do in f.
 */
LN_MUST_CHECK int linnet_daemon_open(struct linnet_daemon *d, const char *address,
				     const char *fallback, bool patient, struct ln_fail *f);
void linnet_daemon_close(struct linnet_daemon *d);
/*
 * Calls a method ("Status") and waits; limit in ns from now. True when it was answered with OK;
 * then d->reply holds the message, else d->status and d->text the reason.
 */
bool linnet_daemon_call(struct linnet_daemon *d, const char *method, const struct str *request,
			ln_time limit);
/* The fallback rule alone. */
void linnet_daemon_resolve(const char *address, const char *folder, char *dst, size_t size);
