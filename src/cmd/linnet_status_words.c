#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/cmd/linnet_status.h"

static int put(char *dst, long long n, const char *unit)
{
	return snprintf(dst, LINNET_WORD_MAX, "%lld %s%s", n, unit, n == 1 ? "" : "s");
}

/* A big and a small unit; the small one only when it is not zero. */
static void put_two(char *dst, long long big, const char *big_unit, long long small,
		    const char *small_unit)
{
	char tail[LINNET_WORD_MAX] = "";
	if (small != 0)
		(void)put(tail, small, small_unit);
	int n = put(dst, big, big_unit);
	snprintf(dst + n, LINNET_WORD_MAX - (size_t)n, "%s%s ago", small != 0 ? ", " : "", tail);
}

void linnet_status_ago(ln_wall at, ln_wall now, char dst[LINNET_WORD_MAX])
{
	long long s = (now - at) / LN_SEC;
	if (at == 0)
		strcpy(dst, "-");
	else if (s < 1)
		strcpy(dst, "Now");
	else if (s < 60)
		put_two(dst, s, "second", 0, "");
	else if (s < 3600)
		put_two(dst, s / 60, "minute", s % 60, "second");
	else if (s < 86400)
		put_two(dst, s / 3600, "hour", s % 3600 / 60, "minute");
	else
		put_two(dst, s / 86400, "day", s % 86400 / 3600, "hour");
}

void linnet_status_size(int64_t bytes, char dst[LINNET_WORD_MAX])
{
	static const char units[] = "KMGTPE";
	if (bytes < 1024) {
		snprintf(dst, LINNET_WORD_MAX, "%lld B", (long long)bytes);
		return;
	}
	int64_t unit = 1024;
	size_t i = 0;
	for (int64_t n = bytes / 1024; n >= 1024; n /= 1024) {
		unit *= 1024;
		i++;
	}
	snprintf(dst, LINNET_WORD_MAX, "%.1f %ciB", (double)bytes / (double)unit, units[i]);
}

/* A whole number of `unit` and its fraction without zeros at the end. */
static size_t put_fraction(char *dst, int64_t t, int64_t unit, const char *name)
{
	char fraction[16] = "";
	if (t % unit != 0) {
		int digits = 0;
		for (int64_t u = unit; u > 1; u /= 10)
			digits++;
		int n = snprintf(fraction, sizeof(fraction), ".%0*lld", digits,
				 (long long)(t % unit));
		while (n > 0 && fraction[n - 1] == '0')
			fraction[--n] = '\0';
	}
	return (size_t)snprintf(dst, LINNET_WORD_MAX / 2, "%lld%s%s", (long long)(t / unit),
				fraction, name);
}

void linnet_status_span(ln_time t, char dst[LINNET_WORD_MAX])
{
	size_t n = 0;
	if (t < 0) {
		dst[n++] = '-';
		t = t == INT64_MIN ? INT64_MAX : -t;
	}
	if (t == 0)
		strcpy(dst, "0s");
	else if (t < LN_USEC)
		snprintf(dst + n, LINNET_WORD_MAX - n, "%lldns", (long long)t);
	else if (t < LN_MSEC)
		put_fraction(dst + n, t, LN_USEC, "µs");
	else if (t < LN_SEC)
		put_fraction(dst + n, t, LN_MSEC, "ms");
	else {
		if (t >= LN_HOUR)
			n += (size_t)snprintf(dst + n, LINNET_WORD_MAX / 4, "%lldh",
					      (long long)(t / LN_HOUR));
		if (t >= LN_MINUTE)
			n += (size_t)snprintf(dst + n, LINNET_WORD_MAX / 4, "%lldm",
					      (long long)(t % LN_HOUR / LN_MINUTE));
		put_fraction(dst + n, t % LN_MINUTE, LN_SEC, "s");
	}
}

void linnet_status_time(ln_wall at, char dst[LINNET_WORD_MAX])
{
	time_t seconds = at / LN_SEC - (at % LN_SEC < 0);
	long long ns = at - (ln_wall)seconds * LN_SEC;
	struct tm tm;
	localtime_r(&seconds, &tm);
	size_t n = strftime(dst, LINNET_WORD_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (ns != 0) {
		n += (size_t)snprintf(dst + n, LINNET_WORD_MAX - n, ".%09lld", ns);
		while (dst[n - 1] == '0')
			dst[--n] = '\0';
	}
	long zone = tm.tm_gmtoff / 60;
	if (zone == 0)
		snprintf(dst + n, LINNET_WORD_MAX - n, "Z");
	else
		snprintf(dst + n, LINNET_WORD_MAX - n, "%c%02ld:%02ld", zone < 0 ? '-' : '+',
			 (zone < 0 ? -zone : zone) / 60, (zone < 0 ? -zone : zone) % 60);
}

void linnet_status_until(ln_wall at, ln_wall now, char dst[LINNET_WORD_MAX])
{
	bool passed = at < now;
	long long s = (passed ? now - at : at - now) / LN_SEC;
	char text[LINNET_WORD_MAX / 2];
	long long d = s / 86400, h = s % 86400 / 3600, m = s % 3600 / 60;
	if (d > 0 && h > 0)
		snprintf(text, sizeof(text), "%lldd %lldh", d, h);
	else if (d > 0)
		snprintf(text, sizeof(text), "%lldd", d);
	else if (h > 0 && m > 0)
		snprintf(text, sizeof(text), "%lldh %lldm", h, m);
	else if (h > 0)
		snprintf(text, sizeof(text), "%lldh", h);
	else if (m > 0)
		snprintf(text, sizeof(text), "%lldm", m);
	else
		snprintf(text, sizeof(text), "%llds", s);
	snprintf(dst, LINNET_WORD_MAX, "%s%s%s", passed ? "expired " : "", text,
		 passed ? " ago" : "");
}
