#include "lib/netmap/netmap_version.h"

#include <stddef.h>
#include <string.h>

#define PART_MAX 1000000u

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Digits at *s, moved past them; false when there is none or the number is out of all reason. */
static bool read_part(const char **s, unsigned *ret)
{
	unsigned v = 0;
	const char *p = *s;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (unsigned)(*p - '0');
		if (v > PART_MAX)
			return false;
	}
	if (p == *s)
		return false;
	*s = p;
	*ret = v;
	return true;
}

struct netmap_version netmap_version_parse(const char *text)
{
	const struct netmap_version none = { .kind = -1 };
	struct netmap_version v = { .kind = 0 };
	if (text == NULL)
		return none;
	if (starts(text, "development") || starts(text, "dev-") || starts(text, "ci-"))
		return (struct netmap_version){ .kind = 1 };
	const char *p = *text == 'v' ? text + 1 : text;
	for (size_t i = 0; i < 3; i++) {
		if (i > 0) {
			/* "0.70" is "0.70.0". */
			if (*p != '.')
				break;
			p++;
		}
		if (!read_part(&p, &v.num[i]))
			return none;
	}
	if (*p != '\0' && *p != '-' && *p != '+')
		return none;
	v.prerelease = *p == '-';
	return v;
}

int netmap_version_cmp(const char *a, const char *b)
{
	struct netmap_version x = netmap_version_parse(a);
	struct netmap_version y = netmap_version_parse(b);
	if (x.kind != y.kind)
		return x.kind < y.kind ? -1 : 1;
	for (size_t i = 0; i < 3; i++) {
		if (x.num[i] != y.num[i])
			return x.num[i] < y.num[i] ? -1 : 1;
	}
	return 0;
}

bool netmap_version_since(const char *text, const char *min)
{
	return netmap_version_cmp(text, min) >= 0;
}
