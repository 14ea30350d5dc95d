/* Thousands of agents on one port: each datagram finds its owner, foreign ones find none. */
#include "lib/ice/ice_agent.h"
#include "lib/ice/ice_check.h"
#include "lib/ice/ice_mux.h"

#include "tests/unit/unit.h"

#define AGENTS 3000

static void fill(void *ctx, void *dst, size_t n)
{
	uint64_t *s = ctx;
	for (size_t i = 0; i < n; i++) {
		*s = *s * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)dst)[i] = (uint8_t)(*s >> 56);
	}
}

static uint64_t seed = 7;
static const struct ln_rng rng = { fill, &seed };

struct member {
	struct ice_agent *agent;
	struct ice_cred cred;
	struct ice_mux_slot slot;
};

static struct member members[AGENTS];
static const struct ice_cred theirs = { "HisUfragHisUfrag", "HisPasswordHisPasswordHisPasswor" };

static void finds_each(void **state)
{
	uint8_t buf[ICE_CHECK_MAX];
	uint8_t pkt[ICE_CHECK_MAX];
	struct ip_ep host = { ip_v4(0x0a010002), 51820 };
	struct ip_ep peer = { ip_v4(0x0a010003), 51820 };
	struct ice_cand c;
	struct ice_mux *m = ice_mux_new(&rng);
	for (size_t i = 0; i < AGENTS; i++) {
		struct ice_agent_conf conf = { 0 };
		ice_cred_generate(&conf.local, &rng);
		members[i].cred = conf.local;
		members[i].agent = ice_agent_new(&conf, &rng, 0);
		members[i].slot.owner = &members[i];
		ice_mux_set(m, &members[i].slot, members[i].cred.ufrag, members[i].agent);
		ice_mux_set(m, &members[i].slot, members[i].cred.ufrag, members[i].agent);
		ice_cand_init(&c, ICE_CAND_HOST, &host, NULL, "", &rng);
		assert_int_equal(ice_agent_add_local(members[i].agent, 0, &c), 0);
		assert_int_equal(ice_agent_set_remote(members[i].agent, 0, &theirs), 0);
		ice_cand_init(&c, ICE_CAND_HOST, &peer, NULL, "", &rng);
		assert_int_equal(ice_agent_add_remote(members[i].agent, 0, &c), 0);
	}
	assert_int_equal(ice_mux_count(m), AGENTS);
	for (size_t i = 0; i < AGENTS; i++) {
		/* A request by ufrag. */
		struct stun_tid tid = { { 1 } };
		struct ice_check q = {
			.local = &theirs, .remote = &members[i].cred, .own_cid = "", .peer_cid = ""
		};
		struct slice s = ice_check_write_request(mslice_of(pkt, sizeof(pkt)), &tid, &q);
		assert_ptr_equal(ice_mux_find(m, s), &members[i]);
		/* An answer by transaction. */
		struct ice_out out;
		struct stun_msg msg;
		assert_true(ice_agent_poll(members[i].agent, 0, mslice_of(buf, sizeof(buf)), &out));
		assert_null(ice_mux_find(m, out.data)); /* our own request is for somebody else */
		assert_int_equal(stun_msg_read(out.data, &msg), 0);
		q.local = &theirs;
		s = ice_check_write_success(mslice_of(pkt, sizeof(pkt)), &msg.tid, &host, &q);
		struct member *owner = ice_mux_find(m, s);
		assert_ptr_equal(owner, &members[i]);
		assert_int_equal(ice_agent_input(owner->agent, 1, &peer, s), 0);
	}
	for (size_t i = 0; i < AGENTS; i += 2) {
		ice_mux_set(m, &members[i].slot, "", NULL);
		ice_mux_set(m, &members[i].slot, "", NULL);
		ice_agent_free(members[i].agent);
	}
	assert_int_equal(ice_mux_count(m), AGENTS / 2);
	assert_null(ice_mux_find(m, slice_str("no message")));
	ice_mux_free(m);
	for (size_t i = 1; i < AGENTS; i += 2)
		ice_agent_free(members[i].agent);
}

/* Random bytes that begin a transaction are drawn again until they are nobody else's. */
static void same_prefix(void **state)
{
	uint64_t same = 99;
	struct ln_rng twin = { fill, &same };
	struct ice_agent_conf conf = { 0 };
	struct member a = { 0 }, b = { 0 };
	struct ice_mux *m = ice_mux_new(&rng);
	a.agent = ice_agent_new(&conf, &twin, 0);
	same = 99;
	b.agent = ice_agent_new(&conf, &twin, 0);
	assert_true(slice_equal(ice_agent_tid_prefix(a.agent), ice_agent_tid_prefix(b.agent)));
	ice_mux_set(m, &a.slot, "own-a", a.agent);
	ice_mux_set(m, &b.slot, "own-b", b.agent);
	assert_false(slice_equal(ice_agent_tid_prefix(a.agent), ice_agent_tid_prefix(b.agent)));
	/* A ufrag belongs to the first that has it; an agent alone is told by its answers. */
	ice_mux_set(m, &b.slot, "own-a", b.agent);
	assert_int_equal(ice_mux_count(m), 1);
	assert_string_equal(a.slot.ufrag, "own-a");
	ice_mux_set(m, &a.slot, "", NULL);
	ice_mux_set(m, &b.slot, "own-a", b.agent);
	assert_int_equal(ice_mux_count(m), 1);
	ice_mux_free(m); /* with slots in it */
	assert_false(b.slot.has_prefix);
	ice_agent_free(a.agent);
	ice_agent_free(b.agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_each),
					    cmocka_unit_test(same_prefix) };
	return cmocka_run_group_tests_name("ice_mux", tests, NULL, NULL);
}
