#define NET_QUIC_LIB_TABLE
#include "src/net/net_quic_lib.h"

#include <pthread.h>
#include <stddef.h>

#include "src/ev/ev_library.h"

struct net_quic_lib net_quic_lib;

#define NAME(name) { #name, offsetof(struct net_quic_lib, name) },
static const struct ev_library_name quic_names[] = { NET_QUIC_LIST_QUIC(NAME) };
static const struct ev_library_name crypto_names[] = { NET_QUIC_LIST_CRYPTO(NAME) };
static const struct ev_library_name tls_names[] = { NET_QUIC_LIST_TLS(NAME) };

static const struct library {
	const char *file; /* with the ABI of the headers we were built with (Debian 12) */
	const struct ev_library_name *names;
	size_t n;
} libraries[] = {
	{ "libngtcp2.so.9", quic_names, LN_COUNT(quic_names) },
	{ "libngtcp2_crypto_gnutls.so.2", crypto_names, LN_COUNT(crypto_names) },
	{ "libgnutls.so.30", tls_names, LN_COUNT(tls_names) },
};

static struct ln_fail trouble;
static int result;

static void load(void)
{
	for (size_t i = 0; i < LN_COUNT(libraries) && result == 0; i++)
		result = ev_library_load(libraries[i].file, libraries[i].names, libraries[i].n,
					 &net_quic_lib, &trouble);
}

int net_quic_lib_open(struct ln_fail *f)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (result < 0)
		*f = trouble;
	return result;
}
