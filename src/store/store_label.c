#include "src/store/store_label.h"

#include <stdio.h>
#include <string.h>

/* RFC 3492 section 5. */
enum {
	PUNY_BASE = 36,
	PUNY_TMIN = 1,
	PUNY_TMAX = 26,
	PUNY_SKEW = 38,
	PUNY_DAMP = 700,
	PUNY_BIAS = 72,
	PUNY_FIRST = 128
};

#define LABEL_POINTS_MAX 255

/* Code points of the text before the first dot. Number of them or LN_E_MALFORMED. */
static int read_points(const char *s, uint32_t *dst)
{
	int n = 0;
	while (*s != '\0' && *s != '.') {
		unsigned char c = (unsigned char)*s++;
		int more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		uint32_t v = c < 0x80 ? c : c & (0x3fu >> more);
		static const uint32_t lowest[] = { 0, 0x80, 0x800, 0x10000 };
		if (c >= 0xf8 || (c >= 0x80 && c < 0xc0))
			return LN_E_MALFORMED;
		for (int i = 0; i < more; i++) {
			if ((*s & 0xc0) != 0x80)
				return LN_E_MALFORMED;
			v = v << 6 | ((unsigned char)*s++ & 0x3f);
		}
		if (v < lowest[more] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
			return LN_E_MALFORMED;
		if (n == LABEL_POINTS_MAX)
			return LN_E_MALFORMED;
		dst[n++] = v;
	}
	return n;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
	delta = first ? delta / PUNY_DAMP : delta / 2;
	delta += delta / points;
	uint32_t k = 0;
	while (delta > (PUNY_BASE - PUNY_TMIN) * PUNY_TMAX / 2) {
		delta /= PUNY_BASE - PUNY_TMIN;
		k += PUNY_BASE;
	}
	return k + (PUNY_BASE - PUNY_TMIN + 1) * delta / (delta + PUNY_SKEW);
}

struct out {
	char *s;
	size_t n;
	size_t cap;
};

/* What does not fit is cut off: labels are cut anyway. */
static void put(struct out *o, char c)
{
	if (o->n < o->cap)
		o->s[o->n++] = c;
}

static void put_number(struct out *o, uint32_t q, uint32_t bias)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
		uint32_t t = k <= bias ? PUNY_TMIN : k >= bias + PUNY_TMAX ? PUNY_TMAX : k - bias;
		if (q < t)
			break;
		put(o, digits[t + (q - t) % (PUNY_BASE - t)]);
		q = (q - t) / (PUNY_BASE - t);
	}
	put(o, digits[q]);
}

/* 255 points below 0x110000: no intermediate value leaves 32 bits (delta < 0x110000 * 256). */
static void put_punycode(struct out *o, const uint32_t *v, int n)
{
	uint32_t done = 0;
	for (const char *p = "xn--"; *p != '\0'; p++)
		put(o, *p);
	for (int i = 0; i < n; i++) {
		if (v[i] < PUNY_FIRST) {
			put(o, (char)v[i]);
			done++;
		}
	}
	uint32_t basic = done;
	if (basic > 0)
		put(o, '-');
	uint32_t at = PUNY_FIRST, delta = 0, bias = PUNY_BIAS;
	while (done < (uint32_t)n) {
		uint32_t next = UINT32_MAX;
		for (int i = 0; i < n; i++) {
			if (v[i] >= at && v[i] < next)
				next = v[i];
		}
		delta += (next - at) * (done + 1);
		at = next;
		for (int i = 0; i < n; i++) {
			if (v[i] < at)
				delta++;
			if (v[i] != at)
				continue;
			put_number(o, delta, bias);
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
		at++;
	}
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

int store_label_base(const char *name, char dst[STORE_LABEL_TEXT])
{
	uint32_t v[LABEL_POINTS_MAX];
	char label[STORE_LABEL_BASE_MAX + 1];
	struct out o = { .s = label, .cap = STORE_LABEL_BASE_MAX };
	int n = read_points(name, v);
	if (n < 0)
		return n;
	bool ascii = true;
	for (int i = 0; i < n; i++) {
		/* Lower case first: punycode keeps the case of what it copies. */
		if (v[i] >= 'A' && v[i] <= 'Z')
			v[i] += 'a' - 'A';
		ascii = ascii && v[i] < PUNY_FIRST;
	}
	if (!ascii)
		put_punycode(&o, v, n);
	for (int i = 0; ascii && i < n; i++)
		put(&o, (char)v[i]);
	bool any = false;
	for (size_t i = 0; i < o.n; i++) {
		if (!is_label_char(o.s[i]))
			o.s[i] = '-';
		any = any || o.s[i] != '-';
	}
	if (!any)
		return LN_E_MALFORMED;
	memcpy(dst, o.s, o.n);
	dst[o.n] = '\0';
	return 0;
}

void store_label_with_address(const char *base, const struct ip_addr *v4,
			      char dst[STORE_LABEL_TEXT])
{
	snprintf(dst, STORE_LABEL_TEXT, "%.*s-%u-%u", STORE_LABEL_BASE_MAX, base, v4->b[2],
		 v4->b[3]);
}
