#pragma once
/*
 * NATs and firewalls of spec signal-and-connection 7.1. Mapping is endpoint-independent (EIM) or
 * per destination (APDM); filtering is none (EIF), by address (ADF) or by address and port (APDF).
 */
#include "lib/base/time.h"

#include "tests/sim/sim_net.h"

#define SIM_NAT_MAPPINGS 512
#define SIM_NAT_PERMITTED 24
#define SIM_NAT_TIMEOUT (30 * LN_SEC) /* Linux: nf_conntrack_udp_timeout */

enum sim_nat_kind {
	SIM_OPEN,      /* no NAT at all: the host is on the outer segment */
	SIM_FULL,      /* EIM, EIF */
	SIM_ADDRESS,   /* EIM, ADF */
	SIM_PORT,      /* EIM, APDF: the usual Linux router */
	SIM_SYMMETRIC, /* APDM, APDF */
	SIM_BLOCKED,   /* no UDP */
	SIM_FIREWALL   /* no translation, APDF */
};

char sim_nat_letter(enum sim_nat_kind k); /* O F A P S B, W for the firewall */

struct sim_mapping {
	bool used;
	struct ip_ep inside;
	struct ip_ep to; /* APDM only */
	uint16_t port;
	ln_time at; /* last outbound packet */
	struct ip_ep permitted[SIM_NAT_PERMITTED];
	unsigned npermitted;
};

struct sim_nat {
	enum sim_nat_kind kind;
	struct ip_addr addr;
	struct sim_segment *outside;
	struct sim_segment inside;
	bool hairpin;
	bool random_ports;       /* after a rebinding the old port is not preserved */
	struct ip_ep forward_to; /* static forward of forward_port; port 0: none */
	uint16_t forward_port;
	struct sim_rng *rng;
	struct sim_mapping mappings[SIM_NAT_MAPPINGS];
};

void sim_nat_init(struct sim_nat *n, enum sim_nat_kind kind, const struct ip_addr *addr,
		  struct sim_segment *outside, struct sim_rng *rng);
/* Translates the source of a packet going out; false: dropped. */
bool sim_nat_out(struct sim_nat *n, ln_time now, struct ip_ep *src, const struct ip_ep *dst);
/* Translates the destination of a packet coming in; false: dropped. */
bool sim_nat_in(struct sim_nat *n, ln_time now, const struct ip_ep *src, struct ip_ep *dst);
/* Forgets every mapping, as a restarted router does; new ones get other ports. */
void sim_nat_rebind(struct sim_nat *n);
