#include "tests/bench/load_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

double load_server_cpu(pid_t server)
{
	char path[64], text[1024];
	if (server == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)server);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *p = strrchr(text, ')');
	unsigned long user = 0, sys = 0;
	if (p != NULL)
		(void)sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			     &sys);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

long load_server_kib(pid_t server, const char *field)
{
	char path[64], line[256];
	long kib = 0;
	if (server == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return kib;
}
