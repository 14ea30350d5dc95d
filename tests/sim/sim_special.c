/* The named rows of spec signal-and-connection 7.2, and what must survive time and trouble. */
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_scenario.h"

#define SOON (5 * LN_SEC)
#define CALM (30 * LN_SEC)

struct site {
	struct sim_nat *nat;
	struct sim_agent *agent;
};

static struct site site(struct sim_world *w, struct sim_segment *outside, enum sim_nat_kind kind,
			const char *outer, const char *inner)
{
	struct site s = { .nat = sim_world_nat(w, kind, outer, outside) };
	s.agent = sim_world_agent(w, &s.nat->inside, inner);
	return s;
}

static void expect(struct sim_result *r, struct sim_agent *a, struct sim_agent *b, bool direct,
		   const char *what)
{
	ln_time start = a->world->clock.now;
	sim_world_introduce(a, b);
	bool up = sim_world_connect(a, b, direct ? SOON : CALM);
	sim_state(r, up == direct, "%s: connected is %d", what, up);
	if (up && direct) {
		sim_matrix_note(r, a, b, start);
		sim_state(r, sim_world_ping(a, b), "%s: no ping came through", what);
	}
}

static void expect_types(struct sim_result *r, struct sim_agent *a, struct sim_agent *b,
			 enum ice_cand_type local, enum ice_cand_type remote, const char *what)
{
	const struct ice_pair_info *p = &a->peers[b->index].pair;
	sim_state(r, p->local.type == local && p->remote.type == remote, "%s: %s/%s", what,
		  ice_cand_type_name(p->local.type), ice_cand_type_name(p->remote.type));
}

/* One LAN: host to host; isolated, the NAT has to send it back. */
static void lan(uint64_t seed, struct sim_result *r)
{
	for (int row = 0; row < 3; row++) {
		static const char *const name[] = { "same LAN", "isolated LAN",
						    "isolated LAN with hairpin" };
		struct sim_world w;
		sim_world_init(&w, seed);
		struct site s = site(&w, &w.net.internet, SIM_PORT, "203.0.113.1", "192.168.1.10");
		struct sim_agent *b = sim_world_agent(&w, &s.nat->inside, "192.168.1.11");
		s.nat->inside.isolated = row > 0;
		s.nat->hairpin = row == 2;
		expect(r, s.agent, b, row != 1, name[row]);
		if (row == 0)
			expect_types(r, s.agent, b, ICE_CAND_HOST, ICE_CAND_HOST, name[row]);
		if (row == 2)
			expect_types(r, s.agent, b, ICE_CAND_SRFLX, ICE_CAND_SRFLX, name[row]);
		sim_world_fini(&w);
	}
}

/* Two homes behind one carrier NAT; a home behind a carrier against the world. */
static void carrier(uint64_t seed, struct sim_result *r)
{
	static const struct {
		enum sim_nat_kind carrier;
		enum sim_nat_kind other;
		bool direct;
		const char *name;
	} rows[] = {
		{ SIM_FULL, SIM_OPEN, true, "P behind carrier F with O" },
		{ SIM_FULL, SIM_PORT, true, "P behind carrier F with P" },
		{ SIM_SYMMETRIC, SIM_OPEN, true, "carrier S with O" },
		{ SIM_SYMMETRIC, SIM_PORT, false, "carrier S with P" },
	};

	for (size_t i = 0; i < LN_COUNT(rows); i++) {
		struct sim_world w;
		sim_world_init(&w, seed + i);
		struct sim_nat *c =
			sim_world_nat(&w, rows[i].carrier, "203.0.113.1", &w.net.internet);
		struct site s = site(&w, &c->inside, SIM_PORT, "100.64.0.2", "192.168.1.10");
		struct sim_agent *b = sim_world_behind(&w, rows[i].other, 7);
		expect(r, s.agent, b, rows[i].direct, rows[i].name);
		sim_world_fini(&w);
	}
	for (int hairpin = 0; hairpin < 2; hairpin++) {
		struct sim_world w;
		sim_world_init(&w, seed);
		struct sim_nat *c = sim_world_nat(&w, SIM_PORT, "203.0.113.1", &w.net.internet);
		c->hairpin = hairpin;
		struct site x = site(&w, &c->inside, SIM_PORT, "100.64.0.2", "192.168.1.10");
		struct site y = site(&w, &c->inside, SIM_PORT, "100.64.0.3", "192.168.1.10");
		expect(r, x.agent, y.agent, hairpin, hairpin ? "carrier with hairpin" : "carrier");
		sim_world_fini(&w);
	}
}

/* A static forward of the WireGuard port on the symmetric side: the extra srflx candidate. */
static void forward(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct site s = site(&w, &w.net.internet, SIM_SYMMETRIC, "203.0.113.1", "192.168.1.10");
	s.nat->forward_port = SIM_WG_PORT;
	s.nat->forward_to = (struct ip_ep){ s.agent->host.addrs[0], SIM_WG_PORT };
	struct sim_agent *b = sim_world_behind(&w, SIM_PORT, 7);
	expect(r, s.agent, b, true, "P-S with a forward");
	sim_world_fini(&w);
}

static void without_stun(uint64_t seed, struct sim_result *r)
{
	for (int open = 0; open < 2; open++) {
		struct sim_world w;
		sim_world_init(&w, seed);
		w.stun_down = true;
		struct sim_agent *a = sim_world_behind(&w, SIM_PORT, 0);
		struct sim_agent *b = sim_world_behind(&w, open ? SIM_OPEN : SIM_PORT, 1);
		expect(r, a, b, open, open ? "O-P without STUN" : "P-P without STUN");
		if (open)
			expect_types(r, b, a, ICE_CAND_HOST, ICE_CAND_PRFLX, "O-P without STUN");
		sim_world_fini(&w);
	}
}

/* Two hosts behind one NAT use the same inner port; both reach a third. */
static void same_port(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct site s = site(&w, &w.net.internet, SIM_PORT, "203.0.113.1", "192.168.1.10");
	struct sim_agent *second = sim_world_agent(&w, &s.nat->inside, "192.168.1.11");
	struct sim_agent *b = sim_world_behind(&w, SIM_PORT, 7);
	expect(r, s.agent, b, true, "first of one port");
	expect(r, second, b, true, "second of one port");
	expect(r, s.agent, second, true, "the two of one port");
	sim_world_fini(&w);
}

/* Both symmetric, but with IPv6 behind stateful firewalls. */
static void firewalls6(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct sim_agent *a = sim_world_behind(&w, SIM_SYMMETRIC, 0);
	struct sim_agent *b = sim_world_behind(&w, SIM_SYMMETRIC, 1);
	struct sim_nat *fa = sim_world_nat(&w, SIM_FIREWALL, NULL, &w.net.internet);
	struct sim_nat *fb = sim_world_nat(&w, SIM_FIREWALL, NULL, &w.net.internet);
	sim_host_attach(&a->host, &fa->inside, "2001:db8:a::2");
	sim_host_attach(&b->host, &fb->inside, "2001:db8:b::2");
	expect(r, a, b, true, "S-S with IPv6");
	expect_types(r, a, b, ICE_CAND_HOST, ICE_CAND_HOST, "S-S with IPv6");
	sim_world_fini(&w);
}

/* The underlay uses addresses of our own overlay: never a path. */
static void overlay(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	w.noverlay = 1;
	ln_assert(ip_prefix_parse(slice_str("100.71.0.0/16"), &w.overlay[0]) == 0);
	struct sim_nat *c = sim_world_nat(&w, SIM_PORT, "203.0.113.1", &w.net.internet);
	struct sim_agent *a = sim_world_agent(&w, &c->inside, "100.71.0.2");
	struct sim_agent *b = sim_world_agent(&w, &c->inside, "100.71.0.3");
	expect(r, a, b, false, "inside the overlay");
	sim_world_fini(&w);
}

/* Twenty minutes with a NAT that forgets after 30 s, up to a tenth of the packets lost. */
static void lasting(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	w.net.link.loss = seed % 5 == 0 ? 0 : (unsigned)(seed % 100);
	w.net.link.delay_max = 60 * LN_MSEC;
	struct sim_agent *a = sim_world_behind(&w, SIM_PORT, 0);
	struct sim_agent *b = sim_world_behind(&w, SIM_PORT, 1);
	expect(r, a, b, true, "lasting");
	uint64_t checks = a->peers[1].checks;
	ln_time minutes = 20;
	sim_world_run(&w, minutes * LN_MINUTE);
	sim_state(r, a->peers[1].connects == 1 && b->peers[0].connects == 1,
		  "lasting: %u and %u connections instead of one, loss %u", a->peers[1].connects,
		  b->peers[0].connects, w.net.link.loss);
	sim_state(r, sim_world_ping(a, b), "lasting: no ping came through");
	/* One check in 2 s; only a lost one is repeated after 0.5 s. */
	checks = a->peers[1].checks - checks;
	sim_state(r, checks <= (uint64_t)minutes * (w.net.link.loss == 0 ? 30 : 60) + 1,
		  "lasting: %lu checks in %ld minutes", (unsigned long)checks, (long)minutes);
	/* Without signal a path that works goes on working. */
	w.signal.down = true;
	sim_world_run(&w, 2 * LN_MINUTE);
	sim_state(r, sim_world_connected(a, b) && a->peers[1].connects == 1,
		  "lasting: lost with the signal");
	sim_world_fini(&w);
}

/* A router restarts: the path is lost, found silent, and negotiated again. */
static void rebinding(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	struct site x = site(&w, &w.net.internet, SIM_PORT, "203.0.113.1", "192.168.1.10");
	struct site y = site(&w, &w.net.internet, SIM_PORT, "203.0.113.2", "192.168.2.10");
	expect(r, x.agent, y.agent, true, "before rebinding");
	sim_world_run(&w, sim_rng_between(&w.rng, 0, 40 * LN_SEC));
	sim_nat_rebind(x.nat);
	if (seed % 2 == 0)
		sim_nat_rebind(y.nat);
	ln_time at = w.clock.now;
	unsigned before = x.agent->peers[1].connects + y.agent->peers[0].connects;
	while (w.clock.now - at < 20 * LN_SEC &&
	       (x.agent->peers[1].connects + y.agent->peers[0].connects < before + 2 ||
		!sim_world_connected(x.agent, y.agent)))
		sim_world_run(&w, 50 * LN_MSEC);
	sim_state(r, w.clock.now - at < 20 * LN_SEC, "rebinding: not connected again after 20 s");
	r->slowest = LN_MAX(r->slowest, w.clock.now - at);
	sim_state(r, sim_world_ping(x.agent, y.agent), "rebinding: no ping came through");
	sim_world_fini(&w);
}

/* Signal loses a third, delays by up to a second, and thereby reorders everything. */
static void bad_signal(uint64_t seed, struct sim_result *r)
{
	struct sim_world w;
	sim_world_init(&w, seed);
	w.signal.loss = 330;
	w.signal.delay_min = LN_MSEC;
	w.signal.delay_max = LN_SEC;
	struct sim_agent *a = sim_world_behind(&w, SIM_PORT, 0);
	struct sim_agent *b = sim_world_behind(&w, SIM_PORT, 1);
	ln_time start = w.clock.now;
	sim_world_introduce(a, b);
	bool up = sim_world_connect(a, b, 2 * LN_MINUTE);
	sim_state(r, up, "bad signal: not connected in two minutes");
	if (up) {
		sim_matrix_note(r, a, b, start);
		sim_state(r, sim_world_ping(a, b), "bad signal: no ping came through");
	}
	sim_world_fini(&w);
}

static void special(uint64_t seed, struct sim_result *r)
{
	lan(seed, r);
	carrier(seed, r);
	forward(seed, r);
	without_stun(seed, r);
	same_port(seed, r);
	firewalls6(seed, r);
	overlay(seed, r);
}

const struct sim_scenario sim_scenarios[] = {
	{ "matrix", sim_matrix_run, 0 },
	{ "mesh", sim_mesh_run, 0 },
	{ "special", special, 40 },
	{ "lasting", lasting, 20 },
	{ "rebinding", rebinding, 0 },
	{ "bad-signal", bad_signal, 0 },
	{ "relayed", sim_relayed_run, 100 },
	{ "relay-outage", sim_relay_outage_run, 100 },
	{ "upgrade", sim_upgrade_run, 100 },
	{ "quality", sim_quality_run, 0 }, /* both of its scenarios */
	{ "life", sim_life_run, 0 },
	{ NULL, NULL, 0 },
};
