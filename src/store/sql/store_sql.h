#pragma once
/*
 * Every statement the store runs, by name. One text for SQLite and PostgreSQL wherever they agree;
 * parameters are numbered ($1 is understood by both). A name is used in exactly one function.
 */

/* Columns of struct store_peer in the order of store_peer_read(). */
#define STORE_PEER_COLUMNS                                                                         \
 "p.id, p.wg_key, p.ssh_key, p.name, p.dns_label, p.ip_v4, p.ip_v6, p.ephemeral, "                 \
 "p.peer_status_connected, p.peer_status_session_started_at, p.peer_status_last_seen, "            \
 "p.created_at, p.meta_flags, p.meta_capabilities, p.meta_sync_version, p.meta_hostname, "         \
 "p.meta_go_os, p.meta_kernel, p.meta_core, p.meta_platform, p.meta_os, p.meta_version, "          \
 "p.meta_ui_version, p.meta_kernel_version, p.meta_os_version, p.meta_serial_number, "             \
 "p.meta_product, p.meta_manufacturer, p.meta_cloud, p.meta_environment, "                         \
 "p.meta_addresses, p.meta_files"

/* clang-format off */
#define STORE_SQL(X)                                                                               \
X(TX_READ,     "BEGIN")                                                                            \
X(TX_WRITE,    "BEGIN IMMEDIATE")                                                                  \
X(TX_COMMIT,   "COMMIT")                                                                           \
X(TX_ROLLBACK, "ROLLBACK")                                                                         \
/* A transaction within a group (store_db.h). */                                                   \
X(TX_SAVE,     "SAVEPOINT one")                                                                    \
X(TX_RELEASE,  "RELEASE one")                                                                      \
X(TX_BACK,     "ROLLBACK TO one")                                                                  \
                                                                                                   \
X(FOREIGN_CHANGES, "PRAGMA data_version")                                                          \
                                                                                                   \
X(SETTING_GET, "SELECT value FROM store_settings WHERE name = $1")                                 \
X(SETTING_SET, "INSERT INTO store_settings (name, value) VALUES ($1, $2) "                         \
	"ON CONFLICT (name) DO UPDATE SET value = excluded.value")                                 \
                                                                                                   \
X(ACCOUNT_GET, "SELECT id, serial, network_v4, network_v6, dns_domain, lazy_connections "          \
	"FROM accounts ORDER BY created_at, id LIMIT 1")                                           \
X(ACCOUNT_INSERT, "INSERT INTO accounts (id, serial, network_v4, network_v6, dns_domain, "         \
	"lazy_connections, created_at) VALUES ($1, 0, $2, $3, $4, $5, $6)")                        \
X(ACCOUNT_SET_LAZY, "UPDATE accounts SET lazy_connections = $2 WHERE id = $1")                     \
X(ACCOUNT_SERIAL_RAISE, "UPDATE accounts SET serial = serial + 1 WHERE id = $1 "                   \
	"RETURNING serial")                                                                        \
X(ACCOUNT_IPV6_GROUP_ADD, "INSERT INTO account_ipv6_groups (account_id, group_id) "                \
	"VALUES ($1, $2)")                                                                         \
                                                                                                   \
X(KEY_INSERT, "INSERT INTO setup_keys (id, account_id, name, key_hash, key_masked, reusable, "     \
	"ephemeral, revoked, expires_at, usage_limit, used_times, last_used_at, created_at) "      \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, $8, $9, 0, 0, $10)")                           \
X(KEY_GROUP_INSERT, "INSERT INTO setup_key_groups (key_id, group_id) VALUES ($1, $2) "             \
	"ON CONFLICT DO NOTHING")                                                                  \
X(KEY_LIST, "SELECT id, name, key_hash, key_masked, reusable, ephemeral, revoked, expires_at, "    \
	"usage_limit, used_times, last_used_at, created_at FROM setup_keys "                       \
	"ORDER BY created_at, id")                                                                 \
X(KEY_GROUPS, "SELECT g.id, g.name FROM setup_key_groups k JOIN groups g ON g.id = k.group_id "    \
	"WHERE k.key_id = $1 ORDER BY g.name, g.id")                                               \
X(KEY_REVOKE, "UPDATE setup_keys SET revoked = TRUE WHERE id = $1")                                \
X(KEY_DELETE, "DELETE FROM setup_keys WHERE id = $1")                                              \
X(KEY_FIND_USABLE, "SELECT id, ephemeral FROM setup_keys WHERE account_id = $1 "                   \
	"AND key_hash = $2 AND revoked = FALSE AND (expires_at = 0 OR expires_at > $3) "           \
	"AND (usage_limit = 0 OR used_times < usage_limit)")                                       \
X(KEY_USE, "UPDATE setup_keys SET used_times = used_times + 1, last_used_at = $2 WHERE id = $1")   \
                                                                                                   \
X(PEER_INSERT, "INSERT INTO peers (id, account_id, wg_key, ssh_key, name, dns_label, ip_v4, "      \
	"ip_v6, ephemeral, peer_status_last_seen, created_at, meta_flags, meta_capabilities, "     \
	"meta_sync_version, meta_hostname, meta_go_os, meta_kernel, meta_core, meta_platform, "    \
	"meta_os, meta_version, meta_ui_version, meta_kernel_version, meta_os_version, "           \
	"meta_serial_number, meta_product, meta_manufacturer, meta_cloud, meta_environment, "      \
	"meta_addresses, meta_files) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "                 \
	"CURRENT_TIMESTAMP, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "     \
	"$23, $24, $25, $26, $27, $28, $29, $30) ON CONFLICT DO NOTHING")                          \
X(PEER_BY_KEY, "SELECT " STORE_PEER_COLUMNS " FROM peers p WHERE p.wg_key = $1")                   \
X(PEER_BY_ID, "SELECT " STORE_PEER_COLUMNS " FROM peers p WHERE p.id = $1")                        \
X(PEER_LIST, "SELECT " STORE_PEER_COLUMNS " FROM peers p ORDER BY p.name, p.id")                   \
X(PEER_V4_LIST, "SELECT ip_v4 FROM peers WHERE account_id = $1")                                   \
X(PEER_SSH_KEY_SET, "UPDATE peers SET ssh_key = $2 WHERE id = $1")                                 \
X(PEER_META_SET, "UPDATE peers SET meta_flags = $2, meta_capabilities = $3, "                      \
	"meta_sync_version = $4, meta_hostname = $5, meta_go_os = $6, meta_kernel = $7, "          \
	"meta_core = $8, meta_platform = $9, meta_os = $10, meta_version = $11, "                  \
	"meta_ui_version = $12, meta_kernel_version = $13, meta_os_version = $14, "                \
	"meta_serial_number = $15, meta_product = $16, meta_manufacturer = $17, "                  \
	"meta_cloud = $18, meta_environment = $19, meta_addresses = $20, meta_files = $21 "        \
	"WHERE id = $1")                                                                           \
X(PEER_LABEL_TAKEN, "SELECT 1 FROM peers WHERE account_id = $1 AND dns_label = $2 AND id <> $3")   \
X(PEER_RENAME, "UPDATE peers SET name = $2, dns_label = $3 WHERE id = $1")                         \
X(PEER_POLICIES_DELETE, "DELETE FROM policies WHERE id IN (SELECT policy_id FROM policy_rules "    \
	"WHERE source_peer = $1 OR destination_peer = $1)")                                        \
X(PEER_DELETE, "DELETE FROM peers WHERE id = $1")                                                  \
X(PEER_SWEEP_LIST, "SELECT id FROM peers WHERE ephemeral = TRUE "                                  \
	"AND peer_status_connected = FALSE AND peer_status_last_seen <= "                          \
	"datetime('now', '-' || $1 || ' seconds')")                                                \
/* Spec 6.2, to the letter: a token that is not greater lost the race. */                          \
X(PEER_CONNECT, "UPDATE peers SET peer_status_connected = TRUE, "                                  \
	"peer_status_last_seen = CURRENT_TIMESTAMP, peer_status_session_started_at = $3, "         \
	"peer_status_login_expired = FALSE "                                                       \
	"WHERE account_id = $1 AND id = $2 AND peer_status_session_started_at < $3")               \
X(PEER_DISCONNECT, "UPDATE peers SET peer_status_connected = FALSE, "                              \
	"peer_status_last_seen = CURRENT_TIMESTAMP, peer_status_session_started_at = 0 "           \
	"WHERE account_id = $1 AND id = $2 AND peer_status_session_started_at = $3")               \
X(PEER_DISCONNECT_ALL, "UPDATE peers SET peer_status_connected = FALSE, "                          \
	"peer_status_last_seen = CURRENT_TIMESTAMP, peer_status_session_started_at = 0 "           \
	"WHERE peer_status_connected = TRUE OR peer_status_session_started_at <> 0")               \
                                                                                                   \
X(GROUP_LIST, "SELECT id, name FROM groups ORDER BY name, id")                                     \
X(GROUP_PEERS, "SELECT p.id, p.name FROM group_peers m JOIN peers p ON p.id = m.peer_id "          \
	"WHERE m.group_id = $1 ORDER BY p.name, p.id")                                             \
X(GROUP_GET, "SELECT name FROM groups WHERE id = $1")                                              \
X(GROUP_BY_NAME, "SELECT id FROM groups WHERE account_id = $1 AND name = $2")                      \
X(GROUP_INSERT, "INSERT INTO groups (id, account_id, name) VALUES ($1, $2, $3) "                   \
	"ON CONFLICT DO NOTHING")                                                                  \
X(GROUP_RENAME, "UPDATE groups SET name = $2 WHERE id = $1")                                       \
X(GROUP_DELETE, "DELETE FROM groups WHERE id = $1")                                                \
X(GROUP_USED_BY_POLICY, "SELECT p.name FROM policy_rule_groups g "                                 \
	"JOIN policy_rules r ON r.id = g.rule_id JOIN policies p ON p.id = r.policy_id "           \
	"WHERE g.group_id = $1 ORDER BY p.name LIMIT 1")                                           \
X(GROUP_USED_BY_KEY, "SELECT k.name FROM setup_key_groups g JOIN setup_keys k ON k.id = g.key_id " \
	"WHERE g.group_id = $1 ORDER BY k.name LIMIT 1")                                           \
X(GROUP_PEER_ADD, "INSERT INTO group_peers (group_id, peer_id) VALUES ($1, $2) "                   \
	"ON CONFLICT DO NOTHING")                                                                  \
X(GROUP_PEER_ADD_FROM_KEY, "INSERT INTO group_peers (group_id, peer_id) "                          \
	"SELECT group_id, $2 FROM setup_key_groups WHERE key_id = $1 ON CONFLICT DO NOTHING")      \
X(GROUP_PEER_REMOVE, "DELETE FROM group_peers WHERE group_id = $1 AND peer_id = $2")               \
X(GROUP_IPV6_FOR_KEY, "SELECT 1 FROM account_ipv6_groups i JOIN groups g ON g.id = i.group_id "    \
	"WHERE i.account_id = $1 AND (g.name = 'All' OR g.id IN "                                  \
	"(SELECT group_id FROM setup_key_groups WHERE key_id = $2)) LIMIT 1")                      \
                                                                                                   \
X(POLICY_LIST, "SELECT id, name, description, enabled FROM policies ORDER BY name, id")            \
X(POLICY_RULES, "SELECT r.id, r.name, r.enabled, r.drop_traffic, r.bidirectional, r.protocol, "    \
	"r.source_peer, sp.name, r.destination_peer, dp.name FROM policy_rules r "                 \
	"LEFT JOIN peers sp ON sp.id = r.source_peer "                                             \
	"LEFT JOIN peers dp ON dp.id = r.destination_peer "                                        \
	"WHERE r.policy_id = $1 ORDER BY r.position")                                              \
X(POLICY_RULE_PORTS, "SELECT port_first, port_last FROM policy_rule_ports WHERE rule_id = $1 "     \
	"ORDER BY position")                                                                       \
X(POLICY_RULE_GROUPS, "SELECT g.id, g.name FROM policy_rule_groups x "                             \
	"JOIN groups g ON g.id = x.group_id WHERE x.rule_id = $1 AND x.side = $2 "                 \
	"ORDER BY x.position")                                                                     \
X(POLICY_INSERT, "INSERT INTO policies (id, account_id, name, description, enabled) "              \
	"VALUES ($1, $2, $3, $4, $5)")                                                             \
X(POLICY_UPDATE, "UPDATE policies SET name = $2, description = $3, enabled = $4 WHERE id = $1")    \
X(POLICY_DELETE, "DELETE FROM policies WHERE id = $1")                                             \
X(POLICY_RULES_DELETE, "DELETE FROM policy_rules WHERE policy_id = $1")                            \
X(POLICY_RULE_INSERT, "INSERT INTO policy_rules (id, policy_id, position, name, enabled, "         \
	"drop_traffic, bidirectional, protocol, source_peer, destination_peer) "                   \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")                                        \
X(POLICY_RULE_PORT_INSERT, "INSERT INTO policy_rule_ports (rule_id, position, port_first, "        \
	"port_last) VALUES ($1, $2, $3, $4)")                                                      \
X(POLICY_RULE_GROUP_INSERT, "INSERT INTO policy_rule_groups (rule_id, side, position, group_id) "  \
	"VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")                                          \
X(SNAPSHOT_PEERS, "SELECT id, wg_key, ssh_key, name, dns_label, ip_v4, ip_v6, meta_version, "      \
	"meta_capabilities, meta_flags, peer_status_requires_approval "                            \
	"FROM peers WHERE account_id = $1 ORDER BY id")                                            \
X(SNAPSHOT_PEER, "SELECT id, wg_key, ssh_key, name, dns_label, ip_v4, ip_v6, meta_version, "       \
	"meta_capabilities, meta_flags, peer_status_requires_approval "                            \
	"FROM peers WHERE account_id = $1 AND id = $2")                                            \
X(SNAPSHOT_PEER_GROUPS, "SELECT group_id FROM group_peers WHERE peer_id = $1 ORDER BY group_id")   \
X(SNAPSHOT_GROUPS, "SELECT id, name FROM groups WHERE account_id = $1 ORDER BY id")                \
X(SNAPSHOT_MEMBERS, "SELECT peer_id FROM group_peers WHERE group_id = $1 ORDER BY peer_id")

/* clang-format on */

enum store_sql {
#define X(name, text) SQL_##name,
	STORE_SQL(X)
#undef X
	SQL_COUNT
};
