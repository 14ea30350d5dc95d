#pragma once
/* The inside of a hub, for the files of lib/relay only. */
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/relay/relay_hub.h"
#include "lib/relay/relay_links.h"
#include "lib/relay/relay_queue.h"

enum relay_hub_state {
	RELAY_HUB_HELLO,
	RELAY_HUB_READY,
	RELAY_HUB_CLOSING /* CLOSE will be or has been handed out */
};

/* An id somebody has or asks about. Lives while either is true. */
struct relay_topic {
	struct map_node node;
	struct relay_id id;
	struct relay_hub_peer *peer; /* null: not at this hub */
	struct relay_link *link;     /* to the hub where it is; null: ours, or offline */
	uint64_t stamp;              /* of the connection that has the id; among several hubs */
	struct list subs;
};

enum relay_news {
	RELAY_NEWS_NONE,
	RELAY_NEWS_ONLINE,
	RELAY_NEWS_OFFLINE
};

struct relay_sub_key {
	uint64_t number; /* of the subscriber */
	struct relay_id id;
	uint8_t pad[4];
};

struct relay_sub {
	struct map_node node;
	struct relay_sub_key key;
	struct list of_topic;
	struct list of_peer;
	struct list news_link; /* in peer->news while news is not NONE */
	struct relay_topic *topic;
	struct relay_hub_peer *peer;
	uint8_t news; /* enum relay_news: the last state not told yet */
	bool want_online;
};

/* Another hub of the same relay, as this one sees it. */
struct relay_link {
	unsigned shard;
	struct relay_queue out; /* records for it (relay_links.c) */
	size_t waiting;         /* bytes it had not fetched when we last looked */
	bool behind;
	uint32_t flow[RELAY_QUEUE_FLOWS]; /* bytes of each while it is behind */
	uint64_t seen;                    /* stamp of the last connection it told us */
	/* The last destination of what comes from there. */
	struct relay_topic *last;
	uint64_t last_epoch;
};

struct relay_hub_peer {
	struct list all;
	struct list dirty; /* has something for poll */
	struct heap_node timer;
	void *user;
	uint64_t number;
	struct relay_topic *topic; /* null before Auth and once replaced */
	struct list subs;
	struct list news;
	size_t nsubs;
	struct relay_queue out;
	/* The last destination: most senders talk to one peer for long. */
	struct relay_topic *last;
	uint64_t last_epoch;
	ln_time last_transport; /* 0: none yet */
	ln_time deadline;       /* HELLO: Auth; READY: Close of a drain */
	ln_time health_send, health_look, stall;
	uint8_t state;  /* enum relay_hub_state */
	uint8_t reason; /* enum relay_hub_reason */
	uint8_t flow;   /* which share of a queue its messages count to */
	bool close_given, blocked, check_due, answered;
	unsigned missed;
};

struct relay_hub {
	struct relay_hub_conf conf;
	char *instance_url;
	struct relay_token_key *keys;
	size_t nkeys;
	struct list peers;
	size_t npeers;
	struct list dirty;
	struct heap timers;
	struct map topics;
	struct map subs;
	struct relay_pool pool;
	size_t transport_chunks; /* of the pool, for Transport messages */
	uint64_t next_number;
	uint64_t epoch; /* counts freed topics: cached ones of before are not looked at */
	bool draining;
	struct relay_hub_counters counters;
	unsigned nshards;
	struct relay_link *links; /* nshards of them, our own unused; null: alone */
	size_t link_max;          /* bytes that may wait for one of them */
	uint64_t last_stamp;
};

/* --- relay_hub.c ------------------------------------------------------------------------------*/

void relay_hub_touch(struct relay_hub *h, struct relay_hub_peer *p); /* poll will look at it */
/* Room for one control message of n bytes, framed; null: it has been closed as stalled. */
uint8_t *relay_hub_control(struct relay_hub *h, struct relay_hub_peer *p, size_t n);

/* Takes the place of whoever has the id of t here. */
void relay_hub_replace(struct relay_hub *h, struct relay_topic *t);
/*
 * Room for a Transport message of n bytes in the queue of a peer; null: it is behind, and that was
 * counted. *said: what relay_hub_input() says.
 */
uint8_t *relay_hub_transport(struct relay_hub *h, struct relay_hub_peer *to, size_t n,
			     unsigned flow, int *said);

/* --- relay_links.c ----------------------------------------------------------------------------*/

void relay_links_init(struct relay_hub *h);
void relay_links_fini(struct relay_hub *h);
/* A peer of ours has the id now, or no longer. */
void relay_links_joined(struct relay_hub *h, struct relay_topic *t, ln_time now);
void relay_links_left(struct relay_hub *h, struct relay_topic *t);
/* A Transport message of a peer of ours for an id elsewhere. enum relay_hub_said. */
int relay_links_forward(struct relay_hub *h, const struct relay_hub_peer *from,
			const struct relay_topic *t, struct slice msg);

/* --- relay_subs.c -----------------------------------------------------------------------------*/

struct relay_topic *relay_subs_find(const struct relay_hub *h, const struct relay_id *id);
struct relay_topic *relay_subs_get(struct relay_hub *h, const struct relay_id *id);
bool relay_subs_is_online(const struct relay_topic *t);
void relay_subs_release(struct relay_hub *h, struct relay_topic *t); /* frees it when unused */
void relay_subs_add(struct relay_hub *h, struct relay_hub_peer *p, struct slice msg);
void relay_subs_remove(struct relay_hub *h, struct relay_hub_peer *p, struct slice msg);
void relay_subs_clear(struct relay_hub *h, struct relay_hub_peer *p);
void relay_subs_online(struct relay_hub *h, struct relay_topic *t);
void relay_subs_offline(struct relay_hub *h, struct relay_topic *t);
/* Queues the news of p as state messages. */
void relay_subs_tell(struct relay_hub *h, struct relay_hub_peer *p);
