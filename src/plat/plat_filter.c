#include "src/plat/plat_filter.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct row { /* one rule of the family, normalised */
	bool accept;
	uint8_t protocol;
	uint16_t first, last;
	struct ip_prefix source;
};

static int compare_selector(const struct row *a, const struct row *b)
{
	if (a->accept != b->accept)
		return (int)a->accept - (int)b->accept;
	if (a->protocol != b->protocol)
		return (int)a->protocol - (int)b->protocol;
	if (a->first != b->first)
		return (int)a->first - (int)b->first;
	return (int)a->last - (int)b->last;
}

static int compare_rows(const void *pa, const void *pb)
{
	const struct row *a = pa;
	const struct row *b = pb;
	int c = compare_selector(a, b);
	if (c == 0)
		c = ip_cmp(&a->source.addr, &b->source.addr);
	/* Shorter first: what covers comes before what it covers. */
	return c != 0 ? c : (int)a->source.len - (int)b->source.len;
}

static uint8_t protocol_in(uint8_t protocol, unsigned family)
{
	if (protocol == IPPROTO_ICMP && family == 6)
		return IPPROTO_ICMPV6;
	if (protocol == IPPROTO_ICMPV6 && family == 4)
		return IPPROTO_ICMP;
	return protocol;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

/* One or two rows; the number written. */
static size_t rows_of(const struct plat_rule *rule, unsigned family, struct row *dst)
{
	struct row r = { .accept = !rule->drop,
			 .protocol = protocol_in(rule->protocol, family),
			 .source = ip_prefix_mask(&rule->source) };
	if (!ip_is_set(&rule->source.addr)) /* any, in both families */
		r.source = (struct ip_prefix){ .addr.family = (uint8_t)family };
	if (rule->port_first != 0) {
		r.first = rule->port_first;
		r.last = LN_MAX(rule->port_first, rule->port_last);
	}
	if (r.first == 0 || has_ports(r.protocol)) {
		dst[0] = r;
		return 1;
	}
	if (r.protocol != 0) { /* a protocol that has no ports */
		r.first = r.last = 0;
		dst[0] = r;
		return 1;
	}
	dst[0] = dst[1] = r;
	dst[0].protocol = IPPROTO_TCP;
	dst[1].protocol = IPPROTO_UDP;
	return 2;
}

static int collect(const struct plat_rule *rules, size_t n, unsigned family, struct row *dst,
		   size_t *ret_n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		const struct ip_prefix *s = &rules[i].source;
		if (ip_is_set(&s->addr) && s->len > ip_bits(&s->addr))
			return LN_E_MALFORMED;
		if (!ip_is_set(&s->addr) || s->addr.family == family)
			count += rows_of(&rules[i], family, &dst[count]);
	}
	*ret_n = count;
	return 0;
}

/* Sources of rows [from, to), all with one selector, into the list without what is covered. */
static int add_group(struct plat_filter *x, const struct row *rows, size_t from, size_t to)
{
	struct plat_filter_group *g = &x->groups[x->ngroups];
	*g = (struct plat_filter_group){ .drop = !rows[from].accept,
					 .protocol = rows[from].protocol,
					 .port_first = rows[from].first,
					 .port_last = rows[from].last };
	size_t start = x->prefixes.n;
	for (size_t i = from; i < to; i++) {
		const struct ip_prefix *s = &rows[i].source;
		if (x->prefixes.n > start &&
		    ip_prefix_contains(&x->prefixes.v[x->prefixes.n - 1], &s->addr))
			continue;
		int r = plat_prefixes_add(&x->prefixes, s);
		if (r < 0)
			return r;
	}
	g->nsources = x->prefixes.n - start;
	g->any_source = x->prefixes.v[start].len == 0;
	x->ngroups++;
	return 0;
}

static int group_rows(struct plat_filter *x, struct row *rows, size_t n)
{
	if (n == 0)
		return 0;
	qsort(rows, n, sizeof(rows[0]), compare_rows);
	x->groups = ln_calloc(n, sizeof(x->groups[0]));
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && compare_selector(&rows[from], &rows[to]) == 0; to++)
			;
		int r = add_group(x, rows, from, to);
		if (r < 0)
			return r;
	}
	/* Only now does the array stay where it is. */
	const struct ip_prefix *at = x->prefixes.v;
	for (size_t i = 0; i < x->ngroups; i++) {
		x->groups[i].sources = at;
		at += x->groups[i].nsources;
	}
	return 0;
}

int plat_filter_build(const struct plat_rule *rules, size_t n, unsigned family,
		      struct plat_filter *ret)
{
	if (n > PLAT_RULES_MAX)
		return LN_E_LIMIT;
	struct row *rows = ln_calloc(2 * n + 1, sizeof(*rows));
	struct plat_filter x = { 0 };
	size_t count = 0;
	int r = collect(rules, n, family, rows, &count);
	if (r == 0)
		r = group_rows(&x, rows, count);
	free(rows);
	if (r < 0) {
		plat_filter_fini(&x);
		return r;
	}
	*ret = x;
	return 0;
}

void plat_filter_fini(struct plat_filter *x)
{
	free(x->groups);
	plat_prefixes_fini(&x->prefixes);
	*x = (struct plat_filter){ 0 };
}
