#pragma once
/*
 * The settings of linnet-server: NetBird's combined config.yaml (spec auth-and-setup 5.2) under
 * `server:`, ours under `linnet:`. One table feeds the file, the command line, the environment,
 * --help, the sample and the manual page.
 */
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/time.h"
#include "lib/wire/url.h"

#include "src/svc/svc_conf.h"

struct combined_conf {
	/* server: */
	const char *listen;
	const char *exposed;
	const char *log_level;
	const char *log_file;
	const char *cert_file;
	const char *key_file;
	const char *data_dir;
	const char *signal_uri;
	const char *store_engine;
	const char *store_file;
	struct svc_conf_ints stun_ports;
	struct svc_conf_strs stuns;
	int64_t metrics_port;
	const char *health_address;
	const char *auth_secret;
	struct svc_conf_strs relays;
	ln_time relay_ttl;
	const char *relay_secret;
	bool no_metrics, no_geolite; /* accepted: there is nothing to switch off */
	/* linnet: */
	int64_t sync_version;
	bool legacy_ports;
	ln_time drain_timeout;
	int64_t max_connections, max_per_source; /* 0 = the front's default */
	const char *admin_socket;
	ln_time signal_send_timeout;
	int64_t signal_max_message, signal_rate;
	const char *relay_exposed;
	int64_t relay_max_peers; /* 0 = the relay's default */
	int64_t relay_health_threshold;
	int64_t relay_loops; /* 0 = by the number of processors */
	bool relay_without_quic;
	struct svc_conf_strs turns;
	const char *turn_secret, *turn_username, *turn_password;
	ln_time turn_ttl;
	const char *stun_address;
	int64_t stun_rate;
};

extern const struct svc_conf_row combined_conf_rows[];
extern const size_t combined_conf_nrows;

/* A host and port as people write them: ":80", "127.0.0.1:80", "[::]:80", "localhost:80". */
struct combined_listen {
	struct ip_ep ep; /* family 0: every address of the machine, IPv4 and IPv6 */
};

/* LN_E_MALFORMED. Names other than localhost are refused: a listener needs an address. */
LN_MUST_CHECK int combined_listen_parse(const char *text, struct combined_listen *ret);

/*
 * A URL without a path, with `scheme` put before it when not null; ret->path is empty.
 * LN_E_MALFORMED.
 */
LN_MUST_CHECK int combined_url_parse(const char *text, const char *scheme, struct url *ret);

/* What follows from the settings; text points into the struct or its arena. */
struct combined_plan {
	struct combined_listen listen;
	bool exposed_tls;
	char exposed_host[URL_HOST_MAX + 1]; /* no brackets */
	uint16_t exposed_port;
	char signal_uri[URL_AUTHORITY_TEXT]; /* host:port for the agents */
	bool signal_tls;
	bool local_signal, local_stun; /* false when the settings name another server */
	const char **stuns;            /* URIs for the agents */
	size_t nstuns;
	bool local_relay;      /* false when the settings name others */
	const char *relay_url; /* of our own: what peers compare byte by byte */
	const char **relays;   /* URLs for the agents */
	size_t nrelays;
	const char *relay_secret; /* "": one is made and kept at relay_secret_path */
	const char *relay_secret_path;
	const char *store_path;
	const char *admin_socket;
};

/*
 * Checks what no single row can: pairs that belong together, addresses that follow from others.
 * Allocates from the arena of c. LN_E_MALFORMED or LN_E_LIMIT with the reason in f.
 */
LN_MUST_CHECK int combined_plan_make(struct svc_conf *c, struct combined_plan *ret,
				     struct ln_fail *f);
/*
 * The address this machine would use towards the Internet (no packet is sent), else 127.0.0.1:
 * the exposed host when nobody named one.
 */
void combined_own_address(char dst[IP_TEXT_MAX]);
