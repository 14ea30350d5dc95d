#pragma once
/*
 * What a load generator reads about the server it loads: /proc of that process. Zero when the
 * process is 0 or gone.
 */
#include <sys/types.h>

double load_server_cpu(pid_t server);                  /* seconds, user and system */
long load_server_kib(pid_t server, const char *field); /* "VmRSS", "VmHWM" */
