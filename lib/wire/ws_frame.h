#pragma once
/*
 * WebSocket frames (RFC 6455 section 5): the header, and the mask of what clients send. No state
 * beyond one frame; whoever reads keeps the bytes until a frame is whole.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define WS_FRAME_HEADER_MAX 14   /* 2, 8 of length, 4 of mask */
#define WS_FRAME_CONTROL_MAX 125 /* RFC 6455 5.5 */

enum ws_frame_op {
	WS_FRAME_CONTINUATION = 0,
	WS_FRAME_TEXT = 1,
	WS_FRAME_BINARY = 2,
	WS_FRAME_CLOSE = 8,
	WS_FRAME_PING = 9,
	WS_FRAME_PONG = 10
};

struct ws_frame {
	enum ws_frame_op op;
	bool fin;
	bool masked;
	uint8_t mask[4];
	size_t header;    /* bytes of the header */
	uint64_t payload; /* bytes behind it; the reader compares with its limit */
};

/*
 * LN_E_TRUNCATED: the header is not whole yet. LN_E_MALFORMED: reserved bits (an extension nobody
 * agreed on), an unknown opcode, a long or fragmented control frame, a length that is not in its
 * shortest form.
 */
LN_MUST_CHECK int ws_frame_read(struct slice in, struct ws_frame *ret);
/* Writes the header of a whole (unfragmented) message; mask null: none. Returns its length. */
size_t ws_frame_write(uint8_t dst[WS_FRAME_HEADER_MAX], enum ws_frame_op op, size_t payload,
		      const uint8_t mask[4]);
/* dst = src xor mask, from the first byte of a payload on. dst may be src. */
void ws_frame_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4]);
