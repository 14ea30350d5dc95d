/* Namespaces, links and NAT routers as shell scripts (spec signal-and-connection 7.3). */
#include <stdio.h>
#include <string.h>

#include "src/cmd/linnet_lab.h"

#define CARRIER "100.127" /* inside the carriers' 100.64.0.0/10 (RFC 6598) */

const struct linnet_lab_nat linnet_lab_nats[] = {
	{ "none", LINNET_LAB_OPEN, LINNET_LAB_OPEN, false, "a public address, no router" },
	{ "full-cone", LINNET_LAB_CONE, LINNET_LAB_OPEN, false,
	  "one public port for all, open to everybody" },
	{ "address-restricted", LINNET_LAB_ADDRESS, LINNET_LAB_OPEN, false,
	  "one public port for all, open to the addresses the machine has sent to" },
	{ "port-restricted", LINNET_LAB_PORTS, LINNET_LAB_OPEN, false,
	  "one public port for all, open to the addresses and ports it has sent to: most homes" },
	{ "symmetric", LINNET_LAB_SYMMETRIC, LINNET_LAB_OPEN, false,
	  "another public port for every destination, open to that one" },
	{ "carrier-grade", LINNET_LAB_PORTS, LINNET_LAB_CONE, false,
	  "a home router behind the NAT of a carrier, which keeps one public port" },
	{ "carrier-grade-hairpin", LINNET_LAB_PORTS, LINNET_LAB_CONE, true,
	  "the same; customers reach each other by their public addresses" },
	{ "carrier-grade-symmetric", LINNET_LAB_PORTS, LINNET_LAB_SYMMETRIC, false,
	  "a home router behind a carrier with another public port for every destination" },
	{ "hairpin", LINNET_LAB_CONE, LINNET_LAB_OPEN, true,
	  "full cone; two machines of this kind share one router and reach each other by it" },
	{ "udp-blocked", LINNET_LAB_NO_UDP, LINNET_LAB_OPEN, false,
	  "lets TCP out and no UDP but names" },
	{ NULL, LINNET_LAB_OPEN, LINNET_LAB_OPEN, false, NULL },
};

const struct linnet_lab_nat *linnet_lab_nat(const char *name)
{
	for (const struct linnet_lab_nat *n = linnet_lab_nats; n->name != NULL; n++)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

bool linnet_lab_name_ok(const char *name, size_t max)
{
	size_t n = strlen(name);
	return n > 0 && n <= max && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
	       name[0] != '-';
}

int linnet_lab_site_check(const struct linnet_lab_site *s, struct ln_fail *f)
{
	if (!linnet_lab_name_ok(s->name, LINNET_LAB_NAME_MAX))
		return ln_fail(
			f, LN_E_MALFORMED,
			"\"%.40s\" is no name of a site: up to %d lower-case letters and digits",
			s->name, LINNET_LAB_NAME_MAX);
	if (s->number < 1 || s->number > LINNET_LAB_SITES_MAX)
		return ln_fail(f, LN_E_MALFORMED, "the number of a site is 1 to %d",
			       LINNET_LAB_SITES_MAX);
	if (s->behind == NULL)
		return 0;
	if (s->nat->home == LINNET_LAB_OPEN)
		return ln_fail(f, LN_E_MALFORMED, "a machine without a router is behind nobody's");
	if (!linnet_lab_name_ok(s->behind, LINNET_LAB_NAME_MAX) || s->behind_number < 1 ||
	    s->behind_number > LINNET_LAB_SITES_MAX || s->behind_number == s->number)
		return ln_fail(f, LN_E_MALFORMED,
			       "it can be behind another site's router: NAME:NUMBER");
	return 0;
}

/* --- facts ------------------------------------------------------------------------------------ */

static unsigned public_last(const struct linnet_lab_site *s)
{
	unsigned n = s->behind != NULL ? s->behind_number : s->number;
	return s->nat->home == LINNET_LAB_OPEN ? 100 + n : 20 + n;
}

/* The fixed mappings of the machines behind one router need one port each. */
static unsigned public_port(const struct linnet_lab_site *s)
{
	return 40000 + s->number;
}

void linnet_lab_outside(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX])
{
	snprintf(dst, LINNET_LAB_ADDR_MAX, LINNET_LAB_PUBLIC ".%u", public_last(s));
}

void linnet_lab_address(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX])
{
	if (s->nat->home == LINNET_LAB_OPEN)
		linnet_lab_outside(s, dst);
	else
		snprintf(dst, LINNET_LAB_ADDR_MAX, "10.%u.0.2", s->number);
}

void linnet_lab_address6(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX])
{
	dst[0] = '\0';
	if (s->ipv6 && s->nat->home == LINNET_LAB_OPEN)
		snprintf(dst, LINNET_LAB_ADDR_MAX, "2001:db8:51::%x", public_last(s));
	else if (s->ipv6)
		snprintf(dst, LINNET_LAB_ADDR_MAX, "2001:db8:%x::2", 0x100 + s->number);
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* No duplicate address detection: an address is good at once. Names come from no resolver. */
static void add_namespace(const char *prefix, const char *kind, const char *name, struct str *dst)
{
	str_addf(dst,
		 "n=%s%s%s\n"
		 "ip netns add $n\n"
		 "ip -n $n link set lo up\n"
		 "ip netns exec $n sysctl -qw net.ipv6.conf.all.accept_dad=0 "
		 "net.ipv6.conf.default.accept_dad=0\n"
		 "mkdir -p /etc/netns/$n\n"
		 "printf '127.0.0.1 localhost\\n::1 localhost\\n' >/etc/netns/$n/hosts\n"
		 "printf '# no resolver in this laboratory\\n' >/etc/netns/$n/resolv.conf\n",
		 prefix, kind, name);
}

/* `wan` of $n on the public segment; IPv4 address by the last byte, IPv6 the same in hexadecimal.
 */
static void add_public_link(const char *prefix, const char *kind, const char *name, unsigned last,
			    bool ipv6, struct str *dst)
{
	str_addf(dst,
		 "ip -n %sinet link add p%s%s type veth peer name wan netns $n\n"
		 "ip -n %sinet link set p%s%s master br0 up\n"
		 "ip -n $n link set wan up\n"
		 "ip -n $n addr add " LINNET_LAB_PUBLIC ".%u/24 dev wan\n",
		 prefix, kind, name, prefix, kind, name, last);
	if (ipv6)
		str_addf(dst,
			 "ip -n $n addr add 2001:db8:51::%x/64 dev wan\n"
			 "ip -n $n route add default via 2001:db8:51::1\n",
			 last);
}

static void add_forwarding(bool ipv6, struct str *dst)
{
	str_addf(dst, "ip netns exec $n sysctl -qw net.ipv4.ip_forward=1%s\n",
		 ipv6 ? " net.ipv6.conf.all.forwarding=1" : "");
}

/* A link from `lanif` of the router to `far` of $n. */
static void add_inner_link(const char *prefix, const char *router, const char *router_name,
			   const char *lanif, const char *far, struct str *dst)
{
	str_addf(dst,
		 "ip -n %s%s%s link add %s type veth peer name %s netns $n\n"
		 "ip -n %s%s%s link set %s up\n"
		 "ip -n $n link set %s up\n",
		 prefix, router, router_name, lanif, far, prefix, router, router_name, lanif, far);
}

/*
 * The tables of a router. The input policy must be drop: a router that answers strangers confirms
 * their packets in conntrack and spoils the mapping. Chain fix: the mappings of machines.
 */
static void add_tables(bool no_udp, bool ipv6, struct str *dst)
{
	str_addf(dst,
		 "ip netns exec $n nft -f - <<'END'\n"
		 "table ip nat4 {\n"
		 "  chain inp {\n"
		 "    type filter hook input priority filter; policy drop;\n"
		 "    iifname \"lo\" accept\n"
		 "    iifname \"lan*\" accept\n"
		 "    ct state established,related accept\n"
		 "  }\n"
		 "  chain frw {\n"
		 "    type filter hook forward priority filter; policy accept;\n%s"
		 "  }\n"
		 "  chain pre { type nat hook prerouting priority dstnat; policy accept; }\n"
		 "  chain fix { }\n"
		 "  chain post {\n"
		 "    type nat hook postrouting priority srcnat; policy accept;\n"
		 "    jump fix\n"
		 "    oifname \"wan\" masquerade\n"
		 "  }\n"
		 "}\n",
		 no_udp ? "    meta l4proto udp udp dport != 53 udp sport != 53 drop\n" : "");
	if (ipv6)
		str_addf(dst,
			 "table ip6 fw6 {\n"
			 "  chain frw {\n"
			 "    type filter hook forward priority filter; policy drop;\n%s"
			 "    ct state established,related accept\n"
			 "    iifname \"lan*\" accept\n"
			 "    meta l4proto ipv6-icmp accept\n"
			 "  }\n"
			 "}\n",
			 no_udp ? "    meta l4proto udp udp dport != 53 udp sport != 53 drop\n"
				: "");
	str_add(dst, "END\n");
}

struct machine { /* what a router maps: an inner address and port, and the outer ones */
	char inside[LINNET_LAB_ADDR_MAX], outside[LINNET_LAB_ADDR_MAX];
	unsigned port, outside_port;
	bool hairpin, isolated;
};

/* The rules of one machine behind the router whose namespace is `router`. */
static void add_mapping(const char *router, enum linnet_lab_rules rules, const struct machine *m,
			struct str *dst)
{
	const char *in = m->hairpin ? "" : "iifname \"wan\" ";
	const char *out = m->hairpin ? "" : "oifname \"wan\" ";
	str_addf(dst, "ip netns exec %s nft -f - <<'END'\n", router);
	if (m->isolated)
		str_add(dst,
			"add rule ip nat4 frw iifname \"lan*\" oifname \"lan*\" ct status ! dnat "
			"drop\n");
	if (rules == LINNET_LAB_CONE)
		str_addf(dst, "add rule ip nat4 pre %sip daddr %s udp dport %u dnat to %s:%u\n", in,
			 m->outside, m->outside_port, m->inside, m->port);
	if (rules == LINNET_LAB_ADDRESS)
		str_addf(
			dst,
			"add set ip nat4 to%u { type ipv4_addr; flags dynamic,timeout; timeout 60s; "
			"size 1024; }\n"
			"add rule ip nat4 frw ip saddr %s oifname \"wan\" udp sport %u update @to%u { ip "
			"daddr }\n"
			"add rule ip nat4 pre %sip saddr @to%u udp dport %u dnat to %s:%u\n",
			m->outside_port, m->inside, m->port, m->outside_port, in, m->outside_port,
			m->outside_port, m->inside, m->port);
	if (rules == LINNET_LAB_CONE || rules == LINNET_LAB_ADDRESS)
		str_addf(dst, "add rule ip nat4 fix %sip saddr %s udp sport %u snat to %s:%u\n",
			 out, m->inside, m->port, m->outside, m->outside_port);
	if (rules == LINNET_LAB_SYMMETRIC)
		str_addf(
			dst,
			"add rule ip nat4 fix oifname \"wan\" ip saddr %s meta l4proto udp masquerade "
			"fully-random\n",
			m->inside);
	str_add(dst, "END\n");
}

static void add_segment_route6(const char *prefix, const struct linnet_lab_site *s, struct str *dst)
{
	str_addf(dst, "ip -n %sinet route add 2001:db8:%x::/64 via 2001:db8:51::%x\n", prefix,
		 0x100 + s->number, public_last(s));
}

/* --- scripts ---------------------------------------------------------------------------------- */

void linnet_lab_plan_segment(const char *prefix, struct str *dst)
{
	add_namespace(prefix, "", "inet", dst);
	str_add(dst, "ip -n $n link add br0 type bridge forward_delay 0\n"
		     "ip -n $n link set br0 up\n"
		     "ip -n $n addr add 2001:db8:51::1/64 dev br0\n"
		     "ip netns exec $n sysctl -qw net.ipv6.conf.all.forwarding=1\n");
	linnet_lab_plan_host(prefix, "srv", 10, true, dst);
	str_add(dst, "ip -n $n addr add " LINNET_LAB_PUBLIC ".11/24 dev wan\n");
}

void linnet_lab_plan_host(const char *prefix, const char *name, unsigned last, bool ipv6,
			  struct str *dst)
{
	add_namespace(prefix, "", name, dst);
	add_public_link(prefix, "", name, last, ipv6, dst);
}

/* The router at the public segment: the carrier's if there is one, else the machine's own. */
static void plan_outer_router(const char *prefix, const struct linnet_lab_site *s, struct str *dst)
{
	bool carrier = s->nat->carrier != LINNET_LAB_OPEN;
	const char *kind = carrier ? "isp" : "nat";
	add_namespace(prefix, kind, s->name, dst);
	add_public_link(prefix, kind, s->name, public_last(s), s->ipv6, dst);
	add_forwarding(s->ipv6, dst);
	/* A carrier does not filter IPv6; the home router does. */
	add_tables(s->nat->home == LINNET_LAB_NO_UDP, s->ipv6 && !carrier, dst);
}

/* The home router behind a carrier's; `outer` is the site that owns the carrier. */
static void plan_home_router(const char *prefix, const struct linnet_lab_site *s, const char *outer,
			     struct str *dst)
{
	char lan[24];
	snprintf(lan, sizeof(lan), "lan%u", s->number);
	add_namespace(prefix, "nat", s->name, dst);
	add_inner_link(prefix, "isp", outer, lan, "wan", dst);
	str_addf(dst,
		 "ip -n %sisp%s addr add " CARRIER ".%u.1/24 dev %s\n"
		 "ip -n $n addr add " CARRIER ".%u.2/24 dev wan\n"
		 "ip -n $n route add default via " CARRIER ".%u.1\n",
		 prefix, outer, s->number, lan, s->number, s->number);
	if (s->ipv6)
		str_addf(dst,
			 "ip -n %sisp%s addr add 2001:db8:%x::1/64 dev %s\n"
			 "ip -n %sisp%s route add 2001:db8:%x::/64 via 2001:db8:%x::2\n"
			 "ip -n $n addr add 2001:db8:%x::2/64 dev wan\n"
			 "ip -n $n route add default via 2001:db8:%x::1\n",
			 prefix, outer, 0x200 + s->number, lan, prefix, outer, 0x100 + s->number,
			 0x200 + s->number, 0x200 + s->number, 0x200 + s->number);
	add_forwarding(s->ipv6, dst);
	add_tables(false, s->ipv6, dst);
}

static void plan_machine(const char *prefix, const struct linnet_lab_site *s, const char *router,
			 struct str *dst)
{
	char lan[24];
	snprintf(lan, sizeof(lan), "lan%u", s->number);
	add_namespace(prefix, "h", s->name, dst);
	add_inner_link(prefix, "nat", router, lan, "eth0", dst);
	str_addf(dst,
		 "ip -n %snat%s addr add 10.%u.0.1/24 dev %s\n"
		 "ip -n $n addr add 10.%u.0.2/24 dev eth0\n"
		 "ip -n $n route add default via 10.%u.0.1\n",
		 prefix, router, s->number, lan, s->number, s->number);
	if (s->ipv6)
		str_addf(dst,
			 "ip -n %snat%s addr add 2001:db8:%x::1/64 dev %s\n"
			 "ip -n $n addr add 2001:db8:%x::2/64 dev eth0\n"
			 "ip -n $n route add default via 2001:db8:%x::1\n",
			 prefix, router, 0x100 + s->number, lan, 0x100 + s->number,
			 0x100 + s->number);
}

/* The mapping of the machine in its own router, and of the home router in the carrier's. */
static void plan_mappings(const char *prefix, const struct linnet_lab_site *s, const char *outer,
			  struct str *dst)
{
	char router[64];
	struct machine m = { .port = s->port,
			     .outside_port = public_port(s),
			     .hairpin = s->nat->hairpin,
			     .isolated = s->isolated };
	if (s->nat->carrier == LINNET_LAB_OPEN) {
		linnet_lab_address(s, m.inside);
		linnet_lab_outside(s, m.outside);
		snprintf(router, sizeof(router), "%snat%s", prefix, outer);
		add_mapping(router, s->nat->home, &m, dst);
		return;
	}
	/* The home router keeps the port of its only machine: plain masquerading does that. */
	snprintf(m.inside, sizeof(m.inside), CARRIER ".%u.2", s->number);
	linnet_lab_outside(s, m.outside);
	snprintf(router, sizeof(router), "%sisp%s", prefix, outer);
	add_mapping(router, s->nat->carrier, &m, dst);
}

void linnet_lab_plan_site(const char *prefix, const struct linnet_lab_site *s, struct str *dst)
{
	bool carrier = s->nat->carrier != LINNET_LAB_OPEN;
	const char *outer = s->behind != NULL ? s->behind : s->name;
	if (s->nat->home == LINNET_LAB_OPEN) {
		char name[LINNET_LAB_NAME_MAX + 2];
		snprintf(name, sizeof(name), "h%s", s->name);
		linnet_lab_plan_host(prefix, name, public_last(s), s->ipv6, dst);
		return;
	}
	if (s->behind == NULL)
		plan_outer_router(prefix, s, dst);
	if (s->ipv6)
		add_segment_route6(prefix, s, dst);
	if (carrier)
		plan_home_router(prefix, s, outer, dst);
	plan_machine(prefix, s, carrier ? s->name : outer, dst);
	plan_mappings(prefix, s, outer, dst);
}

/* For every namespace that matches and whose laboratory passes `test`. */
static void plan_remove(const char *pattern, const char *test, struct str *dst)
{
	str_addf(
		dst,
		"for f in /run/netns/%s; do\n"
		"  [ -e \"$f\" ] || continue\n"
		"  n=${f##*/}\n%s"
		"  for p in $(ip netns pids \"$n\" 2>/dev/null); do kill -KILL \"$p\" 2>/dev/null || "
		":; done\n"
		"  ip netns del \"$n\" || :\n"
		"  rm -rf \"/etc/netns/$n\"\n"
		"done\n",
		pattern, test);
}

void linnet_lab_plan_remove(const char *prefix, struct str *dst)
{
	char pattern[LINNET_LAB_PREFIX_MAX + 2];
	snprintf(pattern, sizeof(pattern), "%.*s*", LINNET_LAB_PREFIX_MAX, prefix);
	plan_remove(pattern, "", dst);
}

void linnet_lab_plan_remove_stale(struct str *dst)
{
	plan_remove("lab[0-9]*-*",
		    "  p=${n#lab} p=${p%%-*}\n"
		    "  case $p in *[!0-9]*) continue ;; esac\n"
		    "  [ -d /proc/$p ] && continue\n",
		    dst);
}
