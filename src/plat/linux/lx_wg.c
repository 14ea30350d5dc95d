#include <errno.h>
#include <limits.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/ev/ev.h"
#include "src/obs/obs_log.h"
#include "src/plat/linux/lx_link.h"
#include "src/plat/linux/lx_plat.h"
#include "src/plat/linux/lx_spoof.h"
#include "src/plat/linux/lx_stunsock.h"
#include "src/plat/linux/lx_wg_msg.h"

#define DUMP_TRIES 5 /* a dump that changed underneath is asked again */
#define MODPROBE_LIMIT (5 * LN_SEC)
#define PROBE_NAME "lnprobe"

struct plat_wg {
	struct lx_nl route, generic;
	uint16_t family; /* number of the generic netlink family */
	unsigned ifindex;
	uint16_t port;
	char ifname[PLAT_IFNAME_MAX];
	struct lx_stunsock stun;
	struct lx_spoof spoof;
};

/* --- can it be had? --------------------------------------------------------------------------- */

static int ask_for_link(struct plat *p)
{
	/* Too large for any link: a kernel that knows the type says EINVAL and makes nothing. */
	int r = lx_link_add_wireguard(&p->nl, PROBE_NAME, INT_MAX);
	struct lx_link link;
	if (r == 0 && lx_link_find(&p->nl, PROBE_NAME, &link) == 0)
		(void)!lx_link_del(&p->nl, link.ifindex);
	return r == -EINVAL || r == -ERANGE ? 0 : r;
}

/* False when there is nothing to load. */
static bool load_module(void)
{
	struct utsname u;
	char folder[sizeof(u.release) + 16];
	char output[256];
	static const char *const argv[] = { "modprobe", "-q", "wireguard", NULL };
	if (uname(&u) < 0)
		return false;
	(void)snprintf(folder, sizeof(folder), "/lib/modules/%s", u.release);
	if (access(folder, F_OK) < 0)
		return false;
	int status =
		ev_child_run_sync(argv, slice_of(NULL, 0), output, sizeof(output), MODPROBE_LIMIT);
	if (status != 0)
		log_debug("plat", "modprobe wireguard failed", LOG_INT("status", status));
	return status == 0;
}

int plat_wg_probe(struct plat *p, struct ln_fail *f)
{
	/* Each question about an unknown type makes the kernel run modprobe: 0.1 s. A "no" holds
	 * until somebody has loaded the module. */
	if (p->no_wg && access("/sys/module/wireguard", F_OK) < 0)
		return ln_fail(f, LN_E_UNSUPPORTED, "this kernel has no WireGuard");
	int r = ask_for_link(p);
	if (r == -EOPNOTSUPP && load_module())
		r = ask_for_link(p);
	p->no_wg = r == -EOPNOTSUPP;
	if (r == -EOPNOTSUPP)
		return ln_fail(f, LN_E_UNSUPPORTED, "this kernel has no WireGuard");
	if (r < 0)
		return ln_fail(f, r, "the kernel's WireGuard cannot be used: %s", ln_strerror(r));
	return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static struct nlmsghdr *begin(struct plat_wg *w, void *buf, uint16_t flags)
{
	return lx_nl_begin(&w->generic, buf, w->family, flags);
}

static int read_family(const struct nlmsghdr *h, void *arg)
{
	uint16_t *ret = arg;
	const struct nlattr *a;
	mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_get_payload_len(a) == sizeof(*ret))
			*ret = mnl_attr_get_u16(a);
	}
	return MNL_CB_OK;
}

static int find_family(struct lx_nl *nl, uint16_t *ret)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, GENL_ID_CTRL, NLM_F_ACK);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	uint16_t family = 0;
	int r = lx_nl_get(nl, h, read_family, &family);
	if (r < 0)
		return r;
	*ret = family;
	return family != 0 ? 0 : -ENOENT;
}

static int set_device(struct plat_wg *w, const struct lx_wg_device *d)
{
	char buf[LX_WG_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = begin(w, buf, 0);
	lx_wg_msg_device(h, w->ifindex, d);
	int r = lx_nl_ask(&w->generic, h);
	explicit_bzero(buf, sizeof(buf)); /* the private key */
	return r;
}

static int read_answer(const struct nlmsghdr *h, void *arg)
{
	int r = lx_wg_msg_read(arg, h);
	if (r == 0)
		return MNL_CB_OK;
	errno = EBADMSG;
	return MNL_CB_ERROR;
}

static int get_device(struct plat_wg *w, struct lx_wg_reader *rd)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	int r = -EINTR;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		struct nlmsghdr *h = begin(w, buf, NLM_F_DUMP);
		lx_wg_msg_get(h, w->ifindex);
		rd->open = false;
		r = lx_nl_get(&w->generic, h, read_answer, rd);
	}
	if (r == 0)
		lx_wg_msg_read_end(rd);
	return r;
}

/* --- life ------------------------------------------------------------------------------------- */

/* A link of that name from an earlier run goes; anything else is not ours to touch. */
static int make_link(struct plat_wg *w, const struct plat_wg_conf *c, struct ln_fail *f)
{
	struct lx_link link;
	int r = lx_link_find(&w->route, c->ifname, &link);
	if (r == 0 && !link.wireguard)
		return ln_fail(f, LN_E_CONFLICT,
			       "an interface called %s exists already and is not WireGuard: "
			       "choose another name with --interface-name",
			       c->ifname);
	if (r == 0)
		r = lx_link_del(&w->route, link.ifindex);
	if (r == 0 || r == -ENODEV)
		r = lx_link_add_wireguard(&w->route, c->ifname, c->mtu);
	if (r == 0)
		r = lx_link_find(&w->route, c->ifname, &link);
	if (r < 0)
		return ln_fail(f, r, "cannot make the interface %s: %s%s%s", c->ifname,
			       ln_strerror(r), w->route.why[0] != '\0' ? ": " : "", w->route.why);
	w->ifindex = link.ifindex;
	return 0;
}

/* The kernel binds the port when the link comes up, and says then whether it is free. */
static int take_port(struct plat_wg *w, const struct plat_wg_conf *c, struct ln_fail *f)
{
	const uint16_t ports[] = { c->first_port, c->port, 0 };
	struct lx_wg_device d = { .key = c->key, .fwmark = c->fwmark };
	int r = -EADDRINUSE;
	for (unsigned i = c->first_port != 0 ? 0 : 1; i < LN_COUNT(ports) && r == -EADDRINUSE;
	     i++) {
		d.port = ports[i];
		r = set_device(w, &d);
		if (r == 0)
			r = lx_link_set(&w->route, w->ifindex, 0, 0, true);
		d.key = NULL;
	}
	struct lx_wg_reader rd = { 0 };
	if (r == 0)
		r = get_device(w, &rd);
	if (r == 0 && rd.port == 0)
		r = -EADDRNOTAVAIL;
	if (r < 0)
		return ln_fail(f, r, "cannot set up WireGuard on %s: %s", c->ifname,
			       ln_strerror(r));
	w->port = rd.port;
	lx_spoof_init(&w->spoof, w->port);
	return 0;
}

static int start(struct plat_wg *w, const struct plat_wg_conf *c, struct ln_fail *f)
{
	int r = lx_nl_open(&w->route, f);
	if (r == 0)
		r = lx_nl_open_generic(&w->generic, f);
	if (r < 0)
		return r;
	r = find_family(&w->generic, &w->family);
	if (r < 0)
		return ln_fail(f, r, "the kernel's WireGuard does not answer: %s", ln_strerror(r));
	r = make_link(w, c, f);
	if (r == 0)
		r = take_port(w, c, f);
	if (r == 0)
		r = lx_stunsock_open(&w->stun, w->port, c->fwmark, f);
	return r;
}

int plat_wg_new(struct plat *p, const struct plat_wg_conf *conf, struct plat_wg **ret,
		struct ln_fail *f)
{
	(void)p; /* own sockets: it does not matter which of the two is freed first */
	if (conf->ifname[0] == '\0' || strlen(conf->ifname) >= PLAT_IFNAME_MAX)
		return ln_fail(f, -EINVAL, "interface names have 1 to %d characters",
			       PLAT_IFNAME_MAX - 1);
	struct plat_wg *w = ln_alloc(sizeof(*w));
	w->stun = (struct lx_stunsock){ .fd = { -1, -1 } };
	lx_spoof_init(&w->spoof, 0);
	strcpy(w->ifname, conf->ifname);
	int r = start(w, conf, f);
	if (r < 0) {
		plat_wg_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void plat_wg_free(struct plat_wg *w)
{
	if (w == NULL)
		return;
	lx_stunsock_close(&w->stun);
	lx_spoof_close(&w->spoof);
	if (w->ifindex != 0) {
		int r = lx_link_del(&w->route, w->ifindex);
		if (r < 0 && r != -ENODEV)
			log_warn("plat", "the interface cannot be removed",
				 LOG_STR("interface", w->ifname), LOG_ERRNO(r));
	}
	lx_nl_close(&w->generic);
	lx_nl_close(&w->route);
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
	return w->ifindex;
}

bool plat_wg_alive(const struct plat_wg *w)
{
	return if_nametoindex(w->ifname) == w->ifindex;
}

/* --- peers ------------------------------------------------------------------------------------ */

int plat_wg_change(struct plat_wg *w, const struct plat_wg_change *c)
{
	char buf[LX_WG_REQUEST] __attribute__((aligned(8)));
	size_t at = 0;
	int r;
	do {
		struct nlmsghdr *h = begin(w, buf, 0);
		at = lx_wg_msg_peer(h, w->ifindex, c, at);
		r = lx_nl_ask(&w->generic, h);
	} while (r == 0 && at < c->nallowed);
	if (c->psk != NULL)
		explicit_bzero(buf, sizeof(buf));
	return r;
}

int plat_wg_dump(struct plat_wg *w, plat_wg_peer_fn *fn, void *user)
{
	struct lx_wg_reader rd = { .fn = fn, .user = user };
	return get_device(w, &rd);
}

/* --- STUN ------------------------------------------------------------------------------------- */

int plat_wg_fd(const struct plat_wg *w, unsigned which)
{
	return w->stun.fd[which];
}

int plat_wg_recv(struct plat_wg *w, unsigned which, struct mslice room, struct slice *ret,
		 struct ip_ep *from)
{
	return lx_stunsock_recv(&w->stun, which, room, ret, from);
}

int plat_wg_send(struct plat_wg *w, const struct ip_ep *to, struct slice data)
{
	return lx_stunsock_send(&w->stun, to, data);
}

int plat_wg_inject(struct plat_wg *w, const struct ip_ep *from, struct slice data, size_t size)
{
	return lx_spoof_send(&w->spoof, from, data, size);
}
