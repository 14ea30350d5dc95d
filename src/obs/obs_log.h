#pragma once
/*
 * Log lines: a text followed by key=value pairs. Only src/ logs, and of two functions on a call
 * path only the outer one. Thread-safe. Never log a secret, token, setup key or raw input; keys
 * (WireGuard) are shown by their first eight characters.
 *
 *	log_info("peer", "connected", LOG_KEY("peer", &key), LOG_STR("path", "direct"));
 *
 * The first word is the module; its level can be changed at run time (obs_log_set_level).
 * A value is quoted when it holds spaces, quotes or control characters.
 */
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/slice.h"
#include "lib/base/time.h"
#include "lib/crypto/key.h"

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	LOG_TRACE
};

struct log_kv {
	const char *key;

	enum {
		LOG_KV_STR,
		LOG_KV_SLICE,
		LOG_KV_INT,
		LOG_KV_UINT,
		LOG_KV_EP,
		LOG_KV_IP,
		LOG_KV_KEY,
		LOG_KV_ERR,
		LOG_KV_DUR
	} type;

	union {
		const char *s;
		struct slice b;
		int64_t i;
		uint64_t u;
		const struct ip_ep *ep;
		const struct ip_addr *ip;
		const struct wg_key *k;
	} v;
};

#define LOG_STR(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_STR, .v.s = (x) })
#define LOG_SLICE(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_SLICE, .v.b = (x) })
#define LOG_INT(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_INT, .v.i = (x) })
#define LOG_UINT(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_UINT, .v.u = (x) })
#define LOG_EP(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_EP, .v.ep = (x) })
#define LOG_IP(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_IP, .v.ip = (x) })
#define LOG_KEY(name, x) ((struct log_kv){ .key = (name), .type = LOG_KV_KEY, .v.k = (x) })
#define LOG_ERRNO(x) ((struct log_kv){ .key = "error", .type = LOG_KV_ERR, .v.i = (x) })
#define LOG_DUR(k, x) ((struct log_kv){ .key = (k), .type = LOG_KV_DUR, .v.i = (x) }) /* ns */

void obs_log(enum log_level level, const char *module, const char *text, const struct log_kv *kv,
	     size_t nkv);
bool obs_log_on(enum log_level level, const char *module);

#define LOG_AT(level, module, text, ...)                                                           \
 do {                                                                                              \
  if (obs_log_on(level, module)) {                                                                 \
   const struct log_kv log_kv_[] = { __VA_ARGS__ };                                                \
   obs_log(level, module, text, log_kv_, LN_COUNT(log_kv_));                                       \
  }                                                                                                \
 } while (0)
#define log_error(module, text, ...) LOG_AT(LOG_ERROR, module, text, ##__VA_ARGS__)
#define log_warn(module, text, ...) LOG_AT(LOG_WARN, module, text, ##__VA_ARGS__)
#define log_info(module, text, ...) LOG_AT(LOG_INFO, module, text, ##__VA_ARGS__)
#define log_debug(module, text, ...) LOG_AT(LOG_DEBUG, module, text, ##__VA_ARGS__)
#define log_trace(module, text, ...) LOG_AT(LOG_TRACE, module, text, ##__VA_ARGS__)

/* At most one line per `interval` from this call site, for whatever a peer can cause. */
struct log_limit {
	ln_time next;
	uint64_t dropped;
};

bool log_limit_pass(struct log_limit *l, ln_time now, ln_time interval);

/*
 * Set-up, before threads start. `level` is one of panic fatal error warn info debug trace (the
 * first two mean error). Destinations: "console" (stderr), "syslog", "journal" or a path; several
 * separated by commas. LN_E_MALFORMED or -errno with the reason in f.
 */
LN_MUST_CHECK int obs_log_init(const char *program, const char *level, const char *destinations,
			       struct ln_fail *f);
LN_MUST_CHECK int obs_log_set_level(const char *module, const char *level); /* module "" = all */
const char *obs_log_level_name(void);
void obs_log_reopen(void); /* SIGHUP: files were rotated */
void obs_log_fini(void);
