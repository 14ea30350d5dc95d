#pragma once
/*
 * The two text forms of gRPC headers: the value of grpc-timeout and the percent-encoding of
 * grpc-message (gRPC over HTTP/2 specification, "Requests" and "Responses").
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"

#define GRPC_TIMEOUT_TEXT 12

/* One to eight digits and a unit H M S m u n. LN_E_MALFORMED. */
LN_MUST_CHECK int grpc_timeout_parse(struct slice text, ln_time *ret);
/*
 * Rounded up, in microseconds while eight digits hold it (what official agents send), else in the
 * next unit that does. Nothing left to wait becomes 1 microsecond.
 */
void grpc_timeout_format(ln_time left, char dst[GRPC_TIMEOUT_TEXT]);

/* Appends to out; everything but printable ASCII without '%' is escaped. */
void grpc_message_encode(struct slice text, struct str *out);
/* Appends to out; a '%' that begins no valid escape stays as it is. */
void grpc_message_decode(struct slice text, struct str *out);
