#pragma once
/*
 * The system service as data: what `linnet service install` remembers (service.json), and the unit
 * it writes. No processes here; linnet_service.c runs systemctl.
 */
#include "lib/base/arena.h"
#include "lib/base/str.h"

#define LINNET_UNIT_LIST 64

struct linnet_unit {
	const char *name;    /* without .service */
	const char *program; /* path of linnetd */
	const char *log_level, *daemon_addr, *management_url, *config_path;
	const char *log_files[LINNET_UNIT_LIST];
	size_t nlog_files;
	bool disable_profiles, disable_update_settings, disable_networks;

	struct {
		const char *key, *value;
	} env[LINNET_UNIT_LIST];

	size_t nenv;
};

/* Letters, digits, '-', '_', '.', '@'; at most 64. */
bool linnet_unit_name_ok(const char *name);
/* "K=V" added or replaced; LN_E_MALFORMED, LN_E_LIMIT. */
LN_MUST_CHECK int linnet_unit_set_env(struct linnet_unit *u, struct arena *a, const char *pair);
/* The text of NAME.service. */
void linnet_unit_text(const struct linnet_unit *u, struct str *dst);
/* The text of the drop-in that keeps systemd-networkd from removing our routes and rules. */
const char *linnet_unit_networkd(void);

/* service.json: NetBird's keys (spec agent 1.4). Absent keys leave the field as it is. */
LN_MUST_CHECK int linnet_unit_read(struct slice json, struct arena *a, struct linnet_unit *u);
void linnet_unit_write(const struct linnet_unit *u, struct str *dst);
