/* In a build without libbpf. */
#include "src/agent/kwg/kwg_redirect.h"

int kwg_redirect_new(uint16_t wireguard_port, uint16_t wake_port, struct kwg_redirect **ret,
		     struct ln_fail *f)
{
	return ln_fail(f, LN_E_UNSUPPORTED, "linnetd was built without it (Meson option xdp)");
}

void kwg_redirect_free(struct kwg_redirect *r)
{
}
