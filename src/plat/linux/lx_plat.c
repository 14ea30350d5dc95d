#include "src/plat/linux/lx_plat.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "src/obs/obs_log.h"
#include "src/plat/linux/lx_link.h"
#include "src/plat/linux/lx_mark.h"
#include "src/plat/linux/lx_way.h"
#include "src/plat/plat_mark.h"

#define STATE_DIR_MAX 1024
#define IPV6_MTU_MIN 1280 /* RFC 8200 section 5 */

/* --- networks -------------------------------------------------------------------------------- */

static struct lx_network *find_network(struct plat *p, const char *ifname)
{
	list_for_each(it, &p->networks) {
		struct lx_network *n = list_entry(it, struct lx_network, node);
		if (strcmp(n->journal.ifname, ifname) == 0)
			return n;
	}
	return NULL;
}

static struct lx_network *get_network(struct plat *p, const char *ifname)
{
	struct lx_network *n = find_network(p, ifname);
	if (n == NULL) {
		n = ln_alloc(sizeof(*n));
		strcpy(n->journal.ifname, ifname);
		list_add_tail(&p->networks, &n->node);
	}
	return n;
}

static void drop_network(struct lx_network *n)
{
	if (n == NULL)
		return;
	list_remove(&n->node);
	free(n);
}

/* One descriptor for everything that is watched. */
static int open_events(struct plat *p, struct ln_fail *f)
{
	struct epoll_event ev = { .events = EPOLLIN };
	p->event_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->event_fd < 0 ||
	    epoll_ctl(p->event_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(p->watch.sock), &ev) < 0)
		return ln_fail(f, -errno, "cannot watch the network: %s", strerror(errno));
	int r = lx_dns_open(&p->dns, LX_DNS_FILE);
	if (r == 0 && epoll_ctl(p->event_fd, EPOLL_CTL_ADD, p->dns.fd, &ev) < 0)
		r = -errno;
	if (r < 0)
		log_warn("plat", "changes of the resolver configuration are not seen",
			 LOG_ERRNO(r));
	return 0;
}

int plat_new(const char *state_dir, struct plat **ret, struct ln_fail *f)
{
	if (strlen(state_dir) > STATE_DIR_MAX)
		return ln_fail(f, LN_E_LIMIT, "the path of the state folder is too long");
	int r = lx_journal_prepare(state_dir, f);
	if (r < 0)
		return r;
	struct plat *p = ln_alloc(sizeof(*p));
	list_init(&p->networks);
	p->event_fd = p->dns.fd = -1;
	p->state_dir = ln_strdup(state_dir);
	p->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	r = lx_nl_open(&p->nl, f);
	if (r == 0)
		r = lx_watch_open(&p->watch, f);
	if (r == 0)
		r = open_events(p, f);
	if (r < 0) {
		plat_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void plat_free(struct plat *p)
{
	if (p == NULL)
		return;
	list_for_each_safe(it, &p->networks)
		drop_network(list_entry(it, struct lx_network, node));
	if (p->event_fd >= 0)
		close(p->event_fd);
	lx_dns_close(&p->dns);
	lx_watch_close(&p->watch);
	lx_nl_close(&p->nl);
	free(p->state_dir);
	free(p);
}

int plat_event_fd(struct plat *p)
{
	return p->event_fd;
}

bool plat_event_next(struct plat *p, struct plat_event *ret)
{
	if (lx_watch_next(&p->watch, ret))
		return true;
	*ret = (struct plat_event){ .kind = PLAT_EV_DNS };
	return lx_dns_changed(&p->dns);
}

/* --- refusals in words ----------------------------------------------------------------------- */

static int refused(struct plat *p, int err, struct ln_fail *f, const char *doing,
		   const char *ifname)
{
	if (err == -EPERM)
		return ln_fail(
			f, err,
			"cannot %s %s: the capability CAP_NET_ADMIN is missing (run as root)",
			doing, ifname);
	return ln_fail(f, err, "cannot %s %s: %s%s%s", doing, ifname, ln_strerror(err),
		       p->nl.why[0] != '\0' ? ": " : "", p->nl.why);
}

static int refused_prefix(struct plat *p, int err, struct ln_fail *f, const char *doing,
			  const char *ifname, const struct ip_prefix *x)
{
	char what[32 + IP_PREFIX_TEXT_MAX], text[IP_PREFIX_TEXT_MAX];
	ip_prefix_format(x, text);
	snprintf(what, sizeof(what), "%s %s on", doing, text);
	return refused(p, err, f, what, ifname);
}

/* --- what is wanted, checked ------------------------------------------------------------------ */

static int check_prefixes(const struct ip_prefix *v, size_t n, const char *what, struct ln_fail *f)
{
	if (n > PLAT_PREFIXES_MAX)
		return ln_fail(f, LN_E_LIMIT, "more than %d %s", PLAT_PREFIXES_MAX, what);
	for (size_t i = 0; i < n; i++)
		if (!ip_is_set(&v[i].addr) || v[i].len > ip_bits(&v[i].addr))
			return ln_fail(f, LN_E_MALFORMED, "one of the %s is not a prefix", what);
	return 0;
}

static int check_want(struct plat *p, const struct plat_want *want, struct ln_fail *f)
{
	if (!lx_nft_ifname_ok(want->ifname))
		return ln_fail(f, LN_E_MALFORMED,
			       "interface names have 1 to 15 letters, digits, '-', '_' or '.'");
	if (want->filter && (want->filter_table == NULL || !lx_nft_name_ok(want->filter_table)))
		return ln_fail(f, LN_E_MALFORMED,
			       "names of packet filter tables begin with a letter and have at most "
			       "64 letters, digits, '-', '_' or '.'");
	int r = check_prefixes(want->addresses, want->naddresses, "addresses", f);
	if (r == 0)
		r = check_prefixes(want->routes, want->nroutes, "routes", f);
	if (r < 0 || !want->filter)
		return r;
	list_for_each(it, &p->networks) {
		const struct lx_network *n = list_entry(it, struct lx_network, node);
		if (strcmp(n->journal.ifname, want->ifname) != 0 &&
		    strcmp(n->journal.table, want->filter_table) == 0)
			return ln_fail(f, LN_E_CONFLICT,
				       "the packet filter table %s belongs to the network on %s",
				       want->filter_table, n->journal.ifname);
	}
	return 0;
}

/* --- journal, filter -------------------------------------------------------------------------- */

/*
 * On disk before anything it speaks of is done. A disk without room is no reason to leave the
 * network, least of all for whoever wants to mend it from afar: what a crash would leave then is a
 * table that the next start replaces. Tried again at each apply.
 */
int lx_plat_journal(struct plat *p, struct lx_network *n, const struct lx_journal *j,
		    struct ln_fail *f)
{
	if (n->journaled && memcmp(&n->journal, j, sizeof(*j)) == 0)
		return 0;
	struct ln_fail why = { 0 };
	int r = lx_journal_write(p->state_dir, j, &why);
	bool full = r == -ENOSPC || r == -EDQUOT || r == -EROFS;
	if (r < 0 && !full)
		return ln_fail(f, r, "%s", why.text);
	if (full && !n->journal_failed)
		log_warn("plat", "what a crash would leave on this host is not noted",
			 LOG_STR("why", why.text));
	n->journal_failed = full;
	n->journal = *j;
	n->journaled = !full;
	return 0;
}

static int note(struct plat *p, struct lx_network *n, const char *table, uint32_t mark,
		struct ln_fail *f)
{
	struct lx_journal j = n->journal;
	(void)memset(j.table, 0, sizeof(j.table));
	strcpy(j.table, table);
	j.mark = mark;
	lx_mark_note(p, &j);
	return lx_plat_journal(p, n, &j, f);
}

static int remove_table(struct plat *p, const char *table, struct ln_fail *f)
{
	struct str text;
	str_init(&text, 0);
	lx_nft_text_remove(table, p->ipv6, &text);
	int r = lx_nft_run(&text, f);
	str_fini(&text);
	return r;
}

static int apply_filter(struct plat *p, struct lx_network *n, const struct plat_want *want,
			struct ln_fail *f)
{
	struct lx_nft_facts facts;
	struct str text;
	str_init(&text, 0);
	int r = lx_nft_text(want, p->ipv6, &text, &facts);
	if (r < 0)
		ln_fail(f, r, "cannot write the packet filter: %s", ln_strerror(r));
	bool same = r == 0 && n->filter_current && strcmp(n->table, want->filter_table) == 0 &&
		    strcmp(n->facts.mark, facts.mark) == 0;
	if (r == 0 && !same)
		r = lx_nft_run(&text, f);
	str_fini(&text);
	if (r < 0 || same)
		return r;
	/* A table under the former name is not needed any more: the new one stands. */
	if (n->table[0] != '\0' && strcmp(n->table, want->filter_table) != 0)
		r = remove_table(p, n->table, f);
	strcpy(n->table, want->filter_table);
	n->facts = facts;
	n->filter_current = true;
	return r;
}

int plat_way(struct plat *p, const struct ip_addr *to, uint32_t mark, struct plat_way *ret)
{
	return lx_way_find(&p->nl, to, mark, ret);
}

int plat_filter_check(struct plat *p, const char *ifname, struct ln_fail *f)
{
	struct lx_network *n = find_network(p, ifname);
	if (n == NULL)
		return ln_fail(f, LN_E_NOTFOUND, "no network was applied to %s", ifname);
	if (n->table[0] == '\0')
		return 0;
	int r = lx_nft_check(n->table, p->ipv6, &n->facts, f);
	if (r == LN_E_STALE)
		n->filter_current = false;
	return r;
}

/* --- link, addresses, routes ------------------------------------------------------------------ */

/* Never take over a card of the host, whatever name somebody typed. */
static int find_tunnel(struct plat *p, const char *ifname, struct lx_link *ret, struct ln_fail *f)
{
	int r = lx_link_find(&p->nl, ifname, ret);
	if (r < 0)
		return refused(p, r, f, "find the interface", ifname);
	if (!ret->tunnel)
		return ln_fail(f, LN_E_DENIED,
			       "%s is not a tunnel interface: choose another name with "
			       "--interface-name",
			       ifname);
	return 0;
}

static int apply_link(struct plat *p, const struct plat_want *want, struct lx_link *ret,
		      struct ln_fail *f)
{
	int r = find_tunnel(p, want->ifname, ret, f);
	if (r < 0)
		return r;
	bool mtu = want->mtu != 0 && want->mtu != ret->mtu;
	bool queue = want->txqueuelen != 0 && want->txqueuelen != ret->txqueuelen;
	bool group = want->mark != 0 && ret->group != PLAT_MARK_LINK_GROUP;
	/*
	 * A TUN never holds the kernel back: what does not fit into its own queues is dropped. So a
	 * queueing discipline above them would always be empty, and cost every packet two locks.
	 * Faster, not vital; whoever wants another one keeps it.
	 */
	if (ret->fresh)
		(void)!lx_link_set_noqueue(&p->nl, ret->ifindex);
	if (group)
		r = lx_link_set_group(&p->nl, ret->ifindex, PLAT_MARK_LINK_GROUP);
	if (r == 0 && (mtu || queue || want->up != ret->up))
		r = lx_link_set(&p->nl, ret->ifindex, mtu ? want->mtu : 0,
				queue ? want->txqueuelen : 0, want->up);
	return r < 0 ? refused(p, r, f, "set up the interface", want->ifname) : 0;
}

struct lists {
	struct plat_prefixes have, want, missing, extra;
};

static void lists_fini(struct lists *l)
{
	plat_prefixes_fini(&l->have);
	plat_prefixes_fini(&l->want);
	plat_prefixes_fini(&l->missing);
	plat_prefixes_fini(&l->extra);
}

static int compare(struct lists *l)
{
	l->missing.n = l->extra.n = 0;
	plat_prefixes_sort(&l->have);
	plat_prefixes_sort(&l->want);
	return plat_diff(&l->have, &l->want, &l->missing, &l->extra);
}

static int list_addresses(struct plat *p, unsigned ifindex, struct lists *l)
{
	l->have.n = 0;
	int r = lx_addr_list(&p->nl, ifindex, &l->have);
	return r < 0 ? r : compare(l);
}

/* IPv6 may be switched off on the host or impossible with this MTU: IPv4 works all the same. */
static bool is_v6_refusal(const struct plat_want *want, const struct ip_prefix *x, int err)
{
	return x->addr.family == 6 &&
	       (err == -EACCES || err == -EAFNOSUPPORT || err == -EOPNOTSUPP ||
		(want->mtu != 0 && want->mtu < IPV6_MTU_MIN));
}

static int add_addresses(struct plat *p, struct lx_network *n, const struct plat_want *want,
			 unsigned ifindex, const struct plat_prefixes *missing, struct ln_fail *f)
{
	int first = 0;
	for (size_t i = 0; i < missing->n; i++) {
		const struct ip_prefix *x = &missing->v[i];
		int r = lx_addr_add(&p->nl, ifindex, x);
		if (r < 0 && is_v6_refusal(want, x, r)) {
			if (!n->v6_refused)
				log_warn("plat",
					 "no IPv6 in the tunnel: the host refuses the address",
					 LOG_STR("interface", want->ifname), LOG_ERRNO(r));
			n->v6_refused = true;
		} else if (r < 0 && first == 0) {
			first = refused_prefix(p, r, f, "add the address", want->ifname, x);
		}
	}
	return first;
}

static int apply_addresses(struct plat *p, struct lx_network *n, const struct plat_want *want,
			   unsigned ifindex, struct ln_fail *f)
{
	struct lists l = { 0 };
	int r = 0;
	for (size_t i = 0; i < want->naddresses && r == 0; i++)
		r = plat_prefixes_add(&l.want, &want->addresses[i]);
	if (r == 0)
		r = list_addresses(p, ifindex, &l);
	for (size_t i = 0; i < l.extra.n && r == 0; i++) {
		r = lx_addr_del(&p->nl, ifindex, &l.extra.v[i]);
		if (r == -EADDRNOTAVAIL) /* went together with the primary one before it */
			r = 0;
	}
	/* With its primary address an IPv4 subnet loses the others too: look again. */
	if (r == 0 && l.extra.n > 0)
		r = list_addresses(p, ifindex, &l);
	if (r < 0)
		refused(p, r, f, "read or remove addresses of", want->ifname);
	else
		r = add_addresses(p, n, want, ifindex, &l.missing, f);
	lists_fini(&l);
	return r;
}

static int add_routes(struct plat *p, struct lx_network *n, const struct plat_want *want,
		      unsigned ifindex, const struct plat_prefixes *missing, struct ln_fail *f)
{
	int first = 0;
	for (size_t i = 0; i < missing->n; i++) {
		const struct ip_prefix *x = &missing->v[i];
		if (x->addr.family == 6 && n->v6_refused)
			continue;
		int r = lx_route_add(&p->nl, ifindex, x);
		if (r < 0 && first == 0)
			first = refused_prefix(p, r, f, "add the route", want->ifname, x);
	}
	return first;
}

static int apply_routes(struct plat *p, struct lx_network *n, const struct plat_want *want,
			unsigned ifindex, struct ln_fail *f)
{
	struct lists l = { 0 };
	int r = 0;
	for (size_t i = 0; i < want->nroutes && r == 0; i++) {
		struct ip_prefix x = ip_prefix_mask(&want->routes[i]);
		r = plat_prefixes_add(&l.want, &x);
	}
	if (r == 0)
		r = lx_route_list(&p->nl, ifindex, &l.have);
	if (r == 0)
		r = compare(&l);
	if (r < 0)
		refused(p, r, f, "read the routes of", want->ifname);
	else
		r = add_routes(p, n, want, ifindex, &l.missing, f);
	for (size_t i = 0; i < l.extra.n; i++) {
		int e = lx_route_del(&p->nl, ifindex, &l.extra.v[i]);
		if (e < 0 && e != -ESRCH && r == 0)
			r = refused_prefix(p, e, f, "remove the route", want->ifname,
					   &l.extra.v[i]);
	}
	lists_fini(&l);
	return r;
}

/* --- the three verbs -------------------------------------------------------------------------- */

/*
 * The filter comes first and goes last, so that the tunnel is never open by accident. Below it one
 * step's failure does not keep the others from being done; the first one is reported.
 */
int plat_apply(struct plat *p, const struct plat_want *want, struct ln_fail *f)
{
	int r = check_want(p, want, f);
	if (r < 0)
		return r;
	struct lx_network *n = get_network(p, want->ifname);
	const char *table = want->filter ? want->filter_table : n->table;
	r = note(p, n, table, want->mark, f);
	if (r == 0 && want->filter)
		r = apply_filter(p, n, want, f);
	struct lx_link link;
	if (r == 0)
		r = apply_link(p, want, &link, f);
	if (r < 0)
		return r;
	struct ln_fail later = { 0 };
	r = lx_mark_apply(p, n, link.ifindex, f);
	if (r < 0)
		return r;
	r = apply_addresses(p, n, want, link.ifindex, f);
	int e = want->up ? apply_routes(p, n, want, link.ifindex, r == 0 ? f : &later) : 0;
	r = r == 0 ? e : r;
	if (!want->filter && n->table[0] != '\0') {
		e = remove_table(p, n->table, r == 0 ? f : &later);
		if (e == 0) {
			n->table[0] = '\0';
			e = note(p, n, "", want->mark, r == 0 ? f : &later);
		}
		r = r == 0 ? e : r;
	}
	return r;
}

/* Addresses and routes of ours on an interface that is still there. */
static int clear_link(struct plat *p, const char *ifname, struct ln_fail *f)
{
	struct lx_link link;
	int r = lx_link_find(&p->nl, ifname, &link);
	if (r == -ENODEV || (r == 0 && !link.tunnel))
		return 0; /* a TUN interface goes with its process */
	if (r < 0)
		return refused(p, r, f, "find the interface", ifname);
	if (link.wireguard) { /* that one stays when its process ends */
		r = lx_link_del(&p->nl, link.ifindex);
		return r < 0 && r != -ENODEV ? refused(p, r, f, "remove the interface", ifname) : 0;
	}
	struct plat_want none = { .up = true };
	struct lx_network n = { 0 };
	strncpy(none.ifname, ifname, sizeof(none.ifname) - 1);
	r = apply_routes(p, &n, &none, link.ifindex, f);
	int e = apply_addresses(p, &n, &none, link.ifindex, r == 0 ? f : NULL);
	return r == 0 ? e : r;
}

/*
 * Without the program nft there can be no table that we made and did not note, so its absence
 * matters only when the journal or this process says there is one.
 */
static int clear_filter(struct plat *p, const char *table, bool known, struct ln_fail *f)
{
	int r = remove_table(p, table, f);
	return r == -ENOENT && !known ? 0 : r;
}

int plat_remove(struct plat *p, const char *ifname, const char *filter_table, struct ln_fail *f)
{
	if (!lx_nft_ifname_ok(ifname) ||
	    (filter_table != NULL && filter_table[0] != '\0' && !lx_nft_name_ok(filter_table)))
		return ln_fail(f, LN_E_MALFORMED, "not the name of an interface or of a table");
	struct lx_network *n = find_network(p, ifname);
	struct lx_journal j = { 0 };
	/* An unreadable record is as good as none: plat_recover() puts it aside. */
	if (lx_journal_read(p->state_dir, ifname, &j) < 0)
		j = (struct lx_journal){ 0 };
	int r = clear_link(p, ifname, f);
	struct ln_fail later = { 0 };
	if (j.table[0] != '\0') {
		int e = clear_filter(p, j.table, true, r == 0 ? f : &later);
		r = r == 0 ? e : r;
	}
	if (filter_table != NULL && filter_table[0] != '\0' && strcmp(filter_table, j.table) != 0) {
		int e = clear_filter(p, filter_table, false, r == 0 ? f : &later);
		r = r == 0 ? e : r;
	}
	if (r < 0)
		return r; /* the record stays: the next start tries again */
	lx_mark_clear(p, j.mark, &j.rpf, n);
	if (n != NULL && n->mark != j.mark) /* the record could not be written */
		lx_mark_clear(p, n->mark, &n->journal.rpf, n);
	drop_network(n);
	r = lx_journal_remove(p->state_dir, ifname);
	return r < 0 ? ln_fail(f, r, "cannot remove the record of %s: %s", ifname, ln_strerror(r))
		     : 0;
}

struct recovery {
	struct plat *p;
	struct ln_fail *f;
	int r;
};

static void recover_one(void *arg, const struct lx_journal *j)
{
	struct recovery *rec = arg;
	if (find_network(rec->p, j->ifname) != NULL)
		return; /* ours, in use */
	log_info("plat", "removing what an earlier run left", LOG_STR("interface", j->ifname),
		 LOG_STR("table", j->table));
	int r = plat_remove(rec->p, j->ifname, j->table, rec->r == 0 ? rec->f : NULL);
	if (rec->r == 0)
		rec->r = r;
}

int plat_recover(struct plat *p, struct ln_fail *f)
{
	struct recovery rec = { .p = p, .f = f };
	int r = lx_journal_each_orphan(p->state_dir, recover_one, &rec);
	if (r < 0)
		return ln_fail(f, r, "cannot read the state folder %s: %s", p->state_dir,
			       ln_strerror(r));
	return rec.r;
}
