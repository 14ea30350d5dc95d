#include "src/plat/linux/lx_mark.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/obs/obs_log.h"
#include "src/plat/linux/lx_detour.h"
#include "src/plat/linux/lx_rule.h"
#include "src/plat/plat_mark.h"

static const uint8_t families[] = { AF_INET, AF_INET6 };

static size_t nfamilies(const struct plat *p)
{
	return p->ipv6 ? 2 : 1;
}

static bool is_ours(const void *arg, const char *ifname)
{
	const struct plat *p = arg;
	list_for_each(it, &p->networks) {
		const struct lx_network *n = list_entry(it, struct lx_network, node);
		if (strcmp(n->journal.ifname, ifname) == 0)
			return true;
	}
	return false;
}

void lx_mark_note(struct plat *p, struct lx_journal *j)
{
	if (j->mark != 0)
		lx_rpf_find(&j->rpf, is_ours, p);
}

/* --- rules ------------------------------------------------------------------------------------ */

static int add_family(struct plat *p, struct lx_network *n, uint8_t family,
		      const struct lx_rule v[LX_RULES])
{
	unsigned have = 0;
	int r = lx_rule_present(&p->nl, family, v, &have);
	if (r == 0 && n->mark == 0 && have != 0)
		return LN_E_CONFLICT;
	for (unsigned i = 0; i < LX_RULES && r == 0; i++)
		if ((have & 1u << i) == 0)
			r = lx_rule_add(&p->nl, family, &v[i]);
	return r == -EEXIST ? LN_E_CONFLICT : r;
}

static void remove_rules(struct plat *p, uint32_t mark)
{
	struct lx_rule v[LX_RULES];
	lx_rule_list(mark, v);
	for (size_t k = 0; k < nfamilies(p); k++)
		for (unsigned i = 0; i < LX_RULES; i++)
			(void)!lx_rule_del(&p->nl, families[k], &v[i]);
}

static int add_rules(struct plat *p, struct lx_network *n)
{
	struct lx_rule v[LX_RULES];
	uint32_t mark = n->journal.mark;
	lx_rule_list(mark, v);
	int r = 0;
	for (size_t k = 0; k < nfamilies(p) && r == 0; k++) {
		r = add_family(p, n, families[k], v);
		if (families[k] == AF_INET6 && (r == -EAFNOSUPPORT || r == -EOPNOTSUPP))
			r = 0; /* IPv6 without rules, or none at all */
	}
	if (r != LN_E_CONFLICT)
		n->mark = mark; /* also half of them are to be taken back */
	return r;
}

/* --- the detour table ------------------------------------------------------------------------- */

static int refresh_detour(struct plat *p, uint32_t mark)
{
	unsigned tunnels[PLAT_MARK_SLOTS];
	size_t count = 0;
	list_for_each(it, &p->networks) {
		const struct lx_network *n = list_entry(it, struct lx_network, node);
		if (n->ifindex != 0 && count < LN_COUNT(tunnels))
			tunnels[count++] = n->ifindex;
	}
	return lx_detour_refresh(&p->nl, tunnels, count, PLAT_MARK_DETOUR + plat_mark_slot(mark),
				 p->ipv6);
}

/* --- both ------------------------------------------------------------------------------------- */

static void complain(struct plat *p, struct lx_network *n, const char *what, int err)
{
	if (!n->mark_complained)
		log_warn("plat", what, LOG_STR("interface", n->journal.ifname), LOG_ERRNO(err),
			 LOG_STR("why", p->nl.why));
	n->mark_complained = true;
}

static int fit(struct plat *p, struct lx_network *n)
{
	if (!lx_rpf_loosen(&n->journal.rpf))
		complain(p, n,
			 "the reverse path filter cannot be made loose: routes into the "
			 "tunnel may cut it off",
			 -EACCES);
	int r = add_rules(p, n);
	if (r == LN_E_CONFLICT)
		return r;
	if (r < 0)
		complain(p, n, "no routing rules: routes into the tunnel may cut it off", r);
	r = refresh_detour(p, n->journal.mark);
	if (r < 0)
		complain(p, n, "routes into the tunnel that others have made may cut it off", r);
	return 0;
}

int lx_mark_apply(struct plat *p, struct lx_network *n, unsigned ifindex, struct ln_fail *f)
{
	n->ifindex = ifindex;
	if (n->mark != 0 && n->mark != n->journal.mark) {
		lx_mark_clear(p, n->mark, NULL, n);
		n->mark = 0;
	}
	if (n->journal.mark == 0)
		return 0;
	int r = fit(p, n);
	return r < 0 ? ln_fail(f, r, "the routing rules of the mark 0x%x belong to another program",
			       n->journal.mark)
		     : 0;
}

static struct lx_network *heir(struct plat *p, const struct lx_network *except)
{
	list_for_each(it, &p->networks) {
		struct lx_network *n = list_entry(it, struct lx_network, node);
		if (n != except && n->journal.mark != 0)
			return n;
	}
	return NULL;
}

void lx_mark_clear(struct plat *p, uint32_t mark, const struct lx_rpf *rpf,
		   const struct lx_network *except)
{
	if (mark != 0) {
		remove_rules(p, mark);
		(void)!lx_detour_clear(&p->nl, PLAT_MARK_DETOUR + plat_mark_slot(mark), p->ipv6);
	}
	if (rpf == NULL || rpf->n == 0)
		return;
	struct lx_network *next = heir(p, except);
	if (next == NULL) {
		lx_rpf_restore(rpf);
		return;
	}
	struct lx_journal j = next->journal;
	for (unsigned i = 0; i < rpf->n; i++)
		(void)lx_rpf_add(&j.rpf, rpf->names[i]);
	if (lx_plat_journal(p, next, &j, NULL) < 0)
		log_warn("plat", "a crash would leave reverse path filters loose",
			 LOG_STR("interface", j.ifname));
}

void plat_mark_refresh(struct plat *p)
{
	list_for_each(it, &p->networks) {
		struct lx_network *n = list_entry(it, struct lx_network, node);
		if (n->mark == 0)
			continue;
		struct lx_journal j = n->journal;
		lx_mark_note(p, &j);
		if (lx_plat_journal(p, n, &j, NULL) == 0)
			(void)!fit(p, n);
	}
}

/* --- before there is a network ---------------------------------------------------------------- */

int plat_mark_probe(struct plat *p, struct ln_fail *f)
{
	uint32_t mark = PLAT_MARK_BASE;
	uint64_t slots;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return ln_fail(f, r, "sockets cannot be marked: %s%s", ln_strerror(r),
			       r == -EPERM ? " (the capability CAP_NET_ADMIN is missing)" : "");
	r = lx_rule_slots(&p->nl, AF_INET, &slots);
	if (r < 0)
		return ln_fail(f, r == -EOPNOTSUPP ? LN_E_UNSUPPORTED : r,
			       "this kernel has no routing rules: %s", ln_strerror(r));
	return 0;
}

int plat_mark_free_slot(struct plat *p, uint64_t taken, unsigned *ret)
{
	for (size_t k = 0; k < nfamilies(p); k++) {
		uint64_t slots = 0;
		int r = lx_rule_slots(&p->nl, families[k], &slots);
		if (r < 0 && families[k] == AF_INET)
			return r;
		taken |= slots;
	}
	for (unsigned i = 0; i < PLAT_MARK_SLOTS; i++) {
		if ((taken >> i & 1) == 0) {
			*ret = i;
			return 0;
		}
	}
	return LN_E_LIMIT;
}
