#pragma once
/*
 * The bulk cipher of a device: chosen by what the device does, not once for ever.
 *
 *	a session with a handful of messages     libsodium, without any context
 *	more of them                             OpenSSL
 *	a device that has moved a few megabytes  intel-ipsec-mb, where it can be used
 *
 * An agent with a thousand idle peers thus has no cipher contexts and does not load a library of
 * some megabytes; one that works pays the half millisecond once. Used by the device's thread only.
 */
#include "lib/crypto/aead.h"

struct uwg_aead;

struct uwg_aead *uwg_aead_new(void);
/* Every context must have been freed. Null is allowed. */
void uwg_aead_free(struct uwg_aead *a);
/* For struct wg_dev_conf; belongs to a. */
const struct aead_ops *uwg_aead_ops(const struct uwg_aead *a);
