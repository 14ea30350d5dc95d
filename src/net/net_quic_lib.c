#define NET_QUIC_LIB_TABLE
#include "src/net/net_quic_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct net_quic_lib net_quic_lib;

struct name {
	const char *text;
	size_t at; /* of its slot in struct net_quic_lib */
};

#define NAME(name) { #name, offsetof(struct net_quic_lib, name) },
static const struct name quic_names[] = { NET_QUIC_LIST_QUIC(NAME) };
static const struct name crypto_names[] = { NET_QUIC_LIST_CRYPTO(NAME) };
static const struct name tls_names[] = { NET_QUIC_LIST_TLS(NAME) };

static const struct library {
	const char *file; /* the ABI of the headers we were built with (Debian 12) */
	const struct name *names;
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
	for (size_t i = 0; i < LN_COUNT(libraries) && result == 0; i++) {
		const struct library *l = &libraries[i];
		void *handle = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
		for (size_t k = 0; handle != NULL && k < l->n; k++) {
			void *function = dlsym(handle, l->names[k].text);
			if (function == NULL)
				handle = NULL;
			/* POSIX lets an object pointer carry a function's address. */
			memcpy((char *)&net_quic_lib + l->names[k].at, &function, sizeof(function));
		}
		if (handle == NULL)
			result = ln_fail(&trouble, LN_E_UNSUPPORTED,
					 "QUIC needs the library %s: %.150s", l->file, dlerror());
	}
}

int net_quic_lib_open(struct ln_fail *f)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (result < 0)
		*f = trouble;
	return result;
}
