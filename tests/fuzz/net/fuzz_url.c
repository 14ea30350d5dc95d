/* A URL that parses has an authority that parses to the same. */
#include <stdio.h>

#include "lib/wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct url u, v;
	struct ln_fail f;
	if (url_parse(slice_of(data, size), &u, &f) != 0)
		return 0;
	char a[URL_AUTHORITY_TEXT], text[URL_AUTHORITY_TEXT + 8];
	url_authority(&u, a);
	snprintf(text, sizeof(text), "%s%s", u.tls ? "https://" : "http://", a);
	int r = url_parse(slice_str(text), &v, &f);
	ln_assert(r == 0 && v.port == u.port && v.tls == u.tls && strcmp(v.host, u.host) == 0);
	return 0;
}
