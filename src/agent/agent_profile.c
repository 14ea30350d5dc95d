#include "src/agent/agent_profile.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/hex.h"

#include "src/agent/agent_conf.h"
#include "src/agent/agent_file.h"
#include "src/agent/agent_port.h"

#define AGENT_PROFILE_NAME_MAX 128 /* characters people see */

struct agent_profiles {
	char dir[768];
	char note[896];
	struct agent_profile fallback; /* the default profile */
	struct agent_profile active;
};

/* Letters, digits, _ and -: what a file stem or user folder may hold. */
static bool agent_profile_stem_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool agent_profile_stem(const char *src, size_t n, char dst[AGENT_PROFILE_ID_MAX + 1])
{
	if (n == 0 || n > AGENT_PROFILE_ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!agent_profile_stem_char(src[i]))
			return false;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return true;
}

/* The folder of a user: every other character of the name is left out. */
static bool agent_profile_user(const char *user, char dst[AGENT_PROFILE_ID_MAX + 1])
{
	size_t n = 0;
	for (; *user != '\0' && n < AGENT_PROFILE_ID_MAX; user++)
		if (agent_profile_stem_char(*user))
			dst[n++] = *user;
	dst[n] = '\0';
	return n > 0;
}

static void agent_profile_set(struct agent_profile *ret, const char *dir, const char *user,
			      const char *id)
{
	*ret = (struct agent_profile){ 0 };
	(void)snprintf(ret->id, sizeof(ret->id), "%s", id);
	(void)snprintf(ret->user, sizeof(ret->user), "%s", user);
	(void)snprintf(ret->path, sizeof(ret->path), "%s/%s/%s.json", dir, user, id);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", id);
}

static json_t *agent_profile_json(const char *path)
{
	struct str text;
	str_init(&text, (size_t)1 << 20);
	json_t *o = NULL;
	if (agent_file_read(path, &text, NULL) == 0)
		o = json_loadb(str_c(&text), text.n, 0, NULL);
	str_fini(&text);
	if (o != NULL && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* The display name lies in the configuration itself. */
static void agent_profile_read_name(struct agent_profile *p)
{
	json_t *o = agent_profile_json(p->path);
	const char *name = json_string_value(json_object_get(o, "Name"));
	if (name != NULL && name[0] != '\0')
		(void)snprintf(p->name, sizeof(p->name), "%s", name);
	json_decref(o);
}

/* --- life --------------------------------------------------------------------------------------*/

/* {"name": id, "username": user}: the key is "name" but holds the id (spec agent trap 12). False
 * when there is no such profile. */
static bool agent_profile_from_note(const struct agent_profiles *p, const json_t *o,
				    struct agent_profile *ret)
{
	const char *id = json_string_value(json_object_get(o, "name"));
	const char *user = json_string_value(json_object_get(o, "username"));
	char stem[AGENT_PROFILE_ID_MAX + 1], folder[AGENT_PROFILE_ID_MAX + 1];
	if (id == NULL || user == NULL)
		return false;
	if (strcmp(id, AGENT_PROFILE_DEFAULT) == 0) {
		*ret = p->fallback;
	} else if (agent_profile_stem(id, strlen(id), stem) && agent_profile_user(user, folder)) {
		agent_profile_set(ret, p->dir, folder, stem);
		agent_profile_read_name(ret);
	} else {
		return false;
	}
	return access(ret->path, F_OK) == 0;
}

static void agent_profiles_read_active(struct agent_profiles *p)
{
	json_t *o = agent_profile_json(p->note);
	if (!agent_profile_from_note(p, o, &p->active))
		p->active = p->fallback;
	json_decref(o);
}

int agent_profiles_new(const char *state_dir, const char *config_path, struct agent_profiles **ret,
		       struct ln_fail *f)
{
	if (strlen(state_dir) >= sizeof(((struct agent_profiles *)0)->dir))
		return ln_fail(f, -ENAMETOOLONG, "the path of the state folder is too long");
	if (config_path != NULL && strlen(config_path) >= sizeof(((struct agent_profile *)0)->path))
		return ln_fail(f, -ENAMETOOLONG, "the path of the configuration is too long");
	int err = agent_file_mkdir(state_dir, f);
	if (err < 0)
		return err;
	struct agent_profiles *p = ln_alloc(sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%s", state_dir);
	(void)snprintf(p->note, sizeof(p->note), "%s/active_profile.json", state_dir);
	memcpy(p->fallback.id, AGENT_PROFILE_DEFAULT, sizeof(AGENT_PROFILE_DEFAULT));
	memcpy(p->fallback.name, AGENT_PROFILE_DEFAULT, sizeof(AGENT_PROFILE_DEFAULT));
	if (config_path != NULL)
		(void)snprintf(p->fallback.path, sizeof(p->fallback.path), "%s", config_path);
	else
		(void)snprintf(p->fallback.path, sizeof(p->fallback.path), "%s/default.json",
			       state_dir);
	agent_profiles_read_active(p);
	*ret = p;
	return 0;
}

void agent_profiles_free(struct agent_profiles *p)
{
	free(p);
}

const char *agent_profiles_dir(const struct agent_profiles *p)
{
	return p->dir;
}

const struct agent_profile *agent_profiles_active(const struct agent_profiles *p)
{
	return &p->active;
}

int agent_profiles_set_active(struct agent_profiles *p, const struct agent_profile *a,
			      struct ln_fail *f)
{
	json_t *o = json_pack("{s:s, s:s}", "name", a->id, "username", a->user);
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return ln_fail(f, LN_E_INTERNAL, "the active profile cannot be written as JSON");
	int err = agent_file_write(p->note, slice_str(text), f);
	free(text);
	if (err == 0)
		p->active = *a;
	return err;
}

/* --- look-up -----------------------------------------------------------------------------------*/

int agent_profiles_list(const struct agent_profiles *p, const char *user, struct arena *a,
			struct agent_profile **ret)
{
	struct agent_profile *v = ln_calloc(AGENT_PROFILES_MAX + 1, sizeof(*v));
	int n = 0;
	v[n++] = p->fallback;
	char folder[AGENT_PROFILE_ID_MAX + 1], path[896];
	DIR *d = NULL;
	if (agent_profile_user(user, folder)) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->dir, folder);
		d = opendir(path);
	}
	for (struct dirent *e; d != NULL && n <= AGENT_PROFILES_MAX && (e = readdir(d)) != NULL;) {
		size_t len = strlen(e->d_name);
		char stem[AGENT_PROFILE_ID_MAX + 1];
		/* "<id>.state.json" and "<id>.prefs.json" have a dot in the stem. */
		if (len <= 5 || strcmp(e->d_name + len - 5, ".json") != 0 ||
		    !agent_profile_stem(e->d_name, len - 5, stem))
			continue;
		agent_profile_set(&v[n], p->dir, folder, stem);
		agent_profile_read_name(&v[n]);
		n++;
	}
	if (d != NULL)
		closedir(d);
	struct agent_profile *out = arena_calloc(a, (size_t)n, sizeof(*out));
	if (out != NULL)
		memcpy(out, v, (size_t)n * sizeof(*out));
	free(v);
	if (out == NULL)
		return LN_E_LIMIT;
	*ret = out;
	return n;
}

static int agent_profiles_match(const struct agent_profile *v, int n, const char *handle,
				struct agent_profile *ret, struct ln_fail *f)
{
	int found = -1;
	for (int i = 0; i < n && found < 0; i++)
		if (strcmp(v[i].id, handle) == 0)
			found = i;
	for (int i = 0; i < n && found < 0; i++)
		if (strcmp(v[i].name, handle) == 0)
			found = i;
	for (int i = 1; i < n && found != -2; i++) {
		if ((found >= 0 && strcmp(v[found].id, handle) == 0) ||
		    (found >= 0 && strcmp(v[found].name, handle) == 0))
			break;
		if (strncmp(v[i].id, handle, strlen(handle)) == 0)
			found = found < 0 ? i : -2;
	}
	if (found == -2)
		return ln_fail(f, LN_E_CONFLICT, "several profiles begin with '%.64s'", handle);
	if (found < 0)
		return ln_fail(f, LN_E_NOTFOUND, "there is no profile '%.64s'", handle);
	*ret = v[found];
	return 0;
}

int agent_profiles_find(const struct agent_profiles *p, const char *handle, const char *user,
			struct agent_profile *ret, struct ln_fail *f)
{
	if (handle[0] == '\0') {
		*ret = p->active;
		return 0;
	}
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	struct agent_profile *v;
	int n = agent_profiles_list(p, user, &a, &v);
	int err = n < 0 ? ln_fail(f, n, "too many profiles")
			: agent_profiles_match(v, n, handle, ret, f);
	arena_fini(&a);
	return err;
}

/* --- changes -----------------------------------------------------------------------------------*/

/* Control characters out, at most 128 characters of UTF-8. */
static bool agent_profile_clean_name(const char *name, char dst[516])
{
	size_t n = 0, chars = 0;
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;
		if (c < 0x20 || c == 0x7f)
			continue;
		if ((c & 0xc0) != 0x80 && ++chars > AGENT_PROFILE_NAME_MAX)
			return false;
		if (n + 1 >= 516)
			return false;
		dst[n++] = *name;
	}
	dst[n] = '\0';
	return n > 0;
}

static int agent_profile_new_name(const struct agent_profiles *p, const char *user,
				  const char *name, char clean[516], struct ln_fail *f)
{
	struct agent_profile same;
	if (!agent_profile_clean_name(name, clean))
		return ln_fail(f, LN_E_MALFORMED, "a profile name has 1 to %d characters",
			       AGENT_PROFILE_NAME_MAX);
	if (strcmp(clean, AGENT_PROFILE_DEFAULT) == 0 ||
	    (agent_profiles_find(p, clean, user, &same, NULL) == 0 &&
	     strcmp(same.name, clean) == 0))
		return ln_fail(f, LN_E_CONFLICT, "there is a profile of that name already");
	return 0;
}

int agent_profiles_rename(struct agent_profiles *p, const struct agent_profile *a, const char *name,
			  struct agent_conf *conf, const struct ln_rng *rng, struct ln_fail *f)
{
	char clean[516];
	struct agent_conf *loaded = NULL;
	if (strcmp(a->id, AGENT_PROFILE_DEFAULT) == 0)
		return ln_fail(f, LN_E_DENIED, "the default profile cannot be renamed");
	int err = agent_profile_new_name(p, a->user, name, clean, f);
	if (err == 0 && conf == NULL) {
		err = agent_conf_load(a->path, rng, &loaded, f);
		conf = loaded;
	}
	if (err == 0)
		err = agent_conf_rename(conf, clean, f);
	agent_conf_free(loaded);
	if (err == 0 && strcmp(a->id, p->active.id) == 0 && strcmp(a->user, p->active.user) == 0)
		memcpy(p->active.name, clean, sizeof(clean));
	return err;
}

/* --- which were up -----------------------------------------------------------------------------*/

int agent_profiles_write_up(struct agent_profiles *p, const struct agent_profile *const *v,
			    size_t n, struct ln_fail *f)
{
	char path[896];
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "name", v[i]->id, "username", v[i]->user));
	char *text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (text == NULL)
		return ln_fail(f, LN_E_INTERNAL, "the list of profiles cannot be written as JSON");
	(void)snprintf(path, sizeof(path), "%s/up_profiles.json", p->dir);
	int err = agent_file_write(path, slice_str(text), f);
	free(text);
	return err;
}

size_t agent_profiles_read_up(const struct agent_profiles *p, struct agent_profile *ret, size_t cap)
{
	char path[896];
	struct str text;
	size_t n = 0;
	str_init(&text, (size_t)1 << 20);
	(void)snprintf(path, sizeof(path), "%s/up_profiles.json", p->dir);
	json_t *list = NULL;
	if (agent_file_read(path, &text, NULL) == 0)
		list = json_loadb(str_c(&text), text.n, 0, NULL);
	str_fini(&text);
	for (size_t i = 0; i < json_array_size(list) && n < cap; i++)
		n += agent_profile_from_note(p, json_array_get(list, i), &ret[n]);
	json_decref(list);
	return n;
}

int agent_profiles_add(struct agent_profiles *p, const char *user, const char *name,
		       const struct ln_rng *rng, struct agent_profile *ret, struct ln_fail *f)
{
	char clean[516], folder[AGENT_PROFILE_ID_MAX + 1], path[896];
	if (!agent_profile_user(user, folder))
		return ln_fail(f, LN_E_MALFORMED, "a profile belongs to a user, and none is given");
	int err = agent_profile_new_name(p, user, name, clean, f);
	if (err < 0)
		return err;
	(void)snprintf(path, sizeof(path), "%s/%s", p->dir, folder);
	err = agent_file_mkdir(path, f);
	if (err < 0)
		return err;
	uint8_t raw[16];
	char id[33];
	rng_fill(rng, raw, sizeof(raw));
	hex_encode(slice_of(raw, sizeof(raw)), id);
	struct agent_profile made;
	agent_profile_set(&made, p->dir, folder, id);
	memcpy(made.name, clean, sizeof(clean));
	struct agent_conf *conf;
	err = agent_conf_load(made.path, rng, &conf, f);
	if (err < 0)
		return err;
	memcpy(conf->name, clean, sizeof(clean));
	err = agent_conf_save(conf, f);
	agent_conf_free(conf);
	if (err == 0)
		*ret = made;
	return err;
}

int agent_profiles_remove(struct agent_profiles *p, const struct agent_profile *a,
			  struct ln_fail *f)
{
	if (strcmp(a->id, AGENT_PROFILE_DEFAULT) == 0)
		return ln_fail(f, LN_E_DENIED, "the default profile cannot be removed");
	if (strcmp(a->id, p->active.id) == 0 && strcmp(a->user, p->active.user) == 0)
		return ln_fail(f, LN_E_DENIED, "the active profile cannot be removed");
	if (unlink(a->path) < 0) {
		int err = -errno;
		return ln_fail(f, err, "%s: %s", a->path, ln_strerror(err));
	}
	(void)!agent_port_write(a->path, 0, 0, NULL); /* takes the note away */
	return 0;
}
