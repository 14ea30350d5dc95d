#include "src/agent/agent_port.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/agent/agent_file.h"

#define NOTE_MAX 4096

static int agent_port_path(const char *profile_path, char dst[PATH_MAX])
{
	size_t n = strlen(profile_path);
	if (n > 5 && strcmp(profile_path + n - 5, ".json") == 0)
		n -= 5;
	int len = snprintf(dst, PATH_MAX, "%.*s.port.json", (int)n, profile_path);
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

uint16_t agent_port_read(const char *profile_path, uint16_t wanted)
{
	char path[PATH_MAX];
	struct str text;
	json_t *note = NULL;
	str_init(&text, NOTE_MAX);
	if (agent_port_path(profile_path, path) == 0 && agent_file_read(path, &text, NULL) == 0)
		note = json_loadb(str_c(&text), text.n, 0, NULL);
	json_int_t was = json_integer_value(json_object_get(note, "wanted"));
	json_int_t port = json_integer_value(json_object_get(note, "port"));
	json_decref(note);
	str_fini(&text);
	return was == wanted && port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

int agent_port_write(const char *profile_path, uint16_t wanted, uint16_t port, struct ln_fail *f)
{
	char path[PATH_MAX], text[64];
	int err = agent_port_path(profile_path, path);
	if (err < 0)
		return ln_fail(f, err, "%s: %s", profile_path, ln_strerror(err));
	if (port == wanted) {
		if (unlink(path) < 0 && errno != ENOENT)
			return ln_fail(f, -errno, "%s: %s", path, strerror(errno));
		return 0;
	}
	int n = snprintf(text, sizeof(text), "{\"wanted\":%u,\"port\":%u}\n", wanted, port);
	return agent_file_write(path, slice_of(text, (size_t)n), f);
}
