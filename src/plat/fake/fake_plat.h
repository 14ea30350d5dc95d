#pragma once
/*
 * An in-memory kernel behind plat.h, for tests: link plat_fake_dep instead of plat_dep. It does
 * what the Linux back end does with the same differences, counts the changes, and asserts what a
 * kernel would not forgive (double address or route, rules without a table, two networks in one
 * table).
 */
#include "src/plat/plat.h"
#include "src/plat/plat_diff.h"

struct fake_wg;

struct fake_plat_network {
	char ifname[PLAT_IFNAME_MAX];
	unsigned mtu;
	bool up;
	struct plat_prefixes addresses, routes;
	char table[80]; /* "" = no filter */
	uint32_t mark;
	bool allow_all;
	struct plat_rule *rules; /* as wanted */
	size_t nrules;
	unsigned applied; /* calls of plat_apply that changed something */
};

/* The network of an interface, or null. Valid until the next call that changes it. */
const struct fake_plat_network *fake_plat_find(const struct plat *p, const char *ifname);
/* The next plat_apply() fails with `err` and changes nothing; 0 takes that back. */
void fake_plat_fail_next(struct plat *p, int err);
/* What plat_addresses() answers (copied). */
void fake_plat_set_addresses(struct plat *p, const struct plat_addr *v, size_t n);
/* What plat_way() answers for every address of a family; without it -ENETUNREACH. */
void fake_plat_set_way(struct plat *p, uint8_t family, const struct plat_way *way);
/* Queues an event and makes plat_event_fd() readable. */
void fake_plat_push_event(struct plat *p, struct plat_event ev);
/* Would the filter let a new inbound packet pass? Everything passes without a filter. */
bool fake_plat_passes(const struct plat *p, const char *ifname, const struct ip_addr *source,
		      uint8_t protocol, uint16_t port);
/* The kernel's WireGuard of this host (fake_wg.h); there is none until a test says so. */
struct fake_wg *fake_plat_wg(struct plat *p);
