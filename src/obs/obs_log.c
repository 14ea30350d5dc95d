/*
 * Levels, formatting and the lock. Logging is the one service every thread may call at any time,
 * so it is one of the few places with a mutex and atomics.
 */
#include "src/obs/obs_log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/str.h"

#include "src/obs/obs_dest.h"

#define LINE_MAX_BYTES 4096 /* longer lines end in "..." */
#define MODULES_MAX 32
#define MODULE_NAME_MAX 24

struct module_level {
	char name[MODULE_NAME_MAX];
	atomic_int level;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct obs_dest_set dests; /* under lock; empty = console, before obs_log_init */
static atomic_int base_level = LOG_INFO;
/* Append-only: a reader sees `nmodules` entries that never change their name. */
static struct module_level modules[MODULES_MAX];
static atomic_size_t nmodules;

static const char *const level_names[] = { "error", "warn", "info", "debug", "trace" };

static int level_parse(const char *s)
{
	if (strcasecmp(s, "panic") == 0 || strcasecmp(s, "fatal") == 0)
		return LOG_ERROR;
	if (strcasecmp(s, "warning") == 0)
		return LOG_WARN;
	for (size_t i = 0; i < LN_COUNT(level_names); i++)
		if (strcasecmp(s, level_names[i]) == 0)
			return (int)i;
	return LN_E_MALFORMED;
}

bool obs_log_on(enum log_level level, const char *module)
{
	int limit = atomic_load_explicit(&base_level, memory_order_relaxed);
	size_t n = atomic_load_explicit(&nmodules, memory_order_acquire);
	for (size_t i = 0; i < n; i++)
		if (strcmp(modules[i].name, module) == 0) {
			limit = atomic_load_explicit(&modules[i].level, memory_order_relaxed);
			break;
		}
	return (int)level <= limit;
}

static bool plain(struct slice s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=' ||
		    s.p[i] == 0x7f)
			return false;
	return true;
}

/* Control characters never reach the terminal; bytes above 0x7f pass (UTF-8). */
static void add_escaped(struct str *b, struct slice s, bool quotes)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '\n')
			str_add(b, "\\n");
		else if (c < ' ' || c == 0x7f)
			str_addf(b, "\\x%02x", c);
		else if (quotes && (c == '"' || c == '\\'))
			str_addf(b, "\\%c", c);
		else
			str_addc(b, (char)c);
	}
}

static void add_value(struct str *b, struct slice s)
{
	if (plain(s)) {
		add_escaped(b, s, false); /* by byte: a long value fills the line, then stops */
		return;
	}
	str_addc(b, '"');
	add_escaped(b, s, true);
	str_addc(b, '"');
}

static void add_duration(struct str *b, int64_t ns)
{
	if (ns < 0) {
		str_addc(b, '-');
		ns = ns == INT64_MIN ? INT64_MAX : -ns;
	}
	if (ns < LN_MSEC)
		str_addf(b, "%" PRId64 "us", ns / LN_USEC);
	else if (ns < LN_SEC)
		str_addf(b, "%" PRId64 ".%" PRId64 "ms", ns / LN_MSEC, ns / (LN_MSEC / 10) % 10);
	else
		str_addf(b, "%" PRId64 ".%03" PRId64 "s", ns / LN_SEC, ns / LN_MSEC % 1000);
}

static void add_kv(struct str *b, const struct log_kv *kv)
{
	char text[IP_EP_TEXT_MAX + WG_KEY_TEXT];
	str_addf(b, " %s=", kv->key);
	switch (kv->type) {
	case LOG_KV_STR:
		add_value(b, slice_str(kv->v.s != NULL ? kv->v.s : ""));
		break;
	case LOG_KV_SLICE:
		add_value(b, kv->v.b);
		break;
	case LOG_KV_INT:
		str_addf(b, "%" PRId64, kv->v.i);
		break;
	case LOG_KV_UINT:
		str_addf(b, "%" PRIu64, kv->v.u);
		break;
	case LOG_KV_EP:
		ip_ep_format(kv->v.ep, text);
		str_add(b, text);
		break;
	case LOG_KV_IP:
		ip_format(kv->v.ip, text);
		str_add(b, text);
		break;
	case LOG_KV_KEY:
		wg_key_format(kv->v.k, text);
		str_addn(b, text, 8);
		break;
	case LOG_KV_ERR:
		add_value(b, slice_str(ln_strerror((int)kv->v.i)));
		break;
	case LOG_KV_DUR:
		add_duration(b, kv->v.i);
		break;
	}
}

void obs_log(enum log_level level, const char *module, const char *text, const struct log_kv *kv,
	     size_t nkv)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ln_wall now = (ln_wall)ts.tv_sec * LN_SEC + ts.tv_nsec;
	struct str b;
	str_init(&b, LINE_MAX_BYTES);
	add_escaped(&b, slice_str(text), false);
	for (size_t i = 0; i < nkv; i++)
		add_kv(&b, &kv[i]);
	struct slice body = str_slice(&b);
	char cut[LINE_MAX_BYTES + 4];
	if (b.err != 0) {
		memcpy(cut, body.p, body.n);
		memcpy(cut + body.n, "...", 3);
		body = slice_of(cut, body.n + 3);
	}
	pthread_mutex_lock(&lock);
	if (dests.n == 0) {
		struct obs_dest_set console = { .v[0] = { .kind = OBS_DEST_CONSOLE, .fd = 2 },
						.n = 1 };
		obs_dest_write(&console, now, level, module, body);
	} else {
		obs_dest_write(&dests, now, level, module, body);
	}
	pthread_mutex_unlock(&lock);
	str_fini(&b);
}

bool log_limit_pass(struct log_limit *l, ln_time now, ln_time interval)
{
	if (now < l->next) {
		l->dropped++;
		return false;
	}
	l->next = now + interval;
	return true;
}

int obs_log_init(const char *program, const char *level, const char *destinations,
		 struct ln_fail *f)
{
	int n = level_parse(level);
	if (n < 0)
		return ln_fail(f, n,
			       "log level \"%s\": allowed are panic, fatal, error, warn, info, "
			       "debug, trace",
			       level);
	struct obs_dest_set set;
	int r = obs_dest_open(&set, program, destinations, f);
	if (r != 0)
		return r;
	pthread_mutex_lock(&lock);
	obs_dest_close(&dests);
	dests = set;
	pthread_mutex_unlock(&lock);
	atomic_store(&base_level, n);
	return 0;
}

int obs_log_set_level(const char *module, const char *level)
{
	int n = level_parse(level);
	if (n < 0)
		return n;
	if (strlen(module) >= MODULE_NAME_MAX)
		return LN_E_NOTFOUND;
	pthread_mutex_lock(&lock);
	size_t count = atomic_load(&nmodules);
	size_t i = 0;
	int r = 0;
	if (module[0] == '\0') {
		atomic_store(&base_level, n);
		for (; i < count; i++)
			atomic_store(&modules[i].level, n);
	} else {
		while (i < count && strcmp(modules[i].name, module) != 0)
			i++;
		if (i == MODULES_MAX) {
			r = LN_E_LIMIT;
		} else {
			atomic_store(&modules[i].level, n);
			if (i == count) {
				strcpy(modules[i].name, module);
				atomic_store_explicit(&nmodules, count + 1, memory_order_release);
			}
		}
	}
	pthread_mutex_unlock(&lock);
	return r;
}

const char *obs_log_level_name(void)
{
	return level_names[atomic_load(&base_level)];
}

void obs_log_reopen(void)
{
	pthread_mutex_lock(&lock);
	obs_dest_reopen(&dests);
	pthread_mutex_unlock(&lock);
}

void obs_log_fini(void)
{
	pthread_mutex_lock(&lock);
	obs_dest_close(&dests);
	pthread_mutex_unlock(&lock);
}
