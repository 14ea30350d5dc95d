/* svc_notify: datagrams to a file socket and to an abstract one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/svc/svc_notify.h"
#include "tests/unit/unit.h"

static void receive_one(const char *name, bool abstract)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char buf[100];
	size_t n = strlen(name);
	memcpy(sa.sun_path, name, n);
	if (abstract)
		sa.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			 0);
	assert_int_equal(svc_notify_send(name, "READY=1\nSTATUS=x"), 0);
	ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(got, 16);
	assert_memory_equal(buf, "READY=1\nSTATUS=x", 16);
	close(fd);
}

static void test_send(void **state)
{
	char dir[] = "/tmp/ln-notify-XXXXXX", path[64];
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	receive_one(path, false);
	assert_int_equal(svc_notify_send(path, "x"), -ECONNREFUSED);
	unlink(path);
	rmdir(dir);
	snprintf(path, sizeof(path), "@ln-notify-%ld", (long)getpid());
	receive_one(path, true);
}

static void test_refused(void **state)
{
	char longest[200];
	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(svc_notify_send(NULL, "x"), 0);
	assert_int_equal(svc_notify_send("", "x"), 0);
	assert_int_equal(svc_notify_send("vsock:1:2", "x"), LN_E_MALFORMED);
	assert_int_equal(svc_notify_send(longest, "x"), LN_E_MALFORMED);
	assert_int_equal(svc_notify_send("/nonexistent/s", "x"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
