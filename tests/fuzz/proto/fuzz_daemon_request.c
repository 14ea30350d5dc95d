/* What the agent reads from its local socket, and the small answers the command line reads. */
#include "lib/daemon/daemon_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(name)                                                                                  \
 do {                                                                                              \
  struct daemon_##name m, again;                                                                   \
  if (daemon_##name##_read(slice_of(data, size), &a, &m) == 0) {                                   \
   struct str out = { 0 };                                                                         \
   daemon_##name##_write(&out, &m);                                                                \
   int err = daemon_##name##_read(str_slice(&out), &a, &again);                                    \
   ln_assert(err == 0 || err == LN_E_LIMIT || out.err != 0);                                       \
   str_fini(&out);                                                                                 \
  }                                                                                                \
 } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	arena_init(&a, (size_t)32 << 20);
	TRY(login_request);
	TRY(set_config_request);
	TRY(up_request);
	TRY(profile_request);
	TRY(status_request);
	TRY(config_request);
	TRY(user_request);
	TRY(login_response);
	TRY(config_response);
	TRY(profile_list);
	TRY(profile_change);
	TRY(profile_rename);
	TRY(profile_id);
	TRY(active_profile);
	TRY(features);
	arena_fini(&a);
	return 0;
}
