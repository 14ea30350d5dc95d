#include "proto/proto_msg.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/proto_scan.h"

/* No message of ours nests deeper; a new one that does must raise this with a thought. */
#define NESTING_MAX 16

static void *tree_alloc(void *data, size_t size)
{
	struct proto_reader *r = data;
	void *p = arena_alloc(&r->tree, size);
	if (p == NULL)
		r->err = LN_E_LIMIT;
	return p;
}

/* The tree goes away as a whole. */
static void tree_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* What protobuf-c does not look at: texts that are no text, and nesting. */
static int check_message(const ProtobufCMessageDescriptor *desc, struct slice msg, unsigned depth)
{
	if (depth > NESTING_MAX)
		return LN_E_LIMIT;
	if (msg.n == 0)
		return 0;
	struct cursor c = cursor_of(msg);
	struct proto_field f;
	int r;
	while ((r = proto_scan(&c, &f)) > 0) {
		if (f.wire != PROTO_BYTES)
			continue;
		const ProtobufCFieldDescriptor *fd =
			protobuf_c_message_descriptor_get_field(desc, f.number);
		if (fd == NULL)
			continue;
		if (fd->type == PROTOBUF_C_TYPE_STRING && !proto_text_valid(f.bytes))
			return LN_E_MALFORMED;
		if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
			int err = check_message(fd->descriptor, f.bytes, depth + 1);
			if (err < 0)
				return err;
		}
	}
	return r;
}

void *proto_reader_init(struct proto_reader *r, struct arena *dst,
			const ProtobufCMessageDescriptor *desc, struct slice msg)
{
	size_t cap = msg.n > PROTO_TREE_MAX / PROTO_TREE_FACTOR ? PROTO_TREE_MAX
								: msg.n * PROTO_TREE_FACTOR;
	*r = (struct proto_reader){ .dst = dst };
	arena_init(&r->tree, LN_MAX(cap, PROTO_TREE_FLOOR));
	r->alloc =
		(ProtobufCAllocator){ .alloc = tree_alloc, .free = tree_free, .allocator_data = r };
	r->err = check_message(desc, msg, 0);
	if (r->err < 0)
		return NULL;
	static const uint8_t nothing[1];
	void *m = protobuf_c_message_unpack(desc, &r->alloc, msg.n, msg.n > 0 ? msg.p : nothing);
	/* protobuf-c gives no reason; the allocator has noted the only other one. */
	if (m == NULL)
		proto_fail(r, LN_E_MALFORMED);
	return m;
}

int proto_reader_fini(struct proto_reader *r)
{
	arena_fini(&r->tree);
	return r->err;
}

void proto_fail(struct proto_reader *r, int err)
{
	if (r->err == 0)
		r->err = err;
}

static const char *copy_text(struct proto_reader *r, const char *text, size_t n)
{
	if (n == 0 || r->err != 0)
		return "";
	const char *s = arena_strndup(r->dst, text, n);
	if (s == NULL) {
		proto_fail(r, LN_E_LIMIT);
		return "";
	}
	return s;
}

const char *proto_str(struct proto_reader *r, const char *text)
{
	return text == NULL ? "" : copy_text(r, text, strlen(text));
}

const char *proto_bytes_str(struct proto_reader *r, ProtobufCBinaryData bytes)
{
	if (!proto_text_valid(slice_of(bytes.data, bytes.len))) {
		proto_fail(r, LN_E_MALFORMED);
		return "";
	}
	return copy_text(r, (const char *)bytes.data, bytes.len);
}

struct slice proto_bytes(struct proto_reader *r, ProtobufCBinaryData bytes)
{
	if (bytes.len == 0 || r->err != 0)
		return slice_of(NULL, 0);
	struct slice s = arena_slice(r->dst, slice_of(bytes.data, bytes.len));
	if (s.p == NULL) {
		proto_fail(r, LN_E_LIMIT);
		return slice_of(NULL, 0);
	}
	return s;
}

const char *const *proto_strs(struct proto_reader *r, size_t n, char **texts)
{
	const char **v = proto_room(r, n, sizeof(*v));
	for (size_t i = 0; v != NULL && i < n; i++)
		v[i] = proto_str(r, texts[i]);
	return v;
}

void *proto_room(struct proto_reader *r, size_t n, size_t size)
{
	if (n == 0 || r->err != 0)
		return NULL;
	void *p = arena_calloc(r->dst, n, size);
	if (p == NULL)
		proto_fail(r, LN_E_LIMIT);
	return p;
}

static int64_t nanoseconds(int64_t seconds, int32_t nanos)
{
	int64_t ns;
	if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)nanos, &ns))
		return seconds < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

ln_wall proto_wall(const Google__Protobuf__Timestamp *t)
{
	return t == NULL ? 0 : nanoseconds(t->seconds, t->nanos);
}

ln_time proto_span(const Google__Protobuf__Duration *d)
{
	return d == NULL ? 0 : nanoseconds(d->seconds, d->nanos);
}

void proto_writer_init(struct proto_writer *w)
{
	/* The size is that of our own data: no limit but the one of the result. */
	arena_init(&w->tree, SIZE_MAX);
}

void proto_writer_fini(struct proto_writer *w)
{
	arena_fini(&w->tree);
}

void *proto_array(struct proto_writer *w, size_t n, size_t size)
{
	if (n == 0)
		return NULL;
	void *p = arena_calloc(&w->tree, n, size);
	ln_assert(p != NULL);
	return p;
}

void *proto_new(struct proto_writer *w, const ProtobufCMessageDescriptor *desc)
{
	void *m = proto_array(w, 1, desc->sizeof_message);
	protobuf_c_message_init(desc, m);
	return m;
}

char *proto_copy(struct proto_writer *w, const char *text)
{
	char *s = arena_strdup(&w->tree, text);
	ln_assert(s != NULL);
	return s;
}

char *proto_printf(struct proto_writer *w, const char *fmt, ...)
{
	char text[128];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ln_assert(n >= 0 && (size_t)n < sizeof(text));
	return proto_copy(w, text);
}

/* protobuf-c has no const in its structs but does not write while it packs. */
static void *borrowed(const void *p)
{
	return (void *)(uintptr_t)p;
}

char *proto_text(const char *text)
{
	return borrowed(text != NULL ? text : "");
}

char **proto_texts(struct proto_writer *w, size_t n, const char *const *texts)
{
	char **v = proto_array(w, n, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = proto_text(texts[i]);
	return v;
}

ProtobufCBinaryData proto_bin(struct slice bytes)
{
	return (ProtobufCBinaryData){ .len = bytes.n, .data = borrowed(bytes.p) };
}

/* Both types want nanoseconds of the sign of the whole; a time rounds down instead. */
Google__Protobuf__Timestamp *proto_timestamp(struct proto_writer *w, ln_wall at)
{
	Google__Protobuf__Timestamp *t = proto_new(w, &google__protobuf__timestamp__descriptor);
	t->seconds = at / INT64_C(1000000000);
	t->nanos = (int32_t)(at % INT64_C(1000000000));
	if (t->nanos < 0) {
		t->seconds--;
		t->nanos += 1000000000;
	}
	return t;
}

Google__Protobuf__Duration *proto_duration(struct proto_writer *w, ln_time span)
{
	Google__Protobuf__Duration *d = proto_new(w, &google__protobuf__duration__descriptor);
	d->seconds = span / INT64_C(1000000000);
	d->nanos = (int32_t)(span % INT64_C(1000000000));
	return d;
}

struct str_buffer {
	ProtobufCBuffer base;
	struct str *dst;
};

static void append_to_str(ProtobufCBuffer *buffer, size_t n, const uint8_t *p)
{
	str_addn(((struct str_buffer *)(void *)buffer)->dst, p, n);
}

void proto_pack(struct str *dst, const void *msg)
{
	struct str_buffer b = { .base = { .append = append_to_str }, .dst = dst };
	protobuf_c_message_pack_to_buffer(msg, &b.base);
}
