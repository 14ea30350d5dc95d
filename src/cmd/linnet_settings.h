#pragma once
/* From the options of `up` to the settings that SetConfig and Login carry: only what was given. */
#include "lib/daemon/daemon_msg.h"

#include "src/cmd/linnet_cli.h"

/*
 * Checks the values that are checked before anything is sent (spec agent 1.2, step 1). Texts and
 * lists belong to cli. LN_E_MALFORMED with what is wrong and what is allowed.
 */
LN_MUST_CHECK int linnet_settings(struct linnet_cli *cli, struct daemon_settings *ret,
				  struct ln_fail *f);
/*
 * The setup key: --setup-key, else the trimmed content of --setup-key-file; "" without. Belongs to
 * cli. -errno, LN_E_LIMIT.
 */
LN_MUST_CHECK int linnet_setup_key(struct linnet_cli *cli, const char **ret, struct ln_fail *f);
