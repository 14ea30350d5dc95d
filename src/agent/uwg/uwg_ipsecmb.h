#pragma once
/*
 * ChaCha20-Poly1305 by Intel's multi-buffer library (package libipsec-mb1), behind the table of
 * lib/crypto/aead.h. The library is loaded at run time, and only where it is faster than OpenSSL:
 * processors with AVX-512 and its multiply-add of 52 bits. Built without the library's header, or
 * for another processor, there is only the refusal.
 *
 * The library's manager is not thread-safe: one of these per thread.
 */
#include "lib/crypto/aead.h"

struct uwg_ipsecmb;

/*
 * Loads the library, and compares it with libsodium before it may touch a packet.
 * LN_E_UNSUPPORTED (the processor, or built without), LN_E_NOTFOUND (no library, or a version with
 * other structures), LN_E_INTERNAL (it computes something else).
 */
LN_MUST_CHECK int uwg_ipsecmb_open(struct uwg_ipsecmb **ret);
/* Every context must have been freed. Null is allowed. */
void uwg_ipsecmb_close(struct uwg_ipsecmb *m);
/* Belongs to m. */
const struct aead_ops *uwg_ipsecmb_ops(const struct uwg_ipsecmb *m);
