#pragma once
/* Servers whose path over QUIC has proved too narrow: for a while the WebSocket is taken. */
#include <stdbool.h>

#include "lib/base/list.h"
#include "lib/base/time.h"

struct relay_avoid {
	struct list entries;
};

void relay_avoid_init(struct relay_avoid *a);
void relay_avoid_fini(struct relay_avoid *a);
/* 10 minutes, doubled up to an hour when it happens again after they have passed. */
void relay_avoid_mark(struct relay_avoid *a, const char *server, ln_time now);
bool relay_avoid_has(const struct relay_avoid *a, const char *server, ln_time now);
