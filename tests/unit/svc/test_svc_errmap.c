/* svc_errmap: every error of ours has a status of its own choosing. */
#include <errno.h>

#include "src/svc/svc_errmap.h"
#include "tests/unit/unit.h"

static void test_map(void **state)
{
	(void)state;
	for (int err = LN_E_INTERNAL; err <= LN_E_TRUNCATED; err++) {
		enum grpc_status s = svc_errmap_grpc(err);
		assert_true(s != GRPC_OK);
		assert_true(err == LN_E_INTERNAL || s != GRPC_INTERNAL);
		assert_true(svc_errmap_http(err) >= 400);
	}
	assert_int_equal(svc_errmap_grpc(0), GRPC_OK);
	assert_int_equal(svc_errmap_grpc(5), GRPC_OK);
	assert_int_equal(svc_errmap_grpc(LN_E_NOTFOUND), GRPC_NOT_FOUND);
	assert_int_equal(svc_errmap_grpc(-EIO), GRPC_INTERNAL);
	assert_int_equal(svc_errmap_http(-EIO), 500);
	assert_int_equal(svc_errmap_http(1), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_map) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
