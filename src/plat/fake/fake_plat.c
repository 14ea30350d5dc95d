#include "src/plat/fake/fake_plat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/plat/fake/fake_wg.h"
#include "src/plat/plat_filter.h"
#include "src/plat/plat_mark.h"

#define NETWORKS_MAX 64
#define EVENTS_MAX 64

struct plat {
	struct fake_plat_network *networks[NETWORKS_MAX];
	size_t nnetworks;
	struct plat_addr *addresses;
	size_t naddresses;
	struct plat_way ways[2]; /* IPv4, IPv6; ifindex 0 none */
	struct plat_event events[EVENTS_MAX];
	size_t nevents;
	int event_fd;
	int fail_next;
	struct fake_wg wg;
};

static void network_free(struct fake_plat_network *n)
{
	plat_prefixes_fini(&n->addresses);
	plat_prefixes_fini(&n->routes);
	free(n->rules);
	free(n);
}

int plat_new(const char *state_dir, struct plat **ret, struct ln_fail *f)
{
	(void)state_dir;
	struct plat *p = ln_alloc(sizeof(*p));
	p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->event_fd < 0) {
		free(p);
		return ln_fail(f, LN_E_LIMIT, "no descriptor for events");
	}
	*ret = p;
	return 0;
}

void plat_free(struct plat *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->nnetworks; i++)
		network_free(p->networks[i]);
	free(p->addresses);
	close(p->event_fd);
	free(p);
}

static struct fake_plat_network *find(const struct plat *p, const char *ifname)
{
	for (size_t i = 0; i < p->nnetworks; i++)
		if (strcmp(p->networks[i]->ifname, ifname) == 0)
			return p->networks[i];
	return NULL;
}

const struct fake_plat_network *fake_plat_find(const struct plat *p, const char *ifname)
{
	return find(p, ifname);
}

struct fake_wg *fake_plat_wg(struct plat *p)
{
	return &p->wg;
}

void fake_plat_fail_next(struct plat *p, int err)
{
	p->fail_next = err;
}

/* Replaces `have` by what is wanted; true when there was a difference. */
static bool take(struct plat_prefixes *have, const struct ip_prefix *v, size_t n, bool mask)
{
	struct plat_prefixes want = { 0 }, missing = { 0 }, extra = { 0 };
	for (size_t i = 0; i < n; i++) {
		ln_assert(ip_is_set(&v[i].addr) && v[i].len <= ip_bits(&v[i].addr));
		struct ip_prefix x = mask ? ip_prefix_mask(&v[i]) : v[i];
		ln_assert(plat_prefixes_add(&want, &x) == 0);
	}
	plat_prefixes_sort(&want);
	ln_assert(want.n == n); /* a kernel refuses the second of two equal ones */
	ln_assert(plat_diff(have, &want, &missing, &extra) == 0);
	bool changed = missing.n + extra.n > 0;
	plat_prefixes_fini(&missing);
	plat_prefixes_fini(&extra);
	plat_prefixes_fini(have);
	*have = want;
	return changed;
}

static bool rules_equal(const struct plat_rule *a, const struct plat_rule *b)
{
	return ip_prefix_equal(&a->source, &b->source) && a->protocol == b->protocol &&
	       a->port_first == b->port_first && a->port_last == b->port_last && a->drop == b->drop;
}

static bool take_filter(struct fake_plat_network *n, const struct plat_want *want)
{
	const char *table = want->filter ? want->filter_table : "";
	size_t count = want->filter ? want->nrules : 0;
	bool same = strcmp(n->table, table) == 0 && n->nrules == count &&
		    n->allow_all == want->filter_allow_all;
	for (size_t i = 0; same && i < count; i++)
		same = rules_equal(&n->rules[i], &want->rules[i]);
	if (same)
		return false;
	free(n->rules);
	n->rules = NULL;
	if (count > 0) {
		n->rules = ln_calloc(count, sizeof(n->rules[0]));
		memcpy(n->rules, want->rules, count * sizeof(n->rules[0]));
	}
	n->nrules = count;
	n->allow_all = want->filter_allow_all;
	snprintf(n->table, sizeof(n->table), "%s", table);
	return true;
}

static void check_invariants(const struct plat *p, const struct plat_want *want)
{
	ln_assert(want->ifname[0] != '\0' && memchr(want->ifname, '\0', PLAT_IFNAME_MAX) != NULL);
	ln_assert(want->filter || want->nrules == 0);
	ln_assert(!want->filter || (want->filter_table != NULL && want->filter_table[0] != '\0'));
	for (size_t i = 0; i < p->nnetworks && want->filter; i++)
		ln_assert(strcmp(p->networks[i]->ifname, want->ifname) == 0 ||
			  strcmp(p->networks[i]->table, want->filter_table) != 0);
	for (size_t i = 0; i < p->nnetworks && want->mark != 0; i++)
		ln_assert(strcmp(p->networks[i]->ifname, want->ifname) == 0 ||
			  p->networks[i]->mark != want->mark);
}

int plat_apply(struct plat *p, const struct plat_want *want, struct ln_fail *f)
{
	check_invariants(p, want);
	if (p->fail_next != 0) {
		int err = p->fail_next;
		p->fail_next = 0;
		return ln_fail(f, err, "refused by the test");
	}
	struct fake_plat_network *n = find(p, want->ifname);
	if (n == NULL) {
		ln_assert(p->nnetworks < NETWORKS_MAX);
		n = p->networks[p->nnetworks++] = ln_alloc(sizeof(*n));
		memcpy(n->ifname, want->ifname, sizeof(n->ifname));
	}
	bool changed = take_filter(n, want);
	changed |= n->up != want->up || (want->mtu != 0 && n->mtu != want->mtu);
	changed |= take(&n->addresses, want->addresses, want->naddresses, false);
	changed |= take(&n->routes, want->routes, want->up ? want->nroutes : 0, true);
	changed |= n->mark != want->mark;
	n->mark = want->mark;
	n->up = want->up;
	n->mtu = want->mtu != 0 ? want->mtu : n->mtu;
	n->applied += changed;
	return 0;
}

int plat_filter_check(struct plat *p, const char *ifname, struct ln_fail *f)
{
	return find(p, ifname) != NULL ? 0 : ln_fail(f, LN_E_NOTFOUND, "no network on %s", ifname);
}

int plat_remove(struct plat *p, const char *ifname, const char *filter_table, struct ln_fail *f)
{
	(void)filter_table;
	(void)f;
	for (size_t i = 0; i < p->nnetworks; i++) {
		if (strcmp(p->networks[i]->ifname, ifname) != 0)
			continue;
		network_free(p->networks[i]);
		p->networks[i] = p->networks[--p->nnetworks];
		break;
	}
	return 0;
}

int plat_recover(struct plat *p, struct ln_fail *f)
{
	(void)p;
	(void)f;
	return 0;
}

void fake_plat_set_addresses(struct plat *p, const struct plat_addr *v, size_t n)
{
	free(p->addresses);
	p->addresses = ln_calloc(n + 1, sizeof(*v));
	if (n > 0)
		memcpy(p->addresses, v, n * sizeof(*v));
	p->naddresses = n;
}

int plat_mark_probe(struct plat *p, struct ln_fail *f)
{
	(void)p;
	(void)f;
	return 0;
}

int plat_mark_free_slot(struct plat *p, uint64_t taken, unsigned *ret)
{
	(void)p;
	for (unsigned i = 0; i < PLAT_MARK_SLOTS; i++) {
		if ((taken >> i & 1) == 0) {
			*ret = i;
			return 0;
		}
	}
	return LN_E_LIMIT;
}

void plat_mark_refresh(struct plat *p)
{
	(void)p; /* nobody else changes this kernel */
}

void fake_plat_set_way(struct plat *p, uint8_t family, const struct plat_way *way)
{
	p->ways[family == 6] = *way;
}

int plat_way(struct plat *p, const struct ip_addr *to, uint32_t mark, struct plat_way *ret)
{
	(void)mark;
	const struct plat_way *w = &p->ways[to->family == 6];
	if (w->ifindex == 0)
		return -ENETUNREACH;
	*ret = *w;
	return 0;
}

int plat_addresses(struct plat *p, struct plat_addr *ret, size_t cap)
{
	size_t n = LN_MIN(cap, p->naddresses);
	if (n > 0)
		memcpy(ret, p->addresses, n * sizeof(*ret));
	return (int)n;
}

void plat_sysinfo(struct plat *p, struct plat_sysinfo *ret)
{
	(void)p;
	*ret = (struct plat_sysinfo){ .hostname = "fake",
				      .kernel = "Linux",
				      .kernel_version = "6.1.0",
				      .platform = "x86_64",
				      .os = "Debian GNU/Linux",
				      .os_version = "12" };
}

int plat_event_fd(struct plat *p)
{
	return p->event_fd;
}

void fake_plat_push_event(struct plat *p, struct plat_event ev)
{
	ln_assert(p->nevents < EVENTS_MAX);
	p->events[p->nevents++] = ev;
	ln_assert(eventfd_write(p->event_fd, 1) == 0);
}

bool plat_event_next(struct plat *p, struct plat_event *ret)
{
	eventfd_t count;
	if (p->nevents == 0)
		return false;
	*ret = p->events[0];
	memmove(p->events, p->events + 1, --p->nevents * sizeof(p->events[0]));
	if (p->nevents == 0)
		(void)eventfd_read(p->event_fd, &count);
	return true;
}

static bool group_matches(const struct plat_filter_group *g, const struct ip_addr *source,
			  uint8_t protocol, uint16_t port)
{
	if ((g->protocol != 0 && g->protocol != protocol) ||
	    (g->port_first != 0 && (port < g->port_first || port > g->port_last)))
		return false;
	bool match = g->any_source;
	for (size_t k = 0; k < g->nsources && !match; k++)
		match = ip_prefix_contains(&g->sources[k], source);
	return match;
}

bool fake_plat_passes(const struct plat *p, const char *ifname, const struct ip_addr *source,
		      uint8_t protocol, uint16_t port)
{
	const struct fake_plat_network *n = find(p, ifname);
	if (n == NULL || n->table[0] == '\0')
		return true;
	struct plat_filter x;
	ln_assert(plat_filter_build(n->rules, n->nrules, source->family, &x) == 0);
	bool pass = n->allow_all;
	for (size_t i = 0; i < x.ngroups; i++) { /* drop groups stand first */
		if (group_matches(&x.groups[i], source, protocol, port)) {
			pass = !x.groups[i].drop;
			break;
		}
	}
	plat_filter_fini(&x);
	return pass;
}
