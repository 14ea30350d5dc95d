/* Any bytes as a configuration file: refused with a reason or read, and then dumped and reread. */
#include "src/svc/svc_conf.h"

struct values {
	const char *s;
	int64_t i;
	bool b;
	ln_time t;
	struct svc_conf_ints ints;
	struct svc_conf_strs strs, uris;
};

#define AT(m) .offset = offsetof(struct values, m)
static const struct svc_conf_row rows[] = {
	{ .key = "server.listenAddress", .type = CONF_STR, AT(s), .help = "s" },
	{ .key = "server.exposedAddress",
	  .type = CONF_INT,
	  AT(i),
	  .min = -5,
	  .max = 5,
	  .help = "i" },
	{ .key = "server.on", .type = CONF_BOOL, AT(b), .help = "b" },
	{ .key = "server.wait", .type = CONF_DURATION, AT(t), .help = "t" },
	{ .key = "server.stunPorts", .type = CONF_INT_LIST, AT(ints), .help = "ints" },
	{ .key = "server.names", .type = CONF_STR_LIST, AT(strs), .help = "strs" },
	{ .key = "server.stuns[].uri", .type = CONF_STR_LIST, AT(uris), .help = "uris" },
	{ .key = "server.auth", .type = CONF_ANY, .flags = CONF_LATER, .help = "any" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct values v = { 0 };
	struct svc_conf c;
	struct ln_fail f = { 0 };
	struct str text;
	svc_conf_init(&c, rows, LN_COUNT(rows), &v);
	str_init(&text, 0);
	int err = svc_conf_read_text(&c, "fuzz", slice_of(data, size), &f);
	ln_assert(err == 0 || (f.code == err && f.text[0] != '\0'));
	if (err == 0)
		svc_conf_dump(&c, &text);
	svc_conf_fini(&c);
	if (err == 0) {
		v = (struct values){ 0 };
		svc_conf_init(&c, rows, LN_COUNT(rows), &v);
		err = svc_conf_read_text(&c, "again", str_slice(&text), &f);
		ln_assert(err == 0 || err == LN_E_LIMIT);
		svc_conf_fini(&c);
	}
	str_fini(&text);
	return 0;
}
