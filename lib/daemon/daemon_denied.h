#pragma once
/*
 * The details blob of a refused privileged call: google.rpc.Status with an ErrorInfo, as the
 * command line of NetBird expects it (spec agent 1.6 "Privileged operations").
 */
#include "lib/base/slice.h"
#include "lib/base/str.h"

/* code: the gRPC status; summary: what needs privilege; command: what to type instead. */
void daemon_denied_write(struct str *dst, unsigned code, const char *message, const char *summary,
			 const char *command);
