#include "src/plat/linux/lx_rule.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "src/plat/linux/lx_link.h"
#include "src/plat/plat_mark.h"

#define DUMP_TRIES 5
#define BEFORE_MAIN 32763 /* the kernel's own rule is 32766 */

void lx_rule_list(uint32_t mark, struct lx_rule ret[LX_RULES])
{
	unsigned slot = plat_mark_slot(mark);
	/* One priority each: two networks must not share a rule, or the first to go takes it along.
	 */
	uint32_t first = slot == 0 ? 105 : 200 + 2 * slot;
	uint32_t second = slot == 0 ? 110 : first + 1;
	struct lx_rule others = { .mark = mark & PLAT_MARK_BITS,
				  .mask = PLAT_MARK_BITS,
				  .invert = true,
				  .suppress_len = -1,
				  .suppress_group = -1 };
	struct lx_rule own = {
		.mark = mark, .mask = UINT32_MAX, .suppress_len = -1, .suppress_group = -1
	};

	ret[0] = ret[1] = others;
	ret[0].priority = first;
	ret[0].table = RT_TABLE_MAIN;
	ret[0].suppress_len = 0;
	ret[1].priority = second;
	ret[1].table = PLAT_MARK_TABLE + slot;

	ret[2] = ret[3] = ret[4] = own;
	ret[2].priority = BEFORE_MAIN;
	ret[2].table = RT_TABLE_MAIN;
	ret[2].suppress_group = PLAT_MARK_LINK_GROUP;
	ret[3].priority = BEFORE_MAIN + 1;
	ret[3].table = PLAT_MARK_DETOUR + slot;
	ret[4].priority = BEFORE_MAIN + 2;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool rule_of(const struct nlmsghdr *h, struct lx_rule *ret)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(h) < sizeof(*frh) ||
	    (frh->action != FR_ACT_TO_TBL && frh->action != FR_ACT_UNREACHABLE))
		return false;
	*ret = (struct lx_rule){ .invert = (frh->flags & FIB_RULE_INVERT) != 0,
				 .table = frh->table,
				 .suppress_len = -1,
				 .suppress_group = -1 };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*frh))
	{
		if (mnl_attr_get_payload_len(attr) != sizeof(uint32_t))
			continue;
		uint32_t v = mnl_attr_get_u32(attr);
		switch (mnl_attr_get_type(attr)) {
		case FRA_PRIORITY:
			ret->priority = v;
			break;
		case FRA_FWMARK:
			ret->mark = v;
			break;
		case FRA_FWMASK:
			ret->mask = v;
			break;
		case FRA_TABLE:
			ret->table = v;
			break;
		case FRA_SUPPRESS_PREFIXLEN:
			ret->suppress_len = (int)v;
			break;
		case FRA_SUPPRESS_IFGROUP:
			ret->suppress_group = (int)v;
			break;
		}
	}
	if (frh->action == FR_ACT_UNREACHABLE)
		ret->table = 0;
	return true;
}

static bool same(const struct lx_rule *a, const struct lx_rule *b)
{
	return a->priority == b->priority && a->mark == b->mark && a->mask == b->mask &&
	       a->invert == b->invert && a->table == b->table &&
	       a->suppress_len == b->suppress_len && a->suppress_group == b->suppress_group;
}

struct reading {
	const struct lx_rule *wanted; /* LX_RULES of them, or null */
	unsigned present;
	uint64_t slots;
};

static int read_rule(const struct nlmsghdr *h, void *arg)
{
	struct reading *rd = arg;
	struct lx_rule r;
	if (!rule_of(h, &r))
		return MNL_CB_OK;
	for (unsigned i = 0; rd->wanted != NULL && i < LX_RULES; i++)
		if (same(&rd->wanted[i], &r))
			rd->present |= 1u << i;
	if (r.table >= PLAT_MARK_TABLE && r.table < PLAT_MARK_TABLE + PLAT_MARK_SLOTS)
		rd->slots |= (uint64_t)1 << (r.table - PLAT_MARK_TABLE);
	return MNL_CB_OK;
}

static int dump(struct lx_nl *nl, uint8_t family, struct reading *rd)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	int r = -EINTR;
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		rd->present = 0;
		rd->slots = 0;
		struct nlmsghdr *h = lx_nl_begin(nl, buf, RTM_GETRULE, NLM_F_DUMP);
		struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(h, sizeof(*frh));
		frh->family = family;
		r = lx_nl_get(nl, h, read_rule, rd);
	}
	return r;
}

int lx_rule_present(struct lx_nl *nl, uint8_t family, const struct lx_rule v[LX_RULES],
		    unsigned *ret)
{
	struct reading rd = { .wanted = v };
	int r = dump(nl, family, &rd);
	*ret = rd.present;
	return r;
}

int lx_rule_slots(struct lx_nl *nl, uint8_t family, uint64_t *ret)
{
	struct reading rd = { 0 };
	int r = dump(nl, family, &rd);
	*ret = rd.slots;
	return r;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int request(struct lx_nl *nl, uint16_t type, uint16_t flags, uint8_t family,
		   const struct lx_rule *r)
{
	char buf[LX_NL_REQUEST] __attribute__((aligned(8)));
	struct nlmsghdr *h = lx_nl_begin(nl, buf, type, flags);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(h, sizeof(*frh));
	frh->family = family;
	frh->action = r->table != 0 ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
	frh->flags = r->invert ? FIB_RULE_INVERT : 0;
	mnl_attr_put_u32(h, FRA_PRIORITY, r->priority);
	mnl_attr_put_u32(h, FRA_FWMARK, r->mark);
	mnl_attr_put_u32(h, FRA_FWMASK, r->mask);
	if (r->table != 0)
		mnl_attr_put_u32(h, FRA_TABLE, r->table);
	if (r->suppress_len >= 0)
		mnl_attr_put_u32(h, FRA_SUPPRESS_PREFIXLEN, (uint32_t)r->suppress_len);
	if (r->suppress_group >= 0)
		mnl_attr_put_u32(h, FRA_SUPPRESS_IFGROUP, (uint32_t)r->suppress_group);
	mnl_attr_put_u8(h, FRA_PROTOCOL, LX_ROUTE_PROTOCOL);
	return lx_nl_ask(nl, h);
}

int lx_rule_add(struct lx_nl *nl, uint8_t family, const struct lx_rule *r)
{
	return request(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family, r);
}

int lx_rule_del(struct lx_nl *nl, uint8_t family, const struct lx_rule *r)
{
	return request(nl, RTM_DELRULE, 0, family, r);
}
