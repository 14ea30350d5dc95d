/* Profiles in a scratch state folder (spec agent 1.8). */
#include <errno.h>
#include <stdlib.h>

#include "src/agent/agent_conf.h"
#include "src/agent/agent_profile.h"
#include "tests/unit/agent/agent_folder.h"

static struct ln_fail f;

static struct agent_profiles *profiles(void)
{
	struct agent_profiles *p = NULL;
	assert_int_equal(agent_profiles_new(folder_path("state/deep"), NULL, &p, &f), 0);
	return p;
}

static struct agent_profile add(struct agent_profiles *p, const char *name)
{
	struct agent_profile a = { 0 };
	if (agent_profiles_add(p, "ada", name, &folder_rng, &a, &f) < 0)
		fail_msg("%s", f.text);
	return a;
}

static void test_default(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct stat st;
	assert_int_equal(stat(folder_path("state/deep"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_string_equal(agent_profiles_active(p)->id, "default");
	assert_string_equal(agent_profiles_active(p)->path, folder_path("state/deep/default.json"));
	agent_profiles_free(p);
	assert_int_equal(agent_profiles_new(folder, "/elsewhere/c.json", &p, &f), 0);
	assert_string_equal(agent_profiles_active(p)->path, "/elsewhere/c.json");
	agent_profiles_free(p);
}

static void test_add_find_switch(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct agent_profile a = add(p, "work"), found;
	assert_int_equal(strlen(a.id), 32);
	assert_int_equal(access(a.path, F_OK), 0);
	assert_int_equal(agent_profiles_find(p, "work", "ada", &found, &f), 0);
	assert_string_equal(found.id, a.id);
	assert_int_equal(agent_profiles_find(p, a.id, "ada", &found, &f), 0);
	char begin[9] = "";
	memcpy(begin, a.id, 8);
	assert_int_equal(agent_profiles_find(p, begin, "ada", &found, &f), 0);
	assert_int_equal(agent_profiles_find(p, "", "ada", &found, &f), 0);
	assert_string_equal(found.id, "default");
	assert_int_equal(agent_profiles_find(p, "work", "eve", &found, &f), LN_E_NOTFOUND);
	assert_int_equal(agent_profiles_find(p, "nothing", "ada", &found, &f), LN_E_NOTFOUND);
	assert_int_equal(agent_profiles_set_active(p, &a, &f), 0);
	agent_profiles_free(p);
	p = profiles(); /* another run of the daemon */
	assert_string_equal(agent_profiles_active(p)->id, a.id);
	assert_string_equal(agent_profiles_active(p)->name, "work");
	assert_int_equal(agent_profiles_remove(p, &a, &f), LN_E_DENIED);
	agent_profiles_free(p);
	/* Its file is gone: back to the default, not to a new key under an old name. */
	assert_int_equal(unlink(a.path), 0);
	p = profiles();
	assert_string_equal(agent_profiles_active(p)->id, "default");
	agent_profiles_free(p);
}

static void test_names(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct agent_profile a;
	add(p, "work");
	assert_int_equal(agent_profiles_add(p, "ada", "work", &folder_rng, &a, &f), LN_E_CONFLICT);
	assert_int_equal(agent_profiles_add(p, "ada", "default", &folder_rng, &a, &f),
			 LN_E_CONFLICT);
	assert_int_equal(agent_profiles_add(p, "ada", "", &folder_rng, &a, &f), LN_E_MALFORMED);
	assert_int_equal(agent_profiles_add(p, "ada", "\n\t", &folder_rng, &a, &f), LN_E_MALFORMED);
	assert_int_equal(agent_profiles_add(p, "../..", "x", &folder_rng, &a, &f), LN_E_MALFORMED);
	char name[130];
	memset(name, 'n', sizeof(name));
	name[129] = '\0';
	assert_int_equal(agent_profiles_add(p, "ada", name, &folder_rng, &a, &f), LN_E_MALFORMED);
	name[128] = '\0';
	assert_int_equal(agent_profiles_add(p, "ada", name, &folder_rng, &a, &f), 0);
	/* What is no letter leaves the folder's name. */
	assert_int_equal(agent_profiles_add(p, "a/../b", "x", &folder_rng, &a, &f), 0);
	assert_string_equal(a.user, "ab");
	agent_profiles_free(p);
}

static void test_list_and_remove(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct agent_profile a = add(p, "one"), b = add(p, "two"), *v;
	folder_write("state/deep/ada/0123.state.json", "{}");
	folder_write("state/deep/ada/notes.txt", "x");
	folder_write("state/deep/ada/broken.json", "{");
	struct arena m;
	arena_init(&m, (size_t)1 << 20);
	assert_int_equal(agent_profiles_list(p, "ada", &m, &v), 4);
	assert_string_equal(v[0].id, "default");
	assert_int_equal(agent_profiles_list(p, "eve", &m, &v), 1);
	assert_int_equal(agent_profiles_remove(p, &a, &f), 0);
	assert_int_equal(agent_profiles_list(p, "ada", &m, &v), 3);
	assert_int_equal(access(b.path, F_OK), 0);
	arena_fini(&m);
	arena_init(&m, 64);
	assert_int_equal(agent_profiles_list(p, "ada", &m, &v), LN_E_LIMIT);
	arena_fini(&m);
	agent_profiles_free(p);
}

static void test_rename(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct agent_profile a = add(p, "one"), b = add(p, "two"), found;
	struct agent_conf *conf;
	assert_int_equal(agent_profiles_rename(p, &a, "two", NULL, &folder_rng, &f), LN_E_CONFLICT);
	assert_int_equal(agent_profiles_rename(p, &a, "\x01", NULL, &folder_rng, &f),
			 LN_E_MALFORMED);
	assert_int_equal(agent_profiles_rename(p, &a, "default", NULL, &folder_rng, &f),
			 LN_E_CONFLICT);
	assert_int_equal(
		agent_profiles_rename(p, agent_profiles_active(p), "x", NULL, &folder_rng, &f),
		LN_E_DENIED);
	assert_int_equal(agent_profiles_set_active(p, &a, &f), 0);
	assert_int_equal(agent_profiles_rename(p, &a, "uno", NULL, &folder_rng, &f), 0);
	assert_string_equal(agent_profiles_active(p)->name, "uno");
	assert_int_equal(agent_profiles_find(p, "uno", "ada", &found, &f), 0);
	assert_string_equal(found.id, a.id);
	assert_int_equal(agent_profiles_find(p, "one", "ada", &found, &f), LN_E_NOTFOUND);
	/* A configuration that is in use is changed where it is. */
	assert_int_equal(agent_conf_load(b.path, &folder_rng, &conf, &f), 0);
	assert_int_equal(agent_profiles_rename(p, &b, "due", conf, &folder_rng, &f), 0);
	assert_string_equal(conf->name, "due");
	/* It cannot be written: nothing has changed. */
	free(conf->path);
	conf->path = ln_strdup("/nowhere/at/all.json");
	assert_int_equal(agent_profiles_rename(p, &b, "tre", conf, &folder_rng, &f), -ENOENT);
	assert_string_equal(conf->name, "due");
	agent_conf_free(conf);
	agent_profiles_free(p);
}

static void test_up_note(void **state)
{
	(void)state;
	struct agent_profiles *p = profiles();
	struct agent_profile a = add(p, "one"), b = add(p, "two"), v[4];
	const struct agent_profile *up[] = { agent_profiles_active(p), &a, &b };
	assert_int_equal(agent_profiles_read_up(p, v, 4), 0);
	assert_int_equal(agent_profiles_write_up(p, up, 3, &f), 0);
	/* The default profile has no file yet. */
	assert_int_equal(agent_profiles_read_up(p, v, 4), 2);
	assert_string_equal(v[0].id, a.id);
	assert_string_equal(v[1].name, "two");
	assert_int_equal(agent_profiles_read_up(p, v, 1), 1);
	assert_int_equal(agent_profiles_remove(p, &b, &f), 0);
	assert_int_equal(agent_profiles_read_up(p, v, 4), 1);
	static const char *const bad[] = { "", "{}", "7",
					   "[7, {}, {\"name\": \"../x\", "
					   "\"username\": \"ada\"}]" };
	for (size_t i = 0; i < LN_COUNT(bad); i++) {
		folder_write("state/deep/up_profiles.json", bad[i]);
		assert_int_equal(agent_profiles_read_up(p, v, 4), 0);
	}
	agent_profiles_free(p);
}

static void test_hostile_note(void **state)
{
	(void)state;
	static const char *const v[] = {
		"",
		"{",
		"[]",
		"{\"name\": 7}",
		"{\"name\": \"../../etc/passwd\", \"username\": \"a\"}",
		"{\"name\": \"x\", \"username\": \"\"}",
		"{\"name\": \"nosuch\", \"username\": \"ada\"}",
	};
	agent_profiles_free(profiles());
	for (size_t i = 0; i < LN_COUNT(v); i++) {
		folder_write("state/deep/active_profile.json", v[i]);
		struct agent_profiles *p = profiles();
		assert_string_equal(agent_profiles_active(p)->id, "default");
		agent_profiles_free(p);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, folder_new, folder_free)
	const struct CMUnitTest tests[] = {
		T(test_default),         T(test_add_find_switch), T(test_names),
		T(test_list_and_remove), T(test_hostile_note),    T(test_rename),
		T(test_up_note),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
