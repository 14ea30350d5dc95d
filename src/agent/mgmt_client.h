#pragma once
/*
 * The agent's side of the management server: one gRPC channel, the server key, sealed calls, the
 * Sync stream with its back-off, the Job stream (spec management-protocol 3 and 4.5).
 *
 * Owner: one network. Callbacks run on the loop and never inside a call into this header.
 */
#include "lib/base/err.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"
#include "lib/mgmt/mgmt_msg.h"

#include "src/agent/agent_url.h"
#include "src/ev/ev.h"
#include "src/net/net_grpc.h"

struct mgmt_client_conf {
	struct agent_url url;
	const struct wg_secret *key; /* stays valid */
	uint32_t fwmark;
	/* Fills *ret from the arena: what is said about this host in Sync. */
	void (*meta)(void *user, struct arena *a, struct mgmt_meta *ret);
	void (*on_sync)(void *user, const struct mgmt_sync_response *m);
	/* Sync or Job was refused with PermissionDenied: log in again (spec 4.5). */
	void (*on_denied)(void *user, const char *text);
	/* The Sync stream is open (first message seen) or not; why: one sentence, "" when it is. */
	void (*on_state)(void *user, bool connected, const char *why);
	void *user;
};

struct mgmt_client;
struct mgmt_client *mgmt_client_new(struct ev_loop *l, const struct mgmt_client_conf *conf);
/* No callback comes afterwards. */
void mgmt_client_free(struct mgmt_client *c);

/*
 * status GRPC_OK: response is valid during the callback. Otherwise text says why; response null.
 * text is the server's, or ours in words when no server answered.
 */
typedef void mgmt_client_login_fn(void *user, enum grpc_status status, const char *text,
				  const struct mgmt_login_response *response);
/* One Login; the request is copied. A login in flight is replaced (its callback does not come). */
void mgmt_client_login(struct mgmt_client *c, const struct mgmt_login_request *m,
		       mgmt_client_login_fn *done, void *user);
typedef void mgmt_client_done_fn(void *user, enum grpc_status status, const char *text);
void mgmt_client_logout(struct mgmt_client *c, mgmt_client_done_fn *done, void *user);

/* Opens Sync and Job and keeps them open until mgmt_client_stop(). */
void mgmt_client_start(struct mgmt_client *c);
void mgmt_client_stop(struct mgmt_client *c);
/* The host's facts changed: SyncMeta. */
void mgmt_client_send_meta(struct mgmt_client *c);
/* The local address of the connection is gone: dial again at once. */
void mgmt_client_redial(struct mgmt_client *c);
/* A name may have another address: dial again at once unless we are connected. */
void mgmt_client_hurry(struct mgmt_client *c);
bool mgmt_client_connected(const struct mgmt_client *c);
