#pragma once
/*
 * Profiles: which configuration files exist and which one is active (spec agent 1.8).
 *
 * The default profile lies at `<state dir>/default.json` or where --config says; the others at
 * `<state dir>/<user>/<id>.json`, id = 32 hex characters. The active one is noted in
 * `<state dir>/active_profile.json`. Small folders, read when asked: nothing is cached but the
 * active profile.
 */
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/rng.h"

#define AGENT_PROFILE_ID_MAX 64
#define AGENT_PROFILE_DEFAULT "default"
#define AGENT_PROFILES_MAX 256 /* per user */

struct agent_profile {
	char id[AGENT_PROFILE_ID_MAX + 1];
	char user[AGENT_PROFILE_ID_MAX + 1]; /* "" for the default profile */
	char name[516];                      /* what people see; the id when there is none */
	char path[1024];
};

struct agent_profiles;
struct agent_conf;
/* Makes the state folder (0700). -errno with the reason. config_path may be null. */
LN_MUST_CHECK int agent_profiles_new(const char *state_dir, const char *config_path,
				     struct agent_profiles **ret, struct ln_fail *f);
void agent_profiles_free(struct agent_profiles *p);
const char *agent_profiles_dir(const struct agent_profiles *p);
const struct agent_profile *agent_profiles_active(const struct agent_profiles *p);
/* Writes the note. -errno. */
LN_MUST_CHECK int agent_profiles_set_active(struct agent_profiles *p, const struct agent_profile *a,
					    struct ln_fail *f);
/*
 * By exact id, exact name, or unique beginning of an id; "" is the active one. LN_E_NOTFOUND,
 * LN_E_CONFLICT (several fit).
 */
LN_MUST_CHECK int agent_profiles_find(const struct agent_profiles *p, const char *handle,
				      const char *user, struct agent_profile *ret,
				      struct ln_fail *f);
/* The default profile first. Number of entries, in the arena; LN_E_LIMIT. */
LN_MUST_CHECK int agent_profiles_list(const struct agent_profiles *p, const char *user,
				      struct arena *a, struct agent_profile **ret);
/* LN_E_CONFLICT (the name exists), LN_E_MALFORMED (empty or too long), LN_E_LIMIT, -errno. */
LN_MUST_CHECK int agent_profiles_add(struct agent_profiles *p, const char *user, const char *name,
				     const struct ln_rng *rng, struct agent_profile *ret,
				     struct ln_fail *f);
/*
 * Another display name. LN_E_DENIED for the default profile; otherwise as agent_profiles_add().
 * `conf` is the profile's configuration when somebody has it loaded, else null.
 */
LN_MUST_CHECK int agent_profiles_rename(struct agent_profiles *p, const struct agent_profile *a,
					const char *name, struct agent_conf *conf,
					const struct ln_rng *rng, struct ln_fail *f);
/* The profiles that were up, for an agent that keeps several up. Writing: -errno; reading gives
 * what still exists, at most cap. */
LN_MUST_CHECK int agent_profiles_write_up(struct agent_profiles *p,
					  const struct agent_profile *const *v, size_t n,
					  struct ln_fail *f);
size_t agent_profiles_read_up(const struct agent_profiles *p, struct agent_profile *ret,
			      size_t cap);
/* LN_E_DENIED for the default and the active profile. */
LN_MUST_CHECK int agent_profiles_remove(struct agent_profiles *p, const struct agent_profile *a,
					struct ln_fail *f);
