#include "lib/wire/grpc_text.h"

static const struct {
	char unit;
	ln_time ns;
} units[] = {
	{ 'u', LN_USEC }, { 'm', LN_MSEC },   { 'S', LN_SEC },
	{ 'n', 1 },       { 'M', LN_MINUTE }, { 'H', LN_HOUR },
};

int grpc_timeout_parse(struct slice text, ln_time *ret)
{
	if (text.n < 2 || text.n > 9)
		return LN_E_MALFORMED;
	ln_time v = 0;
	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return LN_E_MALFORMED;
		v = v * 10 + (text.p[i] - '0');
	}
	for (size_t i = 0; i < LN_COUNT(units); i++)
		if (text.p[text.n - 1] == (uint8_t)units[i].unit) {
			/* 99999999 hours do not fit: that long means no deadline. */
			*ret = v > LN_TIME_NEVER / units[i].ns ? LN_TIME_NEVER : v * units[i].ns;
			return 0;
		}
	return LN_E_MALFORMED;
}

void grpc_timeout_format(ln_time left, char dst[GRPC_TIMEOUT_TEXT])
{
	static const size_t order[] = { 0, 1, 2, 4, 5 };
	ln_time v = 1;
	char unit = 'u';
	for (size_t i = 0; i < LN_COUNT(order) && left > 0; i++) {
		ln_time ns = units[order[i]].ns;
		v = left / ns + (left % ns != 0);
		unit = units[order[i]].unit;
		if (v <= 99999999)
			break;
	}
	char digits[24];
	size_t n = 0;
	for (; v != 0 && n < 8; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	for (size_t i = 0; i < n; i++)
		dst[i] = digits[n - 1 - i];
	dst[n] = unit;
	dst[n + 1] = '\0';
}

void grpc_message_encode(struct slice text, struct str *out)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (c >= ' ' && c <= '~' && c != '%')
			str_addc(out, (char)c);
		else
			str_addn(out, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
	}
}

static int nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.n; i++) {
		int hi = -1, lo = -1;
		if (text.p[i] == '%' && i + 2 < text.n) {
			hi = nibble(text.p[i + 1]);
			lo = nibble(text.p[i + 2]);
		}
		if (hi >= 0 && lo >= 0) {
			str_addc(out, (char)(hi << 4 | lo));
			i += 2;
		} else {
			str_addc(out, (char)text.p[i]);
		}
	}
}
