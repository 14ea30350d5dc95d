/*
 * The program `linnet` against a daemon made here: a child process that serves the recorded answers
 * over a Unix socket and writes down what it is asked. What it was asked must be what NetBird's
 * command line asks, byte for byte.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/hex.h"
#include "lib/daemon/daemon_msg.h"

#include "src/net/net_grpc.h"
#include "tests/unit/unit.h"

static char dir[64];
static pid_t server;
static char out[65536];

/* --- the daemon --------------------------------------------------------------------------------
 */

struct fake {
	FILE *log;
	const char *status; /* word of the Status answer */
	enum grpc_status login;
	bool slow;
	bool forgetful; /* the profile of SwitchProfile is not listed */
};

static struct fake fake;

static void answer(struct grpc_call *c, const struct str *msg, enum grpc_status status,
		   const char *text)
{
	if (status == GRPC_OK)
		assert_int_equal(grpc_call_send(c, str_slice(msg)), 0);
	grpc_call_finish(c, status, text);
}

static void on_message(struct grpc_call *c, struct slice msg)
{
	const char *method = grpc_call_user(c);
	char *hex = ln_alloc(2 * msg.n + 1);
	struct str reply;
	enum grpc_status status = GRPC_OK;
	str_init(&reply, 0);
	hex_encode(msg, hex);
	fprintf(fake.log, "%s %s\n", method, hex);
	fflush(fake.log);
	free(hex);
	if (strcmp(method, "Status") == 0) {
		struct daemon_status_response st = { .status = fake.status, .version = "0.77.1" };
		daemon_status_response_write(&reply, &st);
	} else if (strcmp(method, "GetActiveProfile") == 0) {
		struct daemon_active_profile p = { .name = "default",
						   .username = "",
						   .id = "default" };
		daemon_active_profile_write(&reply, &p);
	} else if (strcmp(method, "ListProfiles") == 0) {
		struct daemon_profile v[] = { { .name = "default", .id = "default" },
					      { .name = "new", .id = "0123abcd" } };
		struct daemon_profile_list list = { .profiles = v,
						    .nprofiles = fake.forgetful ? 1 : 2 };
		daemon_profile_list_write(&reply, &list);
	} else if (strcmp(method, "Login") == 0) {
		status = fake.login;
		if (fake.slow)
			usleep(2300000);
	} else if (strcmp(method, "SwitchProfile") == 0) {
		status = memmem(msg.p, msg.n, "new", 3) != NULL && fake.slow ? GRPC_NOT_FOUND
									     : GRPC_OK;
		fake.slow = false; /* the second time it is there */
		struct daemon_profile_id id = { .id = "0123abcd" };
		daemon_profile_id_write(&reply, &id);
	}
	answer(c, &reply, status, status == GRPC_OK ? "" : "setup key is invalid");
	str_fini(&reply);
}

static void on_open(void *service, struct grpc_call *c)
{
	grpc_call_set_user(c, service);
}

static void on_closed(struct grpc_call *c)
{
	(void)c;
}

static void serve(const char *socket, const char *log)
{
	static char names[][24] = {
		"Status", "SetConfig",        "Login",         "Up",         "Down",
		"Logout", "GetActiveProfile", "SwitchProfile", "AddProfile", "ListProfiles"
	};
	static char paths[LN_COUNT(names)][64];
	struct grpc_method rows[LN_COUNT(names)];
	struct ev_loop *l = ev_loop_new();
	struct grpc_server *s = grpc_server_new(l, &(struct grpc_server_conf){ 0 });
	for (size_t i = 0; i < LN_COUNT(names); i++) {
		snprintf(paths[i], sizeof(paths[i]), DAEMON_SERVICE "%s", names[i]);
		rows[i] = (struct grpc_method){ .path = paths[i],
						.service = names[i],
						.open = on_open,
						.message = on_message,
						.closed = on_closed };
	}
	grpc_server_add(s, rows, LN_COUNT(rows));
	fake.log = fopen(log, "a");
	if (fake.log == NULL || grpc_server_listen_unix(s, socket, 0600, NULL) < 0)
		_exit(1);
	alarm(30);
	ev_loop_run(l);
	_exit(0);
}

static void start(struct fake f)
{
	char socket[128], log[128];
	snprintf(socket, sizeof(socket), "%s/d.sock", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	unlink(socket);
	fake = f;
	server = fork();
	if (server == 0)
		serve(socket, log);
	for (int i = 0; i < 500 && access(socket, F_OK) != 0; i++)
		usleep(10000);
}

static void stop(void)
{
	if (server <= 0)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
}

/* --- the command --------------------------------------------------------------------------------
 */

/* Runs linnet with the words; both outputs into `out`; the exit status. */
static int linnet(const char *words)
{
	char command[1024];
	snprintf(
		command, sizeof(command),
		"cd / && env -i HOME=%s PATH=/usr/bin:/bin %s --daemon-addr unix://%s/d.sock %s 2>&1",
		dir, getenv("LINNET"), dir, words);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t n = fread(out, 1, sizeof(out) - 1, pipe);
	out[n] = '\0';
	int status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The log so far, emptied for the next command. */
static char *asked(void)
{
	static char text[65536];
	char path[128];
	snprintf(path, sizeof(path), "%s/log", dir);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	assert_int_equal(truncate(path, 0), 0);
	return text;
}

static void add_vector(struct str *dst, const char *method, const char *name)
{
	char path[512], hex[1024];
	uint8_t bytes[512];
	const char *root = getenv("LN_VECTORS");
	snprintf(path, sizeof(path), "%s/daemon-calls/%s.request.bin",
		 root != NULL ? root : "tests/vectors", name);
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("%s is missing", path);
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	hex_encode(slice_of(bytes, n), hex);
	str_addf(dst, "%s %s\n", method, hex);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ln-linnet-XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	stop(); /* when a test failed before its end */
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static bool runnable(void)
{
	if (getenv("LINNET") != NULL && geteuid() == 0)
		return true;
	print_message("skipped: needs LINNET and the user of the recording, root\n");
	return false;
}

static void test_same_requests_as_netbird(void **state)
{
	(void)state;
	if (!runnable())
		skip();
	struct str want;
	str_init(&want, 0);
	start((struct fake){ .status = "NeedsLogin" });
	assert_int_equal(linnet("up --management-url http://198.51.100.10:80 --hostname host-a "
				"--setup-key 896ABAB4-0734-452F-AD53-FA0C7B126D05"),
			 0);
	assert_string_equal(out, "Connected\n");
	add_vector(&want, "Status", "up-Status");
	add_vector(&want, "SetConfig", "up-SetConfig");
	add_vector(&want, "Login", "up-Login");
	add_vector(&want, "Up", "up-Up");
	assert_string_equal(asked(), str_c(&want));
	str_clear(&want);
	assert_int_equal(linnet("login"), 0);
	add_vector(&want, "Login", "login-Login");
	assert_string_equal(asked(), str_c(&want));
	str_clear(&want);
	assert_int_equal(linnet("status"), 0);
	assert_non_null(strstr(out, "Daemon status: NeedsLogin"));
	add_vector(&want, "Status", "status-Status");
	str_add(&want, "GetActiveProfile \n");
	assert_string_equal(asked(), str_c(&want));
	assert_int_equal(linnet("down"), 0);
	assert_string_equal(out, "Disconnected\n");
	assert_string_equal(asked(), "Down \n");
	assert_int_equal(linnet("deregister"), 0);
	assert_string_equal(out, "Deregistered successfully\n");
	assert_string_equal(asked(), "Logout \n");
	assert_int_equal(linnet("status --check ready"), 1);
	assert_string_equal(out, "Error: readiness check: daemon status is NeedsLogin\n");
	assert_string_equal(asked(), "Status \n");
	assert_int_equal(linnet("status --check live"), 0);
	assert_string_equal(out, "");
	stop();
	str_fini(&want);
}

static void test_already_connected(void **state)
{
	(void)state;
	if (!runnable())
		skip();
	start((struct fake){ .status = "Connected" });
	assert_int_equal(linnet("up --mtu 1400"), 0);
	assert_string_equal(out, "Already connected\n");
	assert_string_equal(asked(), "Status 1801\n");
	/* Another profile: made, chosen, the first one taken down. */
	stop();
	start((struct fake){ .status = "Connected", .slow = true });
	assert_int_equal(linnet("up --profile new"), 0);
	const char *log = asked();
	static const char *const order[] = { "SwitchProfile", "AddProfile", "SwitchProfile",
					     "Status",        "Down",       "SetConfig",
					     "Login",         "Up" };
	for (size_t i = 0; i < LN_COUNT(order); i++) {
		assert_int_equal(strncmp(log, order[i], strlen(order[i])), 0);
		log = strchr(log, '\n') + 1;
	}
	assert_string_equal(log, "");
	/* It stays the profile of this user. */
	assert_int_equal(linnet("login"), 0);
	assert_non_null(strstr(asked(), "3031323361626364")); /* 0123abcd */
	stop();
}

/* The profile of last time is gone: said, replaced, and with the usual daemon forgotten. */
static void test_lost_profile(void **state)
{
	(void)state;
	if (!runnable())
		skip();
	start((struct fake){ .status = "NeedsLogin" });
	assert_int_equal(linnet("login --profile new"), 0);
	assert_int_equal(linnet("login"), 0);
	assert_null(strstr(out, "does not exist"));
	stop();
	start((struct fake){ .status = "NeedsLogin", .forgetful = true });
	(void)asked();
	assert_int_equal(linnet("up"), 0);
	assert_non_null(strstr(out, "The profile used last time (0123abcd) does not exist here: "
				    "using \"default\"."));
	const char *log = asked();
	assert_non_null(strstr(log, "SetConfig"));
	assert_null(strstr(strstr(log, "SetConfig"), "3031323361626364"));
	stop();
}

static void test_refused_login(void **state)
{
	(void)state;
	if (!runnable())
		skip();
	start((struct fake){ .status = "NeedsLogin", .login = GRPC_PERMISSION_DENIED });
	assert_int_equal(linnet("up -k BAD"), 1);
	assert_string_equal(out, "Error: login failed: setup key is invalid\n");
	assert_int_equal(linnet("up --mtu 5"), 1);
	assert_non_null(strstr(out, "--mtu: 5 is not between 576 and 8192"));
	stop();
	start((struct fake){ .status = "NeedsLogin", .slow = true });
	assert_int_equal(linnet("up -m http://198.51.100.10"), 0);
	assert_non_null(strstr(out, "Logging in at http://198.51.100.10 ...\n")); /* progress */
	stop();
}

static void test_no_daemon(void **state)
{
	(void)state;
	if (!runnable())
		skip();
	assert_int_equal(linnet("status"), 1);
	assert_non_null(strstr(out, "linnet service start"));
	assert_non_null(strstr(out, "linnetd"));
	assert_int_equal(linnet("down"), 1);
	assert_int_equal(linnet("version"), 0);
	assert_string_equal(out, LINNET_VERSION "\n");
	assert_int_equal(linnet("status -d -j"), 1);
	assert_non_null(strstr(out, "[detail json] were all set"));
	assert_int_equal(linnet("status -S foo"), 1);
	assert_int_equal(linnet("status -I x"), 1);
}

static void test_manual_is_current(void **state)
{
	(void)state;
	const char *source = getenv("LINNET_SOURCE");
	if (source == NULL || getenv("LINNET") == NULL)
		skip();
	char path[512];
	assert_int_equal(linnet("manual"), 0);
	snprintf(path, sizeof(path), "%s/docs/man/linnet.1", source);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		fail_msg("%s is missing: linnet manual > docs/man/linnet.1", path);
	static char text[65536];
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	if (strcmp(out, text) != 0)
		fail_msg("docs/man/linnet.1 is old: linnet manual > docs/man/linnet.1");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_requests_as_netbird, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_already_connected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lost_profile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_login, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_daemon, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_manual_is_current, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("linnet_up", tests, NULL, NULL);
}
