#pragma once
/*
 * What systemd wants to hear (sd_notify protocol): one datagram of KEY=VALUE lines to the socket
 * that $NOTIFY_SOCKET names. Without a supervisor every call does nothing.
 */
#include "lib/base/err.h"

/*
 * Sends `state` ("READY=1\nSTATUS=...") to the socket `path`: a file, or '@' and an abstract name.
 * 0 also when path is null or empty; -errno; LN_E_MALFORMED for another kind of address.
 */
LN_MUST_CHECK int svc_notify_send(const char *path, const char *state);
