/* The one function of the commands that lives beside main(). */
#include <stdarg.h>
#include <stdio.h>

#include "src/cmd/linnet_cli.h"

int linnet_fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	return 1;
}
