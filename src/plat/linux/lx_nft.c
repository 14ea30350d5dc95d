#include "src/plat/linux/lx_nft.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/hex.h"
#include "lib/crypto/digest.h"

#include "src/plat/plat_filter.h"

#define CHAIN_RULES "netbird-acl-input-rules"
#define CHAIN_FILTER "netbird-acl-input-filter"
#define TEXT_LIMIT ((size_t)64 << 20)

struct build { /* one table being written */
	struct str *dst;
	const char *family; /* ip, ip6 */
	const char *table;
	unsigned handles;
	unsigned sets;
};

bool lx_nft_name_ok(const char *table)
{
	size_t n = strlen(table);
	if (n == 0 || n > 64 || !isalpha((unsigned char)table[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)table[i]) && strchr("-_.", table[i]) == NULL)
			return false;
	return true;
}

/* Stricter than the kernel: no quotes, and no star, which nft would take for a wildcard. */
bool lx_nft_ifname_ok(const char *ifname)
{
	size_t n = strnlen(ifname, PLAT_IFNAME_MAX);
	if (n == 0 || n >= PLAT_IFNAME_MAX || strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)ifname[i]) && strchr("-_.", ifname[i]) == NULL)
			return false;
	return true;
}

/* --- pieces of the JSON ---------------------------------------------------------------------- */

static void add_command(struct str *dst, const char *verb)
{
	if (dst->n > 0 && dst->s[dst->n - 1] == '}')
		str_addc(dst, ',');
	str_addf(dst, "\n{\"%s\":", verb);
}

static void add_table(struct str *dst, const char *verb, const char *family, const char *table)
{
	add_command(dst, verb);
	str_addf(dst, "{\"table\":{\"family\":\"%s\",\"name\":\"%s\"}}}", family, table);
}

static void add_chain(struct build *b, const char *name, const char *hook)
{
	add_command(b->dst, "add");
	str_addf(b->dst, "{\"chain\":{\"family\":\"%s\",\"table\":\"%s\",\"name\":\"%s\"%s}}}",
		 b->family, b->table, name, hook);
	b->handles++;
}

static void rule_begin(struct build *b, const char *chain)
{
	add_command(b->dst, "add");
	str_addf(b->dst,
		 "{\"rule\":{\"family\":\"%s\",\"table\":\"%s\",\"chain\":\"%s\",\"expr\":[",
		 b->family, b->table, chain);
	b->handles++;
}

static void rule_end(struct build *b)
{
	str_add(b->dst, "]}}}");
}

static void add_prefix(struct build *b, const struct ip_prefix *p)
{
	char text[IP_TEXT_MAX];
	ip_format(&p->addr, text);
	if (p->len == ip_bits(&p->addr))
		str_addf(b->dst, "\"%s\"", text);
	else
		str_addf(b->dst, "{\"prefix\":{\"addr\":\"%s\",\"len\":%u}}", text, p->len);
}

static void add_match(struct build *b, const char *left)
{
	str_addf(b->dst, "{\"match\":{\"op\":\"==\",\"left\":%s,\"right\":", left);
}

/* A named set with the sources of a group; its number. */
static unsigned add_set(struct build *b, const struct plat_filter_group *g)
{
	unsigned number = ++b->sets;
	bool interval = false;
	for (size_t i = 0; i < g->nsources; i++)
		interval |= g->sources[i].len != ip_bits(&g->sources[i].addr);
	add_command(b->dst, "add");
	str_addf(b->dst,
		 "{\"set\":{\"family\":\"%s\",\"table\":\"%s\",\"name\":\"nb%07u\",\"type\":"
		 "\"%s_addr\"%s,\"elem\":[",
		 b->family, b->table, number, strcmp(b->family, "ip") == 0 ? "ipv4" : "ipv6",
		 interval ? ",\"flags\":[\"interval\"]" : "");
	for (size_t i = 0; i < g->nsources; i++) {
		if (i > 0)
			str_addc(b->dst, ',');
		add_prefix(b, &g->sources[i]);
	}
	str_add(b->dst, "]}}}");
	b->handles++;
	return number;
}

static void add_source(struct build *b, const struct plat_filter_group *g, unsigned set)
{
	if (g->any_source)
		return;
	char left[64];
	snprintf(left, sizeof(left), "{\"payload\":{\"protocol\":\"%s\",\"field\":\"saddr\"}}",
		 b->family);
	add_match(b, left);
	if (set != 0)
		str_addf(b->dst, "\"@nb%07u\"", set);
	else
		add_prefix(b, &g->sources[0]);
	str_add(b->dst, "}},");
}

static void add_group(struct build *b, const struct plat_filter_group *g)
{
	unsigned set = !g->any_source && g->nsources > 1 ? add_set(b, g) : 0;
	rule_begin(b, CHAIN_RULES);
	if (g->protocol != 0) {
		add_match(b, "{\"meta\":{\"key\":\"l4proto\"}}");
		str_addf(b->dst, "%u}},", g->protocol);
	}
	add_source(b, g, set);
	if (g->port_first != 0) {
		add_match(b, "{\"payload\":{\"protocol\":\"th\",\"field\":\"dport\"}}");
		if (g->port_first == g->port_last)
			str_addf(b->dst, "%u}},", g->port_first);
		else
			str_addf(b->dst, "{\"range\":[%u,%u]}}},", g->port_first, g->port_last);
	}
	str_add(b->dst, g->drop ? "{\"drop\":null}" : "{\"accept\":null}");
	rule_end(b);
}

/* --- tables ---------------------------------------------------------------------------------- */

static void add_rules(struct build *b, const struct plat_filter *x, bool allow_all)
{
	size_t i = 0;
	for (; i < x->ngroups && x->groups[i].drop; i++)
		add_group(b, &x->groups[i]);
	rule_begin(b, CHAIN_RULES);
	str_add(b->dst, "{\"match\":{\"op\":\"in\",\"left\":{\"ct\":{\"key\":\"state\"}},\"right\":"
			"[\"established\",\"related\"]}},{\"counter\":null},{\"accept\":null}");
	rule_end(b);
	for (; i < x->ngroups; i++)
		add_group(b, &x->groups[i]);
	if (allow_all) {
		rule_begin(b, CHAIN_RULES);
		str_add(b->dst, "{\"accept\":null}");
		rule_end(b);
	}
}

static void add_input(struct build *b, const char *ifname)
{
	static const char *const verdicts[] = { "{\"jump\":{\"target\":\"" CHAIN_RULES "\"}}",
						"{\"drop\":null}" };
	for (size_t i = 0; i < LN_COUNT(verdicts); i++) {
		rule_begin(b, CHAIN_FILTER);
		add_match(b, "{\"meta\":{\"key\":\"iifname\"}}");
		str_addf(b->dst, "\"%s\"}},%s", ifname, verdicts[i]);
		rule_end(b);
	}
}

static int add_family(const struct plat_want *want, unsigned family, struct str *dst,
		      unsigned *ret_handles)
{
	struct plat_filter x;
	int r = plat_filter_build(want->rules, want->nrules, family, &x);
	if (r < 0)
		return r;
	struct build b = { .dst = dst,
			   .family = family == 4 ? "ip" : "ip6",
			   .table = want->filter_table,
			   .handles = 1 };
	/* Added first so that deleting it cannot fail; the new one follows in the same commit. */
	add_table(dst, "add", b.family, b.table);
	add_table(dst, "delete", b.family, b.table);
	add_table(dst, "add", b.family, b.table);
	add_chain(&b, CHAIN_RULES, "");
	add_chain(&b, CHAIN_FILTER,
		  ",\"type\":\"filter\",\"hook\":\"input\",\"prio\":0,\"policy\":\"accept\"");
	add_rules(&b, &x, want->filter_allow_all);
	add_input(&b, want->ifname);
	plat_filter_fini(&x);
	*ret_handles = b.handles;
	return 0;
}

/* A chain nobody jumps to: its only rule carries the mark, so the rules above stay as published. */
static void add_mark(const struct plat_want *want, const char *family, struct str *dst,
		     const char *mark)
{
	struct build b = { .dst = dst, .family = family, .table = want->filter_table };
	add_chain(&b, "linnet-mark", "");
	rule_begin(&b, "linnet-mark");
	str_addf(dst, "{\"return\":null}],\"comment\":\"linnet %s\"}}}", mark);
}

int lx_nft_text(const struct plat_want *want, bool ipv6, struct str *dst, struct lx_nft_facts *ret)
{
	struct lx_nft_facts facts = { 0 };
	str_clear(dst);
	dst->limit = TEXT_LIMIT;
	str_add(dst, "{\"nftables\":[");
	int r = add_family(want, 4, dst, &facts.handles[0]);
	if (r == 0 && ipv6)
		r = add_family(want, 6, dst, &facts.handles[1]);
	if (r < 0)
		return r;
	uint8_t digest[SHA256_LEN];
	digest_sha256(str_slice(dst), digest);
	hex_encode(slice_of(digest, LX_NFT_MARK_LEN / 2), facts.mark);
	add_mark(want, "ip", dst, facts.mark);
	facts.handles[0] += 2;
	if (ipv6) {
		add_mark(want, "ip6", dst, facts.mark);
		facts.handles[1] += 2;
	}
	str_add(dst, "\n]}\n");
	if (dst->err != 0)
		return dst->err;
	*ret = facts;
	return 0;
}

void lx_nft_text_remove(const char *table, bool ipv6, struct str *dst)
{
	str_clear(dst);
	str_add(dst, "{\"nftables\":[");
	add_table(dst, "add", "ip", table);
	add_table(dst, "delete", "ip", table);
	if (ipv6) {
		add_table(dst, "add", "ip6", table);
		add_table(dst, "delete", "ip6", table);
	}
	str_add(dst, "\n]}\n");
}
