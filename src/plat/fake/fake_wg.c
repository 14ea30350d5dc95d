#include "src/plat/fake/fake_wg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/plat/fake/fake_plat.h"

struct plat_wg {
	struct fake_wg *host;
	char ifname[PLAT_IFNAME_MAX];
	uint16_t port;
	int fd;
};

struct fake_datagram {
	struct ip_ep from;
	uint8_t b[2048];
};

int plat_wg_probe(struct plat *p, struct ln_fail *f)
{
	return fake_plat_wg(p)->available
		       ? 0
		       : ln_fail(f, LN_E_UNSUPPORTED, "this kernel has no WireGuard");
}

int plat_wg_new(struct plat *p, const struct plat_wg_conf *conf, struct plat_wg **ret,
		struct ln_fail *f)
{
	struct fake_wg *host = fake_plat_wg(p);
	int fds[2];
	if (host->fail_new < 0) {
		int r = host->fail_new;
		host->fail_new = 0;
		return ln_fail(f, r, "cannot make the interface %s", conf->ifname);
	}
	ln_assert(host->available && host->dev == NULL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return ln_fail(f, -errno, "no descriptor for datagrams");
	struct plat_wg *w = ln_alloc(sizeof(*w));
	w->host = host;
	snprintf(w->ifname, sizeof(w->ifname), "%s", conf->ifname);
	w->port = conf->first_port != 0 ? conf->first_port : conf->port != 0 ? conf->port : 40000;
	w->fd = fds[0];
	host->stun = fds[1];
	host->dev = w;
	host->npeers = 0;
	*ret = w;
	return 0;
}

void plat_wg_free(struct plat_wg *w)
{
	if (w == NULL)
		return;
	close(w->fd);
	close(w->host->stun);
	w->host->dev = NULL;
	free(w);
}

uint16_t plat_wg_port(const struct plat_wg *w)
{
	return w->port;
}

const char *plat_wg_ifname(const struct plat_wg *w)
{
	return w->ifname;
}

unsigned plat_wg_ifindex(const struct plat_wg *w)
{
	(void)w;
	return 7;
}

bool plat_wg_alive(const struct plat_wg *w)
{
	return !w->host->gone;
}

struct fake_wg_peer *fake_wg_find(struct fake_wg *w, const struct wg_key *key)
{
	for (size_t i = 0; i < w->npeers; i++)
		if (wg_key_equal(&w->peers[i].p.key, key))
			return &w->peers[i];
	return NULL;
}

static void add_allowed(struct fake_wg_peer *p, const struct plat_wg_change *c)
{
	if (c->replace_allowed)
		p->p.nallowed = 0;
	for (size_t i = 0; i < c->nallowed; i++) {
		ln_assert(p->p.nallowed < LN_COUNT(p->allowed));
		p->allowed[p->p.nallowed++] = c->allowed[i];
	}
}

int plat_wg_change(struct plat_wg *w, const struct plat_wg_change *c)
{
	struct fake_wg *host = w->host;
	host->changes++;
	if (host->gone)
		return -ENODEV;
	struct fake_wg_peer *p = fake_wg_find(host, &c->key);
	if (c->remove) {
		if (p != NULL)
			*p = host->peers[--host->npeers];
		return 0;
	}
	if (p == NULL && c->update_only)
		return 0;
	if (p == NULL) {
		ln_assert(host->npeers < FAKE_WG_PEERS);
		p = &host->peers[host->npeers++];
		*p = (struct fake_wg_peer){ .p.key = c->key };
	}
	add_allowed(p, c);
	if (c->psk != NULL)
		p->has_psk = !wg_secret_is_zero(c->psk);
	if (c->endpoint != NULL)
		p->p.endpoint = *c->endpoint;
	if (c->keepalive != PLAT_WG_KEEP) {
		if (p->p.keepalive == 0 && c->keepalive > 0)
			p->sent_keepalives++;
		p->p.keepalive = (uint16_t)c->keepalive;
	}
	return 0;
}

int plat_wg_dump(struct plat_wg *w, plat_wg_peer_fn *fn, void *user)
{
	struct fake_wg *host = w->host;
	host->dumps++;
	if (host->gone)
		return -ENODEV;
	for (size_t i = 0; i < host->npeers; i++)
		fn(user, &host->peers[i].p);
	return 0;
}

int plat_wg_fd(const struct plat_wg *w, unsigned which)
{
	return which == 0 ? w->fd : -1;
}

int plat_wg_recv(struct plat_wg *w, unsigned which, struct mslice room, struct slice *ret,
		 struct ip_ep *from)
{
	struct fake_datagram d;
	ssize_t n = which == 0 ? recv(w->fd, &d, sizeof(d), 0) : -1;
	if (n < (ssize_t)offsetof(struct fake_datagram, b))
		return -EAGAIN;
	size_t len = (size_t)n - offsetof(struct fake_datagram, b);
	ln_assert(len <= room.n);
	memcpy(room.p, d.b, len);
	*ret = slice_of(room.p, len);
	*from = d.from;
	return 0;
}

void fake_wg_push_stun(struct fake_wg *w, const struct ip_ep *from, struct slice data)
{
	struct fake_datagram d = { .from = *from };
	ln_assert(data.n <= sizeof(d.b));
	memcpy(d.b, data.p, data.n);
	size_t len = offsetof(struct fake_datagram, b) + data.n;
	ln_assert(send(w->stun, &d, len, 0) == (ssize_t)len);
}

int plat_wg_send(struct plat_wg *w, const struct ip_ep *to, struct slice data)
{
	struct fake_wg *host = w->host;
	host->nsent++;
	host->sent_to = *to;
	host->sent_len = LN_MIN(data.n, sizeof(host->sent));
	memcpy(host->sent, data.p, host->sent_len);
	return 0;
}

int plat_wg_inject(struct plat_wg *w, const struct ip_ep *from, struct slice data, size_t size)
{
	w->host->ninjected += (unsigned)((data.n + size - 1) / size);
	w->host->injected_from = *from;
	w->host->injected_len = data.n;
	return 0;
}
