#pragma once
/*
 * The generator's two halves: sync_agent.c is one agent, sync_load.c the phases and the command
 * line. One loop, one thread, one load.
 */
#include "lib/base/arena.h"
#include "lib/crypto/box.h"
#include "lib/wire/url.h"

#include "src/ev/ev.h"
#include "src/net/net_grpc.h"

struct agent {
	struct wg_secret secret;
	struct wg_key key;
	struct box_key box;
	struct grpc_channel *channel;
	struct grpc_call *sync;
	unsigned number;
	bool registered, answered;
	struct ev_timer retry;
	ln_time backoff;
	bool asking;       /* Login or Logout of a guest is under way: it may not be freed */
	uint64_t answers;  /* messages of the current stream */
	uint64_t serial;   /* of the newest map that was read */
	ln_time answer_at; /* of the newest message */
	size_t npeers;     /* in the newest map */
};

struct load {
	struct ev_loop *loop;
	struct url url;
	char host[256];
	const char *setup_key, *ca;
	pid_t server;
	unsigned npeers, at_once;
	int sync_version; /* the agents announce */
	struct wg_key server_key;
	struct agent **agents;
	unsigned nagents;
	/* the running phase */
	unsigned next, busy, done, failed, retries;
	uint64_t messages, bytes;
	bool reading;    /* open the boxes */
	unsigned checks; /* agents say something new each time, so that they get a map */
	bool over;
	ln_time began;
	ln_time *times;
	unsigned ntimes;
};

extern struct load load;

/* sync_load.c: something that was under way has ended. */
void phase_step(void);

struct agent *agent_new(unsigned number);
void agent_free(struct agent *a); /* its connection is cut before */
void agent_connect(struct agent *a);
/* The connection only: the channel keeps its TLS ticket, as that of an agent does. */
void agent_drop(struct agent *a);
void agent_cut(struct agent *a);
/*
 * Opens the stream. When it ends without an answer the agent comes back after a while, as agents
 * do in a storm that the server sheds: 0 to 1.6 s at first, then ever longer, up to 20 s.
 */
void agent_sync(struct agent *a);
void agent_login(struct agent *a);
/* The plain text of a message to this agent, in the arena. False: it cannot be read. */
bool agent_open_reply(const struct agent *a, struct slice msg, struct arena *arena,
		      struct slice *ret);
void agent_send_login(struct agent *a, grpc_unary_fn *done);
void agent_logout(struct agent *a);
