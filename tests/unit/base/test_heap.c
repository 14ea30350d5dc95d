#include <stdlib.h>

#include "lib/base/heap.h"

#include "tests/unit/unit.h"

#define N 300

/* Random moves against a slow, obviously right twin: a linear search. */
static void against_linear_search(void **state)
{
	struct heap h;
	struct heap_node nodes[N];
	heap_init(&h);
	srand(7);
	for (size_t i = 0; i < N; i++)
		heap_node_init(&nodes[i]);
	for (int step = 0; step < 20000; step++) {
		struct heap_node *n = &nodes[rand() % N];
		heap_set(&h, n, rand() % 4 == 0 ? LN_TIME_NEVER : rand() % 1000);
		ln_time least = LN_TIME_NEVER;
		size_t count = 0;
		for (size_t i = 0; i < N; i++) {
			if (nodes[i].index != HEAP_NONE) {
				least = ln_time_min(least, nodes[i].at);
				count++;
			}
		}
		assert_true(heap_deadline(&h) == least);
		assert_int_equal(h.count, count);
	}
	ln_time last = 0;
	while (heap_top(&h) != NULL) {
		assert_true(heap_top(&h)->at >= last);
		last = heap_top(&h)->at;
		heap_remove(&h, heap_top(&h));
	}
	heap_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(against_linear_search) };
	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
