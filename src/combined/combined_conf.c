#include "src/combined/combined_conf.h"

#include <string.h>

/* --- checks of single values ------------------------------------------------------------------*/

static const char *check_listen(const char *text)
{
	struct combined_listen l;
	return text[0] == '\0' || combined_listen_parse(text, &l) == 0
		       ? NULL
		       : "ADDRESS:PORT with an IP address, or :PORT for every address";
}

static const char *check_exposed(const char *text)
{
	struct url u;
	return text[0] == '\0' || combined_url_parse(text, NULL, &u) == 0
		       ? NULL
		       : "https://HOST[:PORT] or http://HOST[:PORT], as agents reach this server";
}

static const char *check_signal(const char *text)
{
	struct url u;
	bool good = text[0] == '\0' || combined_url_parse(text, NULL, &u) == 0 ||
		    (combined_url_parse(text, "http://", &u) == 0 && u.port_given);
	return good ? NULL : "HOST:PORT, https://HOST[:PORT] or http://HOST[:PORT]";
}

static const char *check_stun(const char *text)
{
	struct url u;
	bool good =
		strncmp(text, "stun:", 5) == 0 && combined_url_parse(text + 5, "http://", &u) == 0;
	return good ? NULL : "stun:HOST[:PORT]";
}

static const char *check_turn(const char *text)
{
	bool tls = strncmp(text, "turns:", 6) == 0;
	const char *host = text + (tls ? 6 : 5), *rest = strchr(text, '?');
	char bare[URL_AUTHORITY_TEXT + 1] = "";
	struct url u;
	size_t n = rest != NULL ? (size_t)(rest - text) : strlen(text);
	bool good = (tls || strncmp(text, "turn:", 5) == 0) &&
		    (rest == NULL || strcmp(rest, "?transport=udp") == 0 ||
		     strcmp(rest, "?transport=tcp") == 0) &&
		    n - (size_t)(host - text) < sizeof(bare);
	if (good)
		memcpy(bare, host, n - (size_t)(host - text));
	good = good && combined_url_parse(bare, "http://", &u) == 0;
	return good ? NULL : "turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]";
}

static const char *check_relay(const char *text)
{
	bool tls = strncmp(text, "rels://", 7) == 0;
	struct url u;
	bool good = text[0] == '\0' || ((tls || strncmp(text, "rel://", 6) == 0) &&
					combined_url_parse(text + (tls ? 7 : 6),
							   tls ? "https://" : "http://", &u) == 0);
	return good ? NULL : "rels://HOST[:PORT] or rel://HOST[:PORT], without a path";
}

static const char *check_level(const char *text)
{
	static const char *const levels[] = { "panic", "fatal", "error", "warn",
					      "info",  "debug", "trace" };
	for (size_t i = 0; i < LN_COUNT(levels); i++)
		if (strcmp(levels[i], text) == 0)
			return NULL;
	return "panic, fatal, error, warn, info, debug, trace";
}

static const char *check_engine(const char *text)
{
	return strcmp(text, "sqlite") == 0 ? NULL : "sqlite (other databases come later)";
}

static const char *check_not_empty(const char *text)
{
	return text[0] != '\0' ? NULL : "a path";
}

static const char *check_address(const char *text)
{
	struct ip_addr a;
	return text[0] == '\0' || ip_parse(slice_str(text), &a) == 0 ? NULL : "an IP address";
}

/* --- the table --------------------------------------------------------------------------------*/

#define AT(m) .offset = offsetof(struct combined_conf, m)
#define LATER(k, text)                                                                             \
 {                                                                                                 \
  .key = (k), .type = CONF_ANY, .flags = CONF_LATER, .help = (text)                                \
 }
#define LATER_SECRET(k, text)                                                                      \
 {                                                                                                 \
  .key = (k), .type = CONF_ANY, .flags = CONF_LATER | CONF_SECRET, .help = (text)                  \
 }

const struct svc_conf_row combined_conf_rows[] = {
	{ .key = "server.listenAddress",
	  .type = CONF_STR,
	  AT(listen),
	  .env = "LINNET_LISTEN_ADDRESS",
	  .flag = "listen",
	  .arg = "ADDR:PORT",
	  .check = check_listen,
	  .help = "TCP address of all services; :443 with a certificate or a file, else :80" },
	{ .key = "server.exposedAddress",
	  .type = CONF_STR,
	  AT(exposed),
	  .env = "LINNET_EXPOSED_ADDRESS",
	  .flag = "exposed-address",
	  .arg = "URL",
	  .check = check_exposed,
	  .help = "http(s)://HOST[:PORT] as agents reach this server" },
	{ .key = "server.stunPorts",
	  .type = CONF_INT_LIST,
	  AT(stun_ports),
	  .preset = "3478",
	  .min = 1,
	  .max = 65535,
	  .env = "LINNET_STUN_PORTS",
	  .flag = "stun-ports",
	  .arg = "PORT,...",
	  .help = "UDP ports of the STUN server" },
	{ .key = "server.metricsPort",
	  .type = CONF_INT,
	  AT(metrics_port),
	  .min = 0,
	  .max = 65535,
	  .env = "NB_METRICS_PORT",
	  .flag = "metrics-port",
	  .arg = "PORT",
	  .help = "TCP port of the metrics page /metrics; 0 for none" },
	{ .key = "server.healthcheckAddress",
	  .type = CONF_STR,
	  AT(health_address),
	  .env = "NB_HEALTH_LISTEN_ADDRESS",
	  .flag = "health-listen-address",
	  .arg = "ADDR:PORT",
	  .check = check_listen,
	  .help = "address of the health pages /health, /livez and /readyz; default none" },
	{ .key = "server.logLevel",
	  .type = CONF_STR,
	  AT(log_level),
	  .flags = CONF_RELOAD,
	  .preset = "info",
	  .env = "LINNET_LOG_LEVEL",
	  .flag = "log-level",
	  .arg = "LEVEL",
	  .check = check_level,
	  .help = "error, warn, info, debug or trace" },
	{ .key = "server.logFile",
	  .type = CONF_STR,
	  AT(log_file),
	  .preset = "console",
	  .env = "LINNET_LOG_FILE",
	  .flag = "log-file",
	  .arg = "WHERE",
	  .check = check_not_empty,
	  .help = "console, journal, syslog or a path; several with commas" },
	{ .key = "server.tls.certFile",
	  .type = CONF_STR,
	  AT(cert_file),
	  .env = "LINNET_CERT_FILE",
	  .flag = "cert-file",
	  .arg = "FILE",
	  .help = "certificate chain (PEM); reread on SIGHUP" },
	{ .key = "server.tls.keyFile",
	  .type = CONF_STR,
	  AT(key_file),
	  .env = "LINNET_CERT_KEY",
	  .flag = "cert-key",
	  .arg = "FILE",
	  .help = "private key of the certificate (PEM)" },
	LATER("server.tls.letsencrypt", "certificates by ACME"),
	{ .key = "server.authSecret",
	  .type = CONF_STR,
	  .flags = CONF_SECRET,
	  AT(auth_secret),
	  .env = "NB_AUTH_SECRET",
	  .flag = "auth-secret",
	  .arg = "TEXT",
	  .help = "secret of our relay; default: made once and kept in the data folder" },
	{ .key = "server.dataDir",
	  .type = CONF_STR,
	  AT(data_dir),
	  .preset = "/var/lib/linnet",
	  .env = "LINNET_DATA_DIR",
	  .flag = "data-dir",
	  .arg = "DIR",
	  .check = check_not_empty,
	  .help = "folder of the database and the administration socket; made when missing" },
	{ .key = "server.stuns[].uri",
	  .type = CONF_STR_LIST,
	  AT(stuns),
	  .env = "LINNET_STUNS",
	  .flag = "stuns",
	  .arg = "URI,...",
	  .check = check_stun,
	  .help = "STUN servers for the agents instead of our own, stun:HOST:PORT" },
	LATER("server.stuns[].proto", "transport of a STUN server; udp is what we tell agents"),
	LATER("server.stuns[].username", "user name at a STUN server"),
	LATER_SECRET("server.stuns[].password", "password at a STUN server"),
	{ .key = "server.relays.addresses",
	  .type = CONF_STR_LIST,
	  AT(relays),
	  .env = "LINNET_RELAYS",
	  .flag = "relays",
	  .arg = "URL,...",
	  .check = check_relay,
	  .help = "relays for the agents instead of our own, rel(s)://HOST[:PORT]" },
	{ .key = "server.relays.credentialsTTL",
	  .type = CONF_DURATION,
	  AT(relay_ttl),
	  .preset = "24h",
	  .min = 4 * LN_SEC,
	  .max = 366 * 24 * LN_HOUR,
	  .env = "LINNET_RELAY_TTL",
	  .help = "life of a relay token; agents get a new one after three quarters of it" },
	{ .key = "server.relays.secret",
	  .type = CONF_STR,
	  .flags = CONF_SECRET,
	  AT(relay_secret),
	  .env = "LINNET_RELAY_SECRET",
	  .help = "secret of those relays; default server.authSecret" },
	{ .key = "server.signalUri",
	  .type = CONF_STR,
	  AT(signal_uri),
	  .env = "LINNET_SIGNAL_URI",
	  .flag = "signal-uri",
	  .arg = "HOST:PORT",
	  .check = check_signal,
	  .help = "signal server for the agents instead of our own" },
	{ .key = "server.disableAnonymousMetrics",
	  .type = CONF_BOOL,
	  AT(no_metrics),
	  .flags = CONF_MOOT,
	  .help = "accepted: linnet reports to nobody" },
	{ .key = "server.disableGeoliteUpdate",
	  .type = CONF_BOOL,
	  AT(no_geolite),
	  .flags = CONF_MOOT,
	  .help = "accepted: linnet fetches no location data" },
	LATER("server.auth", "identity provider and sign-on"),
	{ .key = "server.store.engine",
	  .type = CONF_STR,
	  AT(store_engine),
	  .preset = "sqlite",
	  .env = "NETBIRD_STORE_ENGINE",
	  .check = check_engine,
	  .help = "database" },
	{ .key = "server.store.file",
	  .type = CONF_STR,
	  AT(store_file),
	  .env = "NB_STORE_ENGINE_SQLITE_FILE",
	  .help = "database file; default store.db in the data folder" },
	LATER_SECRET("server.store.dsn", "address of another database"),
	LATER_SECRET("server.store.encryptionKey", "key of encrypted columns"),
	LATER("server.activityStore", "store of the audit log"),
	LATER("server.authStore", "store of the identity provider"),
	LATER("server.reverseProxy", "proxies whose word on addresses is taken"),
	LATER("server.agentNetwork", "prices of agent networks"),
	{ .key = "server.supportedSyncMessageVersions",
	  .type = CONF_INT,
	  AT(sync_version),
	  .preset = "1",
	  .max = 1,
	  .help = "newest form of the map sent to agents that know it; 0: the old, larger one" },
	LATER("server.perAccountSupportedSyncMessageVersions", "the same for single accounts"),

	{ .key = "linnet.legacyPorts",
	  .type = CONF_BOOL,
	  AT(legacy_ports),
	  .env = "LINNET_LEGACY_PORTS",
	  .flag = "legacy-ports",
	  .help = "also listen on TCP 33073 (management) and 10000 (signal)" },
	{ .key = "linnet.drainTimeout",
	  .type = CONF_DURATION,
	  AT(drain_timeout),
	  .preset = "10s",
	  .min = 100 * LN_MSEC,
	  .max = 10 * LN_MINUTE,
	  .env = "LINNET_DRAIN_TIMEOUT",
	  .flag = "drain-timeout",
	  .help = "how long a stopping server waits for its connections" },
	{ .key = "linnet.maxConnections",
	  .type = CONF_INT,
	  AT(max_connections),
	  .min = 0,
	  .max = 1000000,
	  .env = "LINNET_MAX_CONNECTIONS",
	  .help = "most TCP connections at once; 0 for what the descriptor limit allows" },
	{ .key = "linnet.maxPerSource",
	  .type = CONF_INT,
	  AT(max_per_source),
	  .preset = "4096",
	  .min = 1,
	  .max = 1000000,
	  .env = "LINNET_MAX_PER_SOURCE",
	  .help = "most connections from one IPv4 address or IPv6 /64; raise it behind a proxy" },
	{ .key = "linnet.adminSocket",
	  .type = CONF_STR,
	  AT(admin_socket),
	  .env = "LINNET_ADMIN_SOCKET",
	  .flag = "admin-socket",
	  .arg = "PATH",
	  .help = "administration socket; default admin.sock in the data folder" },
	{ .key = "linnet.relay.exposedAddress",
	  .type = CONF_STR,
	  AT(relay_exposed),
	  .env = "NB_EXPOSED_ADDRESS",
	  .flag = "relay-exposed-address",
	  .arg = "URL",
	  .check = check_relay,
	  .help = "rel(s)://HOST[:PORT] of our relay; default from server.exposedAddress" },
	{ .key = "linnet.relay.maxPeers",
	  .type = CONF_INT,
	  AT(relay_max_peers),
	  .min = 0,
	  .max = 1000000,
	  .env = "LINNET_RELAY_MAX_PEERS",
	  .help = "most peers at the relay; 0 for as many as connections" },
	{ .key = "linnet.relay.loops",
	  .type = CONF_INT,
	  AT(relay_loops),
	  .min = 0,
	  .max = 16,
	  .env = "LINNET_RELAY_LOOPS",
	  .flag = "relay-loops",
	  .arg = "N",
	  .help = "event loops of the relay; 0 for one per processor, one below 4 processors" },
	{ .key = "linnet.relay.withoutQuic",
	  .type = CONF_BOOL,
	  AT(relay_without_quic),
	  .env = "LINNET_RELAY_WITHOUT_QUIC",
	  .help = "no QUIC on the UDP port of the listen address; with a certificate there is one" },
	{ .key = "linnet.relay.healthThreshold",
	  .type = CONF_INT,
	  AT(relay_health_threshold),
	  .preset = "1",
	  .min = 1,
	  .max = 1000,
	  .env = "NB_RELAY_HC_ATTEMPT_THRESHOLD",
	  .help = "unanswered health checks in a row after which a peer is cut off" },
	{ .key = "linnet.turn.uris",
	  .type = CONF_STR_LIST,
	  AT(turns),
	  .env = "LINNET_TURNS",
	  .flag = "turns",
	  .arg = "URI,...",
	  .check = check_turn,
	  .help = "TURN servers for agents that have no relay, turn:HOST[:PORT][?transport=udp|tcp]" },
	{ .key = "linnet.turn.secret",
	  .type = CONF_STR,
	  .flags = CONF_SECRET,
	  AT(turn_secret),
	  .env = "LINNET_TURN_SECRET",
	  .help = "secret of their time-based credentials, coturn's static-auth-secret" },
	{ .key = "linnet.turn.credentialsTTL",
	  .type = CONF_DURATION,
	  AT(turn_ttl),
	  .preset = "12h",
	  .min = 4 * LN_SEC,
	  .max = 366 * 24 * LN_HOUR,
	  .env = "LINNET_TURN_TTL",
	  .help = "life of such credentials; agents get new ones after three quarters of it" },
	{ .key = "linnet.turn.username",
	  .type = CONF_STR,
	  AT(turn_username),
	  .env = "LINNET_TURN_USERNAME",
	  .help = "user name at the TURN servers, without a secret" },
	{ .key = "linnet.turn.password",
	  .type = CONF_STR,
	  .flags = CONF_SECRET,
	  AT(turn_password),
	  .env = "LINNET_TURN_PASSWORD",
	  .help = "password of that user" },
	{ .key = "linnet.signal.sendTimeout",
	  .type = CONF_DURATION,
	  AT(signal_send_timeout),
	  .preset = "10s",
	  .min = 100 * LN_MSEC,
	  .max = LN_HOUR,
	  .env = "NB_SIGNAL_SEND_TIMEOUT",
	  .help = "a receiver that takes nothing for so long is cut off" },
	{ .key = "linnet.signal.maxMessage",
	  .type = CONF_INT,
	  AT(signal_max_message),
	  .preset = "65536",
	  .min = 1024,
	  .max = 4194304,
	  .env = "LINNET_SIGNAL_MAX_MESSAGE",
	  .help = "largest signal message in bytes" },
	{ .key = "linnet.signal.rate",
	  .type = CONF_INT,
	  AT(signal_rate),
	  .preset = "10000",
	  .min = 0,
	  .max = 1000000,
	  .env = "LINNET_SIGNAL_RATE",
	  .help = "most signal messages a second from one IPv4 address or IPv6 /64; 0 is no limit" },
	{ .key = "linnet.stun.address",
	  .type = CONF_STR,
	  AT(stun_address),
	  .env = "LINNET_STUN_ADDRESS",
	  .flag = "stun-address",
	  .arg = "ADDR",
	  .check = check_address,
	  .help = "address of the STUN server; default every address, IPv4 and IPv6" },
	{ .key = "linnet.stun.rate",
	  .type = CONF_INT,
	  AT(stun_rate),
	  .preset = "50",
	  .min = 1,
	  .max = 1000000,
	  .env = "LINNET_STUN_RATE",
	  .help = "STUN answers per second to one /24 or /56" },
};

const size_t combined_conf_nrows = LN_COUNT(combined_conf_rows);
