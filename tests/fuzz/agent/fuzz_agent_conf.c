/* The configuration file: any bytes either load or are refused in words, and never grow. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/agent/agent_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	memset(dst, 7, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ln_rng rng = { fill, NULL };
	char path[64];
	int fd = memfd_create("conf", MFD_CLOEXEC);
	if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size))
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct agent_conf *c = NULL;
	struct ln_fail f = { 0 };
	int err = agent_conf_load(path, &rng, &c, &f);
	if (err == 0) {
		if (c->mtu < AGENT_CONF_MTU_MIN || c->mtu > AGENT_CONF_MTU_MAX ||
		    c->ifname[0] == '\0' || c->blacklist.n > AGENT_CONF_LIST_MAX)
			abort();
		agent_conf_free(c);
	} else if (f.text[0] == '\0') {
		abort();
	}
	close(fd);
	return 0;
}
