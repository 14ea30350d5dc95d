/* The port that stands in for a busy one. */
#include <errno.h>

#include "src/agent/agent_port.h"
#include "tests/unit/agent/agent_folder.h"

static struct ln_fail f;

static void test_kept_for_the_wanted_one(void **state)
{
	(void)state;
	char profile[256];
	(void)snprintf(profile, sizeof(profile), "%s", folder_path("default.json"));
	assert_int_equal(agent_port_read(profile, 51820), 0);
	assert_int_equal(agent_port_write(profile, 51820, 40001, &f), 0);
	assert_int_equal(agent_port_read(profile, 51820), 40001);
	assert_int_equal(agent_port_read(profile, 51821), 0); /* the user wants another one now */
	assert_int_equal(access(folder_path("default.port.json"), F_OK), 0);
	assert_int_equal(agent_port_write(profile, 51820, 40002, &f), 0);
	assert_int_equal(agent_port_read(profile, 51820), 40002);
	assert_int_equal(agent_port_write(profile, 51820, 51820, &f), 0);
	assert_int_equal(agent_port_write(profile, 51820, 51820, &f), 0);
	assert_int_equal(agent_port_read(profile, 51820), 0);
	assert_int_equal(agent_port_write("/nonexistent/p.json", 1, 2, &f), -ENOENT);
	assert_non_null(strstr(f.text, "/nonexistent"));
}

static void test_notes_of_others(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "{",
					   "[51820, 40001]",
					   "{\"wanted\":51820}",
					   "{\"wanted\":51820,\"port\":0}",
					   "{\"wanted\":51820,\"port\":-1}",
					   "{\"wanted\":51820,\"port\":65536}",
					   "{\"wanted\":\"51820\",\"port\":40001}",
					   "{\"wanted\":117356,\"port\":40001}" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		folder_write("p.port.json", bad[i]);
		assert_int_equal(agent_port_read(folder_path("p.json"), 51820), 0);
	}
	folder_write("p.port.json", "{\"wanted\":51820,\"port\":65535}");
	assert_int_equal(agent_port_read(folder_path("p.json"), 51820), 65535);
	assert_int_equal(agent_port_read(folder_path("p"), 51820), 65535); /* any name will do */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept_for_the_wanted_one, folder_new,
						folder_free),
		cmocka_unit_test_setup_teardown(test_notes_of_others, folder_new, folder_free),
	};
	return cmocka_run_group_tests_name("agent_port", tests, NULL, NULL);
}
