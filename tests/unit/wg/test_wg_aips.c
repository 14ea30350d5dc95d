#include <stdlib.h>

#include "lib/wg/wg_aips.h"

#include "tests/unit/unit.h"

static const uint64_t seed[2] = { 11, 12 };

#define OWNERS 12
#define ENTRIES 400

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(ip_prefix_parse(slice_str(text), &p), 0);
	return p;
}

static struct wg_aips_owner *find(const struct wg_aips *t, const char *text)
{
	struct ip_addr a;
	assert_int_equal(ip_parse(slice_str(text), &a), 0);
	return wg_aips_find(t, a.b, a.family);
}

static void insert(struct wg_aips *t, struct wg_aips_owner *o, const char *text)
{
	struct ip_prefix p = prefix(text);
	assert_int_equal(wg_aips_insert(t, o, &p), 0);
}

static void test_longest_prefix(void **state)
{
	struct wg_aips t;
	struct wg_aips_owner a;
	struct wg_aips_owner b;
	wg_aips_init(&t, seed);
	wg_aips_owner_init(&a);
	wg_aips_owner_init(&b);
	assert_null(find(&t, "10.0.0.1"));
	insert(&t, &a, "10.0.0.0/8");
	insert(&t, &b, "10.1.0.0/16");
	insert(&t, &a, "10.1.2.3/32");
	insert(&t, &b, "0.0.0.0/0");
	insert(&t, &a, "::/0");
	insert(&t, &b, "2001:db8::/64");
	insert(&t, &a, "2001:db8::5/128");
	assert_ptr_equal(find(&t, "10.9.9.9"), &a);
	assert_ptr_equal(find(&t, "10.1.9.9"), &b);
	assert_ptr_equal(find(&t, "10.1.2.3"), &a);
	assert_ptr_equal(find(&t, "10.1.2.2"), &b);
	assert_ptr_equal(find(&t, "192.0.2.1"), &b);
	assert_ptr_equal(find(&t, "2001:db8::5"), &a);
	assert_ptr_equal(find(&t, "2001:db8::4"), &b);
	assert_ptr_equal(find(&t, "2001:db8:1::"), &a);
	insert(&t, &b, "10.1.2.3/32"); /* moves */
	assert_ptr_equal(find(&t, "10.1.2.3"), &b);
	assert_int_equal(a.count, 3);
	assert_int_equal(b.count, 4);
	assert_int_equal(t.count, 7);
	wg_aips_clear(&t, &b);
	assert_ptr_equal(find(&t, "10.1.2.3"), &a);
	assert_null(find(&t, "192.0.2.1"));
	wg_aips_clear(&t, &a);
	assert_int_equal(t.count, 0);
	wg_aips_fini(&t);
}

static void test_bad_prefix(void **state)
{
	struct wg_aips t;
	struct wg_aips_owner a;
	struct ip_prefix none = { 0 };
	struct ip_prefix far = prefix("10.0.0.0/8");
	wg_aips_init(&t, seed);
	wg_aips_owner_init(&a);
	far.len = 33;
	assert_int_equal(wg_aips_insert(&t, &a, &none), LN_E_MALFORMED);
	assert_int_equal(wg_aips_insert(&t, &a, &far), LN_E_MALFORMED);
	wg_aips_fini(&t);
}

/* The slow twin: a list searched from end to end. */
struct twin {
	struct ip_prefix p[ENTRIES];
	int owner[ENTRIES];
	size_t n;
};

static void twin_insert(struct twin *w, const struct ip_prefix *p, int owner)
{
	struct ip_prefix m = ip_prefix_mask(p);
	for (size_t i = 0; i < w->n; i++) {
		if (ip_prefix_equal(&w->p[i], &m)) {
			w->owner[i] = owner;
			return;
		}
	}
	w->p[w->n] = m;
	w->owner[w->n++] = owner;
}

static void twin_clear(struct twin *w, int owner)
{
	size_t kept = 0;
	for (size_t i = 0; i < w->n; i++) {
		if (w->owner[i] == owner)
			continue;
		w->p[kept] = w->p[i];
		w->owner[kept++] = w->owner[i];
	}
	w->n = kept;
}

static int twin_find(const struct twin *w, const struct ip_addr *a)
{
	int best = -1;
	int len = -1;
	for (size_t i = 0; i < w->n; i++)
		if (ip_prefix_contains(&w->p[i], a) && w->p[i].len > len) {
			best = w->owner[i];
			len = w->p[i].len;
		}
	return best;
}

/* Few distinct bits, so that prefixes nest and meet. */
static struct ip_addr random_addr(void)
{
	struct ip_addr a = { .family = rand() % 2 != 0 ? 4 : 6 };
	for (unsigned i = 0; i < ip_bits(&a) / 8; i++)
		a.b[i] = (uint8_t)(rand() % 4 == 0 ? 1 << (rand() % 8) : 0);
	return a;
}

static void test_random(void **state)
{
	static struct twin twin;
	struct wg_aips t;
	struct wg_aips_owner owners[OWNERS];
	srand(42);
	wg_aips_init(&t, seed);
	for (unsigned i = 0; i < OWNERS; i++)
		wg_aips_owner_init(&owners[i]);
	for (unsigned step = 0; step < 4000; step++) {
		int o = rand() % OWNERS;
		if (rand() % 40 == 0 || twin.n == ENTRIES) {
			wg_aips_clear(&t, &owners[o]);
			twin_clear(&twin, o);
		} else {
			struct ip_prefix p = { .addr = random_addr() };
			p.len = (uint8_t)((unsigned)rand() % (ip_bits(&p.addr) + 1));
			if (rand() % 3 == 0) /* single addresses have a table of their own */
				p.len = (uint8_t)ip_bits(&p.addr);
			assert_int_equal(wg_aips_insert(&t, &owners[o], &p), 0);
			twin_insert(&twin, &p, o);
		}
		assert_int_equal(t.count, twin.n);
		for (unsigned i = 0; i < 20; i++) {
			struct ip_addr a = random_addr();
			int want = twin_find(&twin, &a);
			assert_ptr_equal(wg_aips_find(&t, a.b, a.family),
					 want < 0 ? NULL : &owners[want]);
		}
	}
	for (unsigned i = 0; i < OWNERS; i++)
		wg_aips_clear(&t, &owners[i]);
	wg_aips_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_prefix),
		cmocka_unit_test(test_bad_prefix),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
