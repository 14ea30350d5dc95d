#pragma once
/*
 * Segments, hosts and the packets between them. A packet climbs through the NATs of its sender at
 * once, travels for the link's delay, and meets the NATs of its receiver when it arrives: so a hole
 * is there for those packets that arrive after it was punched.
 */
#include "lib/base/ip.h"
#include "lib/base/slice.h"

#include "tests/sim/sim_clock.h"

#define SIM_SEGMENT_PORTS 160
#define SIM_PACKET_MAX 1500
#define SIM_HOST_ADDRS 3

struct sim_nat;
struct sim_host;

struct sim_port {
	struct ip_addr addr;
	struct sim_host *host; /* one of these two */
	struct sim_nat *nat;
};

struct sim_segment {
	struct sim_nat *up; /* null: the public network */
	bool isolated;      /* its hosts do not hear each other */
	struct sim_port ports[SIM_SEGMENT_PORTS];
	size_t nports;
};

void sim_segment_add(struct sim_segment *s, const struct ip_addr *addr, struct sim_host *host,
		     struct sim_nat *nat);

struct sim_link {
	ln_time delay_min, delay_max; /* one way; the spread reorders */
	unsigned loss;                /* permille */
	unsigned duplicate;           /* permille */
};

struct sim_net {
	struct sim_clock *clock;
	struct sim_rng *rng;
	struct sim_link link;
	struct sim_link link6; /* of IPv6, when it differs; delay_max 0: it does not */
	bool cut;              /* everything is lost */
	struct sim_segment internet;
	uint64_t sent, lost, unreachable, filtered, delivered;
	unsigned in_flight;
};

struct sim_host {
	struct sim_net *net;
	struct ip_addr addrs[SIM_HOST_ADDRS];
	struct sim_segment *segments[SIM_HOST_ADDRS];
	size_t naddrs;
	void (*receive)(struct sim_host *h, const struct ip_ep *from, const struct ip_ep *to,
			struct slice data);
};

void sim_net_init(struct sim_net *n, struct sim_clock *clock, struct sim_rng *rng);
void sim_host_init(struct sim_host *h, struct sim_net *n,
		   void (*receive)(struct sim_host *h, const struct ip_ep *from,
				   const struct ip_ep *to, struct slice data));
void sim_host_attach(struct sim_host *h, struct sim_segment *s, const char *addr);
/* Away from all its segments; what is under way to it still arrives. */
void sim_host_detach(struct sim_host *h);
/* From the given port and the host's address of the destination's family. */
void sim_host_send(struct sim_host *h, uint16_t port, const struct ip_ep *to, struct slice data);
