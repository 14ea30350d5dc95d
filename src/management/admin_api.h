#pragma once
/*
 * Administration over a Unix socket in the data folder (mode 0600): one JSON object per line asks,
 * one JSON object per line answers. Several requests may follow each other on one connection.
 *
 *	-> {"noun": "setup-key", "verb": "create", "args": {"name": "k", "reusable": true}}
 *	<- {"ok": true, "result": {"id": "...", "name": "k", "key": "8F6C...", ...}}
 *	<- {"ok": false, "code": "not_found", "error": "there is no setup key \"k\""}
 *
 * `code` is one of invalid, not_found, conflict, denied, internal. An unknown noun, verb or
 * argument name is `invalid`. Times are text, RFC 3339 in UTC with seconds; null means never.
 * PEER, GROUP, KEY and POLICY below are an id or a name; PEER also an overlay address, a label, an
 * FQDN or a WireGuard key. A name that fits several objects is `conflict`.
 *
 * noun verb              args (? = optional)                       result
 * setup-key create       name, reusable? (false), expires? (seconds, 0 = never; default 24 h),
 *                        usage_limit? (0 = unlimited), ephemeral?,
 *                        groups? [GROUP...]                        KEYOBJ with "key": the text,
 *once setup-key list                                                   {"setup_keys": [KEYOBJ...]}
 * setup-key revoke       key: KEY                                  KEYOBJ
 * setup-key delete       key: KEY                                  {}
 * peer list                                                        {"peers": [PEEROBJ...]}
 * peer delete            peer: PEER                                {}
 * peer rename            peer: PEER, name                          PEEROBJ
 * group list                                                       {"groups": [GROUPOBJ...]}
 * group create           name, peers? [PEER...]                    GROUPOBJ
 * group rename           group: GROUP, name                        GROUPOBJ
 * group delete           group: GROUP                              {}
 * group add-peer         group: GROUP, peer: PEER                  GROUPOBJ
 * group remove-peer      group: GROUP, peer: PEER                  GROUPOBJ
 * policy list                                                      {"policies": [POLICYOBJ...]}
 * policy show            policy: POLICY                            POLICYOBJ
 * policy create          name, description?, enabled? (true),
 *                        rules: [RULE...]                          POLICYOBJ
 * policy edit            policy: POLICY, name?, description?,
 *                        enabled?, rules? [RULE...] (replaces all) POLICYOBJ
 * policy enable|disable  policy: POLICY                            POLICYOBJ
 * policy delete          policy: POLICY                            {}
 * account show                                                     ACCOUNTOBJ
 * account edit           lazy_connections: "on"|"off"              ACCOUNTOBJ
 *
 * KEYOBJ     id, name, masked ("8F6CA****"), type ("reusable"|"one-off"), expires (time|null),
 *            usage_limit, used_times, last_used (time|null), ephemeral, revoked, valid,
 *            state ("valid"|"revoked"|"expired"|"overused"), groups [{id, name}], created (time)
 * PEEROBJ    id, name, fqdn, label, ip, ipv6 (text|null), key, connected, last_seen (time|null),
 *            os, version, hostname, ephemeral, groups [{id, name}], created (time)
 * GROUPOBJ   id, name, peers [{id, name}]
 * POLICYOBJ  id, name, description, enabled, rules [RULE...]
 * RULE       id (answers only), name?, enabled? (true), action? ("accept"|"drop"),
 *            bidirectional? (true), protocol? ("all"|"tcp"|"udp"|"icmp"),
 *            ports? ["80", "8000-8010"], sources? [GROUP...], destinations? [GROUP...],
 *            source_peer? PEER, destination_peer? PEER; in answers sources and destinations are
 *            [{id, name}], the peers {id, name} or null
 * ACCOUNTOBJ id, domain, network, network_v6, serial, lazy_connections, peers, connected (counts),
 *            server_key
 */
#include <jansson.h>

#include "lib/base/err.h"

#define ADMIN_SOCKET_NAME "admin.sock" /* inside the data folder */
#define ADMIN_LINE_MAX (1024 * 1024)   /* longest request */
#define ADMIN_REPLY_MAX (64 * 1024 * 1024)

/*
 * One request, blocking, for the command line. `request` is {"noun", "verb", "args"?} and stays the
 * caller's. On success *ret_result is the `result` object; the caller owns a reference.
 *
 * Errors, with a sentence in f: LN_E_MALFORMED (invalid), LN_E_NOTFOUND, LN_E_CONFLICT, LN_E_DENIED
 * and LN_E_INTERNAL as the server said; LN_E_TIMEOUT (no answer within 30 s); LN_E_CLOSED (the
 * server went away); -errno when the socket cannot be reached (the sentence says what to do).
 */
LN_MUST_CHECK int admin_client_call(const char *socket_path, const json_t *request,
				    json_t **ret_result, struct ln_fail *f);
