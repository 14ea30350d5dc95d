#pragma once
/*
 * The protobuf wire format, field by field and in place: for envelopes that are forwarded or
 * opened without a copy, and for checks that protobuf-c leaves out. Knows no message.
 */
#include "lib/base/cursor.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"

enum proto_wire {
	PROTO_VARINT = 0,
	PROTO_FIXED64 = 1,
	PROTO_BYTES = 2,
	PROTO_FIXED32 = 5,
};

struct proto_field {
	uint32_t number;
	enum proto_wire wire;
	uint64_t value;     /* varint and fixed kinds */
	struct slice bytes; /* PROTO_BYTES: points into the input */
};

/*
 * Reads one field. 1: ret_field is set; 0: end of input; LN_E_MALFORMED: cut short, number 0 or
 * above 2^29-1, an overlong varint, or a group (which no protocol of ours uses).
 */
LN_MUST_CHECK int proto_scan(struct cursor *c, struct proto_field *ret_field);

/* Append one field; the error of dst is sticky. Zero values are written too. */
void proto_put_varint(struct str *dst, uint32_t number, uint64_t value);
void proto_put_bytes(struct str *dst, uint32_t number, struct slice bytes);

/* UTF-8 as RFC 3629 has it (no surrogates, nothing overlong), and no zero byte. */
bool proto_text_valid(struct slice text);
