/* linnet-server admin: words become requests, answers become text. */
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_server_admin.h"
#include "tests/unit/unit.h"

static int other(void *user, const char *name, const char *value)
{
	(void)value;
	strcpy(user, name);
	return 0;
}

static const struct linnet_server_verb *verb(const char *noun, const char *name)
{
	for (size_t i = 0; i < linnet_server_nverbs; i++)
		if (strcmp(linnet_server_verbs[i].noun, noun) == 0 &&
		    strcmp(linnet_server_verbs[i].verb, name) == 0)
			return &linnet_server_verbs[i];
	fail();
	return NULL;
}

/* The request as sorted JSON, or the reason. */
static char *ask(const char *noun, const char *name, const char *const *words)
{
	char *argv[24], seen[32] = "";
	int argc = 0;
	struct ln_fail f;
	json_t *request;
	for (; words[argc] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	if (linnet_server_admin_request(verb(noun, name), argc, argv, other, seen, &request, &f) <
	    0)
		return strdup(f.text);
	char *text = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(request);
	return text;
}

#define EXPECT(noun, name, text, ...)                                                              \
 do {                                                                                              \
  char *got = ask(noun, name, (const char *const[]){ __VA_ARGS__, NULL });                         \
  assert_string_equal(got, text);                                                                  \
  free(got);                                                                                       \
 } while (0)

static void test_requests(void **state)
{
	(void)state;
	EXPECT("setup-key", "create",
	       "{\"args\":{\"expires\":86400,\"groups\":[\"a\",\"b\"],\"name\":\"k\",\"reusable\":"
	       "true,\"usage_limit\":5},\"noun\":\"setup-key\",\"verb\":\"create\"}",
	       "--name", "k", "--reusable", "--expires", "24h", "--usage-limit=5", "--group", "a",
	       "--group", "b", "--json", "--config", "x");
	EXPECT("setup-key", "create",
	       "{\"args\":{\"expires\":2592000,\"name\":\"k\"},\"noun\":\"setup-key\",\"verb\":"
	       "\"create\"}",
	       "--expires", "30d", "--name=k");
	EXPECT("peer", "rename",
	       "{\"args\":{\"name\":\"new\",\"peer\":\"old\"},\"noun\":\"peer\",\"verb\":\"rename\"}",
	       "old", "new");
	EXPECT("policy", "create",
	       "{\"args\":{\"name\":\"p\",\"rules\":[{\"bidirectional\":false,\"destinations\":"
	       "[\"All\"],\"ports\":[\"80\",\"8000-8010\"],\"protocol\":\"tcp\",\"sources\":"
	       "[\"All\"]}]},\"noun\":\"policy\",\"verb\":\"create\"}",
	       "--name", "p", "--protocol", "tcp", "--port", "80", "--port", "8000-8010",
	       "--one-way", "--source", "All", "--destination", "All");
	EXPECT("policy", "edit",
	       "{\"args\":{\"description\":\"d\",\"policy\":\"p\"},\"noun\":\"policy\",\"verb\":"
	       "\"edit\"}",
	       "p", "--description", "d");
}

static void test_refusals(void **state)
{
	(void)state;
	EXPECT("setup-key", "create", "setup-key create wants --name (see --help)", "--reusable");
	EXPECT("setup-key", "create",
	       "--expires: \"24\" is not allowed; allowed: a time such as 24h, 90m or 30d; 0 for "
	       "ever",
	       "--name", "k", "--expires", "24");
	EXPECT("setup-key", "create",
	       "--usage-limit: \"-1\" is not allowed; allowed: a whole number from 0", "--name",
	       "k", "--usage-limit=-1");
	EXPECT("setup-key", "create", "--name: \"(not UTF-8)\" is not allowed; allowed: UTF-8 text",
	       "--name", "\xff");
	EXPECT("peer", "delete", "peer delete wants PEER", "--json");
	EXPECT("peer", "delete", "unexpected word \"b\"; see --help", "a", "b");
	EXPECT("peer", "delete", "there is no option --force; see --help", "a", "--force");
	EXPECT("policy", "create",
	       "/nonexistent:-1: unable to open /nonexistent: No such file or "
	       "directory",
	       "--name", "p", "--rules", "/nonexistent");
}

static void expect_text(const char *noun, const char *name, const char *json, const char *text)
{
	struct str got;
	json_t *result = json_loads(json, 0, NULL);
	assert_non_null(result);
	str_init(&got, 0);
	linnet_server_admin_text(verb(noun, name), result, &got);
	assert_string_equal(str_c(&got), text);
	str_fini(&got);
	json_decref(result);
}

static void test_text(void **state)
{
	(void)state;
	expect_text("peer", "delete", "{}", "Done.\n");
	expect_text("group", "list", "{\"groups\": []}", "There is no group.\n");
	expect_text("group", "list",
		    "{\"groups\": [{\"id\": \"g1\", \"name\": \"All\", \"peers\": [{\"id\": \"a\", "
		    "\"name\": \"h\xc3\xa4\"}, {\"name\": \"b\\u001b[31m\"}]}, {\"id\": \"g22\", "
		    "\"name\": \"x\", \"peers\": []}]}",
		    "ID   NAME  PEERS\n"
		    "g1   All   h\xc3\xa4, b?[31m\n"
		    "g22  x     -\n");
	expect_text(
		"policy", "show",
		"{\"id\": \"p\", \"enabled\": true, \"rules\": [{\"enabled\": true, \"action\": "
		"\"accept\", \"protocol\": \"tcp\", \"ports\": [\"80\", \"443\"], "
		"\"bidirectional\": false, \"sources\": [{\"name\": \"A\"}], \"destinations\": "
		"[], \"source_peer\": null, \"destination_peer\": {\"id\": \"1\", \"name\": "
		"\"b\"}}]}",
		"id:      p\n"
		"enabled: yes\n"
		"rules:   accept tcp 80, 443 from A to b\n");
	expect_text("account", "show", "{\"serial\": 7, \"last_seen\": null}",
		    "serial:    7\nlast seen: -\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
