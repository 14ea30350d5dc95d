#include <stdlib.h>

#include "lib/base/map.h"

#include "tests/unit/unit.h"

#define N 512

struct item {
	struct map_node node;
	uint32_t key;
	bool inside;
};

/* Random inserts and removals against a plain array. */
static void against_array(void **state)
{
	struct map m;
	struct item *items = calloc(N, sizeof(*items));
	size_t count = 0;
	map_init(&m, 1, 2);
	srand(3);
	for (uint32_t i = 0; i < N; i++)
		items[i].key = i;
	for (int step = 0; step < 50000; step++) {
		struct item *it = &items[rand() % N];
		struct slice key = slice_of(&it->key, sizeof(it->key));
		struct map_node *found = map_find(&m, key);
		assert_ptr_equal(found, it->inside ? &it->node : NULL);
		if (it->inside)
			map_remove(&m, &it->node);
		else
			map_insert(&m, &it->node, key);
		it->inside = !it->inside;
		count += it->inside ? 1 : (size_t)-1;
		assert_int_equal(m.count, count);
	}
	size_t seen = 0;
	map_for_each(n, &m) {
		assert_true(map_entry(n, struct item, node)->inside);
		seen++;
	}
	assert_int_equal(seen, count);
	map_fini(&m);
	free(items);
}

static void empty(void **state)
{
	struct map m;
	map_init(&m, 1, 2);
	assert_null(map_find(&m, slice_str("x")));
	assert_null(map_first(&m));
	map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_array),
		cmocka_unit_test(empty),
	};
	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
