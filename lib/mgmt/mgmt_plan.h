#pragma once
/*
 * The SyncResponse with a map for one receiver, put together from the shared parts of a shelf. Byte
 * for byte what mgmt_sync_response_write() makes of netmap_build(), without its structs.
 *
 * Three steps, so that a message nobody needs costs little and one that is sent is written once,
 * into the buffer it is sealed in: mgmt_plan_make (who is in it, and a fingerprint),
 * mgmt_plan_measure (its exact size), mgmt_plan_write.
 */
#include "lib/mgmt/mgmt_shelf.h"

struct mgmt_plan {
	struct mgmt_shelf *shelf;
	struct netmap_view view;
	struct mgmt_map_options opt;
	const struct mgmt_block *peers;
	struct mgmt_block **rules; /* one per part of the view */
	size_t *own;               /* the target's entry in it; beyond the last: none */
	size_t npeers_bytes, noffline_bytes, nrules_bytes;
	bool components; /* as NetworkMapEnvelope; what follows `hash` is made by measuring */
	uint64_t hash;   /* of everything the receiver is told except the serial */
	struct str head; /* SyncResponse in front of the lists */
	struct str map;  /* NetworkMap in front of the lists; or NetworkMapComponentsFull */
	struct str dns;
	struct str tail;
	size_t nmap; /* bytes of the NetworkMap */
	size_t size;
};

/* The arena must live as long as the plan. LN_E_LIMIT: arena, or a map beyond all reason. */
LN_MUST_CHECK int mgmt_plan_make(struct mgmt_plan *p, struct mgmt_shelf *shelf, size_t target,
				 ln_wall now, const struct mgmt_map_options *opt, struct arena *a);
/* Also after an error of mgmt_plan_make(). */
void mgmt_plan_free(struct mgmt_plan *p);

/*
 * For a receiver that announced syncMessageVersion 1: send what the map is computed from instead of
 * the map, a quarter of the bytes (1.7). False, and a plain map is sent, when that cannot say it:
 * nothing is seen, logins have run out, or a rule has no port at all.
 */
bool mgmt_plan_use_components(struct mgmt_plan *p);

/* Bytes of the message. `servers` may be null: no news about them. LN_E_LIMIT: beyond 256 MiB. */
LN_MUST_CHECK int mgmt_plan_measure(struct mgmt_plan *p, const struct mgmt_servers *servers,
				    const struct mgmt_deadline *deadline, size_t *ret_size);
/* Writes exactly that many bytes. */
void mgmt_plan_write(const struct mgmt_plan *p, uint8_t *dst);
