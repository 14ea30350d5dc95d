#pragma once
/*
 * Marks that keep the tunnel's own packets out of the tunnel (spec agent 4.4).
 *
 * Every socket of a network bears the network's mark (SO_MARK, and the firewall mark of a WireGuard
 * device of the kernel). plat_apply() with plat_want.mark sets up what the mark is for: other
 * packets look into the network's own routing table, marked ones are routed as if no tunnel of ours
 * were there, whatever routes through it somebody adds to the network's table or to the main one.
 *
 * A mark is a base, the same for all networks of an agent, and a slot in its highest byte. The low
 * 24 bits tell every network's packets from the rest, so that two exit nodes cannot feed each
 * other.
 */
#include "src/plat/plat.h"

#define PLAT_MARK_BASE 0x1BD00u   /* NetBird's mark of control sockets: ours in slot 0 */
#define PLAT_MARK_BITS 0xFFFFFFu  /* of the base */
#define PLAT_MARK_SLOTS 64        /* marks 0x0001BD00, 0x0101BD00, ... 0x3F01BD00 */
#define PLAT_MARK_TABLE 7120u     /* + slot: the network's routes; 7120 is NetBird's */
#define PLAT_MARK_DETOUR 7184u    /* + slot: what lies below routes into a tunnel */
#define PLAT_MARK_LINK_GROUP 7120 /* of our interfaces */

static inline uint32_t plat_mark(uint32_t base, unsigned slot)
{
	return (base & PLAT_MARK_BITS) | (uint32_t)slot << 24;
}

static inline unsigned plat_mark_slot(uint32_t mark)
{
	return mark >> 24;
}

/* May this process mark sockets, and are there routing rules? -EPERM, LN_E_UNSUPPORTED, in words.
 */
LN_MUST_CHECK int plat_mark_probe(struct plat *p, struct ln_fail *f);
/* The lowest slot that is not among the bits `taken` and whose table no rule names. LN_E_LIMIT. */
LN_MUST_CHECK int plat_mark_free_slot(struct plat *p, uint64_t taken, unsigned *ret);
/* Routes or rules of the host have changed (PLAT_EV_ROUTES): ours are made to fit again. */
void plat_mark_refresh(struct plat *p);
