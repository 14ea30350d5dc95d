#pragma once
/*
 * Between protobuf-c's structs and ours; for lib/{mgmt,signal,daemon} only.
 *
 * Reading: proto_reader unpacks into an arena of its own that is capped by the size of the input
 * (protobuf-c has no limit), and copies what is kept into the caller's arena. Its error is sticky:
 * convert everything, then ask proto_reader_fini().
 * Writing: proto_writer is the arena for the tree that is serialised; texts and bytes are
 * borrowed from the caller for as long as that takes.
 */
#include <protobuf-c/protobuf-c.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/str.h"
#include "lib/base/time.h"

#include "proto/clock.pb-c.h"

/* A tree may take this many times the bytes of its message, but never more than the maximum. */
#define PROTO_TREE_FACTOR 8
#define PROTO_TREE_FLOOR ((size_t)32 << 10)
#define PROTO_TREE_MAX ((size_t)64 << 20)

struct proto_reader {
	struct arena tree;
	struct arena *dst;
	ProtobufCAllocator alloc;
	int err; /* 0, LN_E_MALFORMED or LN_E_LIMIT */
};

/*
 * Returns the unpacked message, or null when it is malformed (wire format, UTF-8, zero bytes in
 * texts) or too large. Either way the reader must be finished with proto_reader_fini().
 */
void *proto_reader_init(struct proto_reader *r, struct arena *dst,
			const ProtobufCMessageDescriptor *desc, struct slice msg);
/* Frees the tree; returns the error of the whole conversion. */
LN_MUST_CHECK int proto_reader_fini(struct proto_reader *r);

void proto_fail(struct proto_reader *r, int err); /* keeps the first error */
/* Copies in the caller's arena; never null, "" after a failure. */
const char *proto_str(struct proto_reader *r, const char *text);
/* A bytes field that holds text: checked like a string. */
const char *proto_bytes_str(struct proto_reader *r, ProtobufCBinaryData bytes);
struct slice proto_bytes(struct proto_reader *r, ProtobufCBinaryData bytes);
const char *const *proto_strs(struct proto_reader *r, size_t n, char **texts);
/* Zeroed room for n elements; null when n is 0 or the limit is reached. */
void *proto_room(struct proto_reader *r, size_t n, size_t size);
/* Nanoseconds, clamped to what fits; 0 for null. */
ln_wall proto_wall(const Google__Protobuf__Timestamp *t);
ln_time proto_span(const Google__Protobuf__Duration *d);

struct proto_writer {
	struct arena tree;
};

void proto_writer_init(struct proto_writer *w);
void proto_writer_fini(struct proto_writer *w);
/* A message with all fields at their defaults. */
void *proto_new(struct proto_writer *w, const ProtobufCMessageDescriptor *desc);
/* Zeroed room for n elements; null when n is 0. */
void *proto_array(struct proto_writer *w, size_t n, size_t size);
/* Copies for texts that end before the writer does; the printed one has at most 127 bytes. */
char *proto_copy(struct proto_writer *w, const char *text);
char *proto_printf(struct proto_writer *w, const char *fmt, ...) LN_PRINTF(2, 3);
/* Borrowed; null becomes "". Present and empty stays different from absent inside a oneof. */
char *proto_text(const char *text);
char **proto_texts(struct proto_writer *w, size_t n, const char *const *texts);
ProtobufCBinaryData proto_bin(struct slice bytes);
Google__Protobuf__Timestamp *proto_timestamp(struct proto_writer *w, ln_wall at);
Google__Protobuf__Duration *proto_duration(struct proto_writer *w, ln_time span);
/* Appends the serialised message. */
void proto_pack(struct str *dst, const void *msg);
