/* What an agent says about its host, in the form the store keeps and compares. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/management/management_internal.h"

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* "[a,b,c]" of JSON texts in sorted order: sets that are equal become texts that are equal. */
static const char *join_sorted(char **v, size_t n, struct arena *a)
{
	size_t len = 3;
	for (size_t i = 0; i < n; i++)
		len += strlen(v[i]) + 1;
	char *text = arena_alloc(a, len);
	if (text == NULL)
		return NULL;
	if (n > 0)
		qsort(v, n, sizeof(*v), by_text);
	char *p = text;
	*p++ = '[';
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			*p++ = ',';
		p = stpcpy(p, v[i]);
	}
	stpcpy(p, "]");
	return text;
}

/* One list element as JSON; takes the reference. Null when the arena is full. */
static char *dump(json_t *o, struct arena *a)
{
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	char *copy = text != NULL ? arena_strdup(a, text) : NULL;
	free(text);
	json_decref(o);
	return copy;
}

static const char *addresses(const struct mgmt_meta *m, struct arena *a)
{
	char **v = arena_calloc(a, LN_MAX(m->naddresses, 1u), sizeof(*v));
	size_t n = 0;
	for (size_t i = 0; v != NULL && i < m->naddresses; i++) {
		struct ip_prefix p;
		/* Trap 21: old agents send other things; they are left out. */
		if (strchr(m->addresses[i].prefix, '/') == NULL ||
		    ip_prefix_parse(slice_str(m->addresses[i].prefix), &p) < 0)
			continue;
		v[n] = dump(json_pack("{s:s,s:s}", "ip", m->addresses[i].prefix, "mac",
				      m->addresses[i].mac),
			    a);
		if (v[n++] == NULL)
			return NULL;
	}
	return v != NULL ? join_sorted(v, n, a) : NULL;
}

static const char *files(const struct mgmt_meta *m, struct arena *a)
{
	char **v = arena_calloc(a, LN_MAX(m->nfiles, 1u), sizeof(*v));
	for (size_t i = 0; v != NULL && i < m->nfiles; i++) {
		v[i] = dump(json_pack("{s:s,s:b,s:b}", "path", m->files[i].path, "exists",
				      m->files[i].exists, "running", m->files[i].running),
			    a);
		if (v[i] == NULL)
			return NULL;
	}
	return v != NULL ? join_sorted(v, m->nfiles, a) : NULL;
}

int management_meta_convert(const struct mgmt_meta *from, struct arena *a, struct store_meta *ret)
{
	struct store_meta to = {
		.hostname = from->hostname,
		.go_os = from->go_os,
		.kernel = from->kernel,
		.core = from->core,
		.platform = from->platform,
		.os = from->os,
		.version = from->version,
		.ui_version = from->ui_version,
		.kernel_version = from->kernel_version,
		/* `core` is the legacy twin (spec 1.3). */
		.os_version = from->os_version[0] != '\0' ? from->os_version : from->core,
		.serial_number = from->serial,
		.product = from->product,
		.manufacturer = from->manufacturer,
		.cloud = from->cloud,
		.environment = from->environment,
		.addresses = addresses(from, a),
		.files = files(from, a),
		.flags = from->flags,
		.capabilities = from->capabilities,
		.sync_version = from->sync_version,
	};
	if (to.addresses == NULL || to.files == NULL)
		return LN_E_LIMIT;
	*ret = to;
	return 0;
}
