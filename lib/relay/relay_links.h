#pragma once
/*
 * Several hubs that are one relay, each with its own peers and its own thread. Every hub knows of
 * every id at which hub it is: a hub tells all others when a peer comes and goes, and Transport
 * messages go straight to the right one. So no lock and no shared table lies between a message and
 * its receiver, and a peer seen by two hubs for a moment (it came back on another thread) is
 *settled by all of them alike, in whatever order they hear of it: the newest connection wins.
 *
 * A hub gathers what it has for another; the owner carries it over, in order and without loss,
 * through a box that both threads may lock:
 *
 *	hub A: relay_links_take -> lock, relay_queue_join(box), unlock -> relay_links_posted
 *	hub B: lock, take the box, unlock -> relay_links_fetched -> relay_links_deliver until empty
 *
 * Towards a hub that does not fetch, Transport messages are bounded and shared among their senders
 * as in the queue of a receiver; what hubs tell each other about peers is never dropped.
 */
#include "lib/relay/relay_queue.h"

#define RELAY_LINKS_MAX 16

struct relay_hub;

/*
 * What waits for hub `to`, moved to *ret. False: nothing, and its box need not be looked at; true
 * with an empty *ret: it is only to be told how full the box is (relay_links_posted).
 */
bool relay_links_take(struct relay_hub *h, unsigned to, struct relay_queue *ret);
/* It is in the box now, behind so many bytes that were there before. */
void relay_links_posted(struct relay_hub *h, unsigned to, size_t before, size_t posted);
/* Mail for us has left its box; to be delivered or discarded. */
void relay_links_fetched(struct relay_hub *h, const struct relay_queue *mail);
/*
 * Handles mail from the front. RELAY_HUB_FLUSH: to be polled and written before the rest, which
 * is still there; 0: all is done.
 */
int relay_links_deliver(struct relay_hub *h, unsigned from, struct relay_queue *mail);
void relay_links_discard(struct relay_hub *h, struct relay_queue *mail);
