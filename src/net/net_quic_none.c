/* Built instead of the other net_quic files when the library is not there. */
#include "src/net/net_quic.h"

bool net_quic_built(void)
{
	return false;
}

int net_quic_listen(struct ev_loop *loop, const struct net_quic_listen_conf *conf,
		    struct net_quic_listener **ret, struct ln_fail *f)
{
	return ln_fail(f, LN_E_UNSUPPORTED, "this program was built without QUIC");
}

int net_quic_listen_reload(struct net_quic_listener *l, struct ln_fail *f)
{
	return ln_fail(f, LN_E_UNSUPPORTED, "this program was built without QUIC");
}

uint16_t net_quic_listen_port(const struct net_quic_listener *l)
{
	return 0;
}

const struct net_quic_counters *net_quic_listen_counters(const struct net_quic_listener *l)
{
	static const struct net_quic_counters none;
	return &none;
}

void net_quic_listen_free(struct net_quic_listener *l)
{
}

int net_quic_connect(struct ev_loop *loop, struct net_tls_ctx *roots,
		     const struct net_quic_target *t, const struct net_quic_ops *ops, void *user,
		     struct net_quic **ret)
{
	return LN_E_UNSUPPORTED;
}

void net_quic_attach(struct net_quic *q, const struct net_quic_ops *ops, void *user)
{
}

void net_quic_free(struct net_quic *q)
{
}

int net_quic_send(struct net_quic *q, struct slice msg)
{
	return LN_E_UNSUPPORTED;
}

size_t net_quic_room(const struct net_quic *q)
{
	return 0;
}
