#pragma once
/*
 * What `linnet status` prints, as pure functions of the daemon's answer: text (summary, detail),
 * JSON and YAML, with the words, keys and order that scripts written for NetBird rely on
 * (spec agent 1.3). Time and everything else from outside is in the view.
 */
#include "lib/base/str.h"
#include "lib/daemon/daemon_msg.h"

struct linnet_status_filter {
	const char *const *ips;   /* null terminated; a null list filters nothing */
	const char *const *names; /* prefixes of the FQDN */
	const char *status;       /* idle, connecting, connected; null or "" = any */
	const char *connection;   /* P2P, Relayed; null or "" = any */
};

struct linnet_status_view {
	const struct daemon_status_response *st;
	struct linnet_status_filter filter;
	const char *platform; /* linux/amd64 */
	const char *version;  /* of the command line */
	const char *profile;
	const char *program; /* linnet, for hints */
	ln_wall now;
};

/* The daemon waits for a person: only the hint is worth printing. */
bool linnet_status_needs_login(const struct daemon_status_response *st);
void linnet_status_login_hint(const struct linnet_status_view *v, struct str *dst);

void linnet_status_summary(const struct linnet_status_view *v, struct str *dst);
void linnet_status_detail(const struct linnet_status_view *v, struct str *dst);
void linnet_status_json(const struct linnet_status_view *v, struct str *dst); /* one line */
void linnet_status_yaml(const struct linnet_status_view *v, struct str *dst);
/* The own address without its length and a newline; nothing when there is none. */
void linnet_status_address(const struct daemon_status_response *st, bool v6, struct str *dst);

/* --- shared by the text and the JSON/YAML file ------------------------------------------------ */

/*
 * The peers that pass the filter, by IPv4 address; an array of pointers to free(). ret_connected
 * counts among them.
 */
const struct daemon_peer_state **linnet_status_peers(const struct linnet_status_view *v,
						     size_t *ret_n, size_t *ret_connected);
bool linnet_status_is_connected(const struct daemon_peer_state *p);
const char *linnet_status_connection(const struct daemon_peer_state *p); /* P2P, Relayed, - */
const char *linnet_status_severity(int severity);
const char *linnet_status_category(int category);

/* --- words ------------------------------------------------------------------------------------ */

#define LINNET_WORD_MAX 64

void linnet_status_ago(ln_wall at, ln_wall now, char dst[LINNET_WORD_MAX]);
void linnet_status_size(int64_t bytes, char dst[LINNET_WORD_MAX]);
/* As Go prints a duration: 174.458µs, 1.5s, 1h0m0s. */
void linnet_status_span(ln_time t, char dst[LINNET_WORD_MAX]);
/* RFC 3339 in the local zone with the nanoseconds that are not zero. */
void linnet_status_time(ln_wall at, char dst[LINNET_WORD_MAX]);
/* "3d 4h", "59m", "58s"; "expired 1m ago" for what has passed. */
void linnet_status_until(ln_wall at, ln_wall now, char dst[LINNET_WORD_MAX]);
