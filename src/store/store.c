#include "src/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/ct.h"

#include "src/store/sql/store_migrations.h"
#include "src/store/store_internal.h"

static const char settings_table[] = "CREATE TABLE store_settings (name TEXT PRIMARY KEY, "
				     "value TEXT NOT NULL)";

int store_fail(struct store *s, struct ln_fail *f, int err, const char *what)
{
	return ln_fail(f, err, "%s: %s (%s)", what, ln_strerror(err), store_db_error(s->db));
}

void store_id_make(const struct ln_rng *rng, ln_wall now, struct store_id *ret)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	uint8_t raw[13] = { 0 }; /* 12 bytes and a zero to shift in */
	uint32_t sec = (uint32_t)(now / LN_SEC);
	for (int i = 0; i < 4; i++)
		raw[i] = (uint8_t)(sec >> (24 - 8 * i));
	rng_fill(rng, raw + 4, 8);
	for (unsigned i = 0; i < STORE_ID_LEN; i++) {
		unsigned bit = i * 5;
		unsigned pair = (unsigned)raw[bit / 8] << 8 | raw[bit / 8 + 1];
		ret->text[i] = digits[pair >> (11 - bit % 8) & 31];
	}
	ret->text[STORE_ID_LEN] = '\0';
}

struct store_id store_id_of(const char *text)
{
	struct store_id id = { 0 };
	if (strlen(text) <= STORE_ID_LEN)
		memcpy(id.text, text, strlen(text));
	return id;
}

int store_name_check(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > STORE_NAME_MAX)
		return LN_E_MALFORMED;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return LN_E_MALFORMED;
	}
	return 0;
}

bool store_grow(struct arena *a, void **v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	size_t want = *cap != 0 ? *cap * 2 : 8;
	void *p = arena_calloc(a, want, size);
	if (p == NULL)
		return false;
	if (n > 0)
		memcpy(p, *v, n * size);
	*v = p;
	*cap = want;
	return true;
}

static int setting_get(struct store *s, const char *name, char *dst, size_t size)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SETTING_GET);
	store_q_text(&q, name);
	int r = store_q_step(&q);
	if (r <= 0)
		return r < 0 ? r : LN_E_NOTFOUND;
	int n = snprintf(dst, size, "%s", store_q_col(&q, 0));
	return n >= 0 && (size_t)n < size ? 0 : LN_E_MALFORMED;
}

static int setting_set(struct store *s, const char *name, const char *value)
{
	LN_AUTO(store_q_end) struct store_q q = store_q_begin(s->db, SQL_SETTING_SET);
	store_q_text(&q, name);
	store_q_text(&q, value);
	int r = store_q_run(&q);
	return r < 0 ? r : 0;
}

static int schema_version(struct store *s, int *ret)
{
	char text[16];
	int r = setting_get(s, "schema_version", text, sizeof(text));
	if (r == LN_E_NOTFOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0)
		return r;
	char *end;
	long v = strtol(text, &end, 10);
	if (*text == '\0' || *end != '\0' || v < 0 || v > 1000000)
		return LN_E_MALFORMED;
	*ret = (int)v;
	return 0;
}

static int migrate_one(struct store *s, const struct store_migration *m)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	/* Two programs may open a new file at once: the second finds the work done. */
	int have;
	r = schema_version(s, &have);
	if (r == 0 && have < m->number) {
		char text[16];
		snprintf(text, sizeof(text), "%d", m->number);
		r = store_db_exec(s->db, m->sql);
		if (r == 0)
			r = setting_set(s, "schema_version", text);
	}
	return store_tx_end(s->db, r);
}

static int back_up(struct store *s, const struct store_conf *conf, int version, struct ln_fail *f)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof(path), "%s.v%d.backup", conf->path, version) >=
	    sizeof(path))
		return ln_fail(f, LN_E_LIMIT, "the path of the store is too long");
	int r = store_db_copy(s->db, path);
	if (r < 0)
		return ln_fail(f, r, "cannot make the copy %s before the store is upgraded: %s",
			       path, ln_strerror(r));
	return 0;
}

static int create_settings(struct store *s, struct ln_fail *f)
{
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return store_fail(s, f, r, "cannot prepare the store");
	bool empty = false;
	r = store_db_is_empty(s->db, &empty);
	if (r == 0 && empty)
		r = store_db_exec(s->db, settings_table);
	r = store_tx_end(s->db, r);
	return r < 0 ? store_fail(s, f, r, "cannot prepare the store") : 0;
}

static int migrate(struct store *s, const struct store_conf *conf,
		   const struct store_migration *list, size_t nlist, struct ln_fail *f)
{
	bool empty = false;
	int have = 0;
	int r = store_db_is_empty(s->db, &empty);
	if (r == 0 && empty && !conf->read_only)
		r = create_settings(s, f);
	else if (r == 0)
		r = store_db_exec(s->db, "SELECT name, value FROM store_settings LIMIT 1") < 0
			    ? LN_E_UNSUPPORTED
			    : 0;
	if (r == LN_E_UNSUPPORTED)
		return ln_fail(f, r, "%s is a database, but not a store of linnet", conf->path);
	if (r == 0)
		r = schema_version(s, &have);
	if (r < 0)
		return store_fail(s, f, r, "cannot read the store");
	int newest = (int)nlist;
	if (have > newest)
		return ln_fail(f, LN_E_UNSUPPORTED,
			       "the store %s has version %d, this program knows up to %d: use the "
			       "newer program, or the backup made before the upgrade",
			       conf->path, have, newest);
	if (have == newest)
		return 0;
	if (conf->read_only)
		return ln_fail(f, LN_E_UNSUPPORTED, "the store %s must be upgraded first",
			       conf->path);
	if (have > 0 && (r = back_up(s, conf, have, f)) < 0)
		return r;
	for (int i = have; i < newest; i++) {
		r = migrate_one(s, &list[i]);
		if (r < 0)
			return store_fail(s, f, r, "cannot upgrade the store");
	}
	return 0;
}

int store_open_migrations(const struct store_conf *conf, const struct store_migration *list,
			  size_t nlist, struct store **ret, struct ln_fail *f)
{
	struct store_db *db;
	int r = store_db_open(conf, &db, f);
	if (r < 0)
		return r;
	struct store *s = ln_alloc(sizeof(*s));
	s->db = db;
	s->rng = conf->rng;
	r = migrate(s, conf, list, nlist, f);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

int store_open(const struct store_conf *conf, struct store **ret, struct ln_fail *f)
{
	return store_open_migrations(conf, store_migrations, store_migration_count, ret, f);
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	ln_assert(s->thread == NULL);
	store_db_close(s->db);
	free(s);
}

int store_server_key(struct store *s, struct wg_secret *ret)
{
	char text[WG_KEY_TEXT];
	int r = store_tx_begin(s->db, SQL_TX_WRITE);
	if (r < 0)
		return r;
	LN_SECRET(wg_secret) key;
	r = setting_get(s, "server_key", text, sizeof(text));
	if (r == 0) {
		r = wg_secret_parse(slice_str(text), &key);
	} else if (r == LN_E_NOTFOUND) {
		wg_secret_generate(&key, s->rng);
		wg_secret_write(&key, text);
		r = setting_set(s, "server_key", text);
	}
	ct_wipe(text, sizeof(text));
	r = store_tx_end(s->db, r);
	if (r < 0)
		return r;
	*ret = key;
	return 0;
}
