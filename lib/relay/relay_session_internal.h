#pragma once
/* The inside of a session, for the files of lib/relay only. */
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/relay/relay_session.h"

enum relay_session_state {
	SESSION_WAITING, /* for the transport */
	SESSION_HELLO,
	SESSION_READY,
	SESSION_ENDING, /* ENDED is still to be told */
	SESSION_ENDED
};

struct relay_session_peer {
	struct map_node node;
	struct relay_id id;
	void *user;
	struct list todo; /* in session.todo when one of the flags below is set */
	struct heap_node timer;
	ln_time give_up; /* while opening */
	bool subscribe;  /* to be sent */
	bool online;
	bool tell_online;
	struct relay_session_early *early; /* to be told once it is online */
};

/* The newest payload of somebody who is not online yet. */
struct relay_session_early {
	struct map_node node;
	struct list age; /* oldest first */
	struct relay_id id;
	ln_time until;
	size_t n;
	uint8_t bytes[];
};

/* An id that is no longer open: Unsubscribe, and its event. */
struct relay_session_parting {
	struct list link;
	struct relay_id id;
	void *user;
	bool tell;
	enum relay_session_event event;
};

struct relay_session {
	struct relay_session_conf conf;
	uint8_t token[RELAY_TOKEN_MAX];
	enum relay_session_state state;
	enum relay_session_end end;
	char url[RELAY_AUTH_RESPONSE_MAX];
	bool send_hello, send_health, send_close, tell_ready;
	ln_time hello_limit, hello_again, look;
	bool healthy; /* since the last look */
	unsigned missed;
	struct map peers;
	struct list todo;
	struct list partings;
	struct heap timers;
	struct map early;
	struct list early_by_age;
	ln_time unused_since;
	ln_time now; /* the latest seen: of calls without a time of their own */
};

void relay_session_run(struct relay_session *s, ln_time now); /* what is due */
