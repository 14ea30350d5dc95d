#pragma once
/*
 * The port that stands in for a busy one, across restarts: a small file beside the profile's
 * configuration, `default.port.json` beside `default.json`. It counts only while the configured
 * port is the one it was chosen for.
 */
#include <stdint.h>

#include "lib/base/err.h"

/* 0: none is noted for `wanted`, or the note cannot be read. */
uint16_t agent_port_read(const char *profile_path, uint16_t wanted);
/* Removes the note when port is the wanted one. -errno. */
LN_MUST_CHECK int agent_port_write(const char *profile_path, uint16_t wanted, uint16_t port,
				   struct ln_fail *f);
