/* The decision table of spec management-protocol 6.1, and the hash of what an agent says. */
#include "src/management/management_fast.h"
#include "src/store/store.h"
#include "tests/unit/unit.h"

static const struct management_fast has = {
	.serial = 7, .meta = 100, .map = 5, .format = 0, .until = 1000
};

static void test_decision(void **state)
{
	(void)state;

	const struct { /* not static: clang takes no struct variable for a constant */
		struct management_fast has, want;
		const char *go_os;
		ln_time now;
		enum management_fast_why why;
	} rows[] = {
		{ has, { 7, 100, 0, 0, 0 }, "linux", 0, MANAGEMENT_FAST_SKIP },
		{ has, { 7, 100, 0, 0, 0 }, "darwin", 999, MANAGEMENT_FAST_SKIP },
		{ has, { 7, 100, 9, 0, 0 }, "windows", 0, MANAGEMENT_FAST_SKIP },
		{ has, { 7, 100, 0, 0, 0 }, "", 0, MANAGEMENT_FAST_SKIP },
		{ has, { 7, 100, 0, 0, 0 }, NULL, 0, MANAGEMENT_FAST_NO_META },
		{ has, { 7, 100, 0, 0, 0 }, "android", 0, MANAGEMENT_FAST_ANDROID },
		{ has, { 7, 100, 0, 0, 0 }, "Android", 0, MANAGEMENT_FAST_ANDROID },
		{ has, { 7, 100, 0, 0, 0 }, "linux", 1000, MANAGEMENT_FAST_MISS },
		{ { .until = 1000 }, { 7, 100, 0, 0, 0 }, "linux", 0, MANAGEMENT_FAST_MISS },
		{ { .meta = 100, .until = 1000 },
		  { 0, 100, 0, 0, 0 },
		  "linux",
		  0,
		  MANAGEMENT_FAST_MISS },
		{ has, { 8, 100, 0, 0, 0 }, "linux", 0, MANAGEMENT_FAST_SERIAL },
		{ has, { 6, 100, 0, 0, 0 }, "linux", 0, MANAGEMENT_FAST_SERIAL },
		{ has, { 7, 101, 0, 0, 0 }, "linux", 0, MANAGEMENT_FAST_META },
		{ has, { 7, 100, 0, 1, 0 }, "linux", 0, MANAGEMENT_FAST_FORMAT },
	};

	for (size_t i = 0; i < LN_COUNT(rows); i++)
		assert_int_equal(management_fast_decide(&rows[i].has, &rows[i].want, rows[i].go_os,
							rows[i].now),
				 rows[i].why);
}

static const uint64_t seed[2] = { 3, 4 };

static struct store_meta meta(void)
{
	return (struct store_meta){
#define X(name) .name = "",
		STORE_META_TEXTS(X)
#undef X
			.flags = 1,
		.capabilities = 6,
	};
}

static void test_meta_hash(void **state)
{
	(void)state;
	struct ip_addr from = ip_v4(0x0a000001), other = ip_v4(0x0a000002);
	struct store_meta m = meta();
	uint64_t h = management_meta_hash(seed, &m, &from);
	assert_true(h == management_meta_hash(seed, &m, &from));
	assert_true(h != management_meta_hash(seed, &m, &other));
	/* Each text counts, in its place. */
#define X(name)                                                                                    \
 m.name = "x";                                                                                     \
 assert_true(h != management_meta_hash(seed, &m, &from));                                          \
 m.name = "";
	STORE_META_TEXTS(X)
#undef X
	m.hostname = "ab";
	m.go_os = "c";
	uint64_t one = management_meta_hash(seed, &m, &from);
	m.hostname = "a";
	m.go_os = "bc";
	assert_true(one != management_meta_hash(seed, &m, &from));
	m = meta();
	m.flags = 2;
	assert_true(h != management_meta_hash(seed, &m, &from));
	m = meta();
	m.capabilities = 2;
	assert_true(h != management_meta_hash(seed, &m, &from));
	m = meta();
	m.sync_version = 1;
	assert_true(h != management_meta_hash(seed, &m, &from));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decision),
		cmocka_unit_test(test_meta_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
