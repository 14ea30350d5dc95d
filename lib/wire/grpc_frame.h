#pragma once
/*
 * The 5-byte prefix of gRPC messages inside HTTP/2 DATA (gRPC over HTTP/2 specification,
 * "Length-Prefixed-Message"): one flag byte (1 = compressed), four bytes of length.
 *
 * A reader takes bytes as they come and hands out whole messages. A message that arrives in one
 * piece is handed out in place; only a split one is copied. The copy grows with what has arrived,
 * so that an announced length alone costs nothing.
 */
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define GRPC_FRAME_HEAD 5

struct grpc_frame_reader {
	size_t max; /* longest message accepted */
	uint8_t head[GRPC_FRAME_HEAD];
	uint8_t nhead;
	bool handed_out; /* buf holds a message the caller has seen */
	uint8_t *buf;    /* owned */
	size_t got;
	size_t cap;
};

void grpc_frame_reader_init(struct grpc_frame_reader *r, size_t max);
void grpc_frame_reader_fini(struct grpc_frame_reader *r);
/*
 * Takes bytes from the front of *in. 1: *ret_msg is a whole message, valid until the next call and
 * while the input is; call again with the rest. 0: *in is used up. LN_E_LIMIT: longer than max.
 * LN_E_UNSUPPORTED: compressed. LN_E_MALFORMED: another flag. After an error the stream is dead.
 */
LN_MUST_CHECK int grpc_frame_read(struct grpc_frame_reader *r, struct slice *in,
				  struct slice *ret_msg);
/* Bytes of an unfinished message in memory. */
size_t grpc_frame_held(const struct grpc_frame_reader *r);
/* Whether the input may end here: no message is half read. */
bool grpc_frame_at_boundary(const struct grpc_frame_reader *r);

void grpc_frame_head(uint8_t dst[GRPC_FRAME_HEAD], uint32_t len);
