/*
 * Probes by the relay: a STUN binding request with the credentials of the two openings, sent as
 * relay payload, and its answer. They measure the relay, and carry the controller's word whether it
 * is to be used in the place of a direct path. Only agents that understand them get any.
 */
#include <stdio.h>

#include "lib/ice/ice_check.h"
#include "lib/peer/peer_internal.h"
#include "lib/stun/stun_auth.h"
#include "lib/stun/stun_msg.h"

#define PROBE_FIRST LN_SEC
#define PROBE_BUSY (5 * LN_SEC)
#define PROBE_ALTERNATIVE (15 * LN_SEC) /* there is traffic, on a direct path that looks good */
#define PROBE_IDLE (30 * LN_SEC)
#define PROBE_IDLE_ALTERNATIVE (2 * LN_MINUTE)
#define PROBE_EARLY 4 /* the first ones follow each other as if there were traffic */
/* WireGuard's own packets come every 25 s from each side: two in a row are traffic. */
#define PROBE_TRAFFIC 3
#define PROBE_TRAFFIC_BYTES 1000
#define PROBE_TRAFFIC_LIFE (10 * LN_SEC)

/* The word in a probe: number << 2, and these. */
#define PROBE_WORD_RELAY 1u /* use the relay, not the direct path */
#define PROBE_WORD_BUSY 2u  /* I see traffic of my own */

static bool probe_possible(const struct peer_conn *p)
{
	return p->relay.state == PEER_RELAY_UP && p->remote_level >= PEER_LEVEL_QUALITY &&
	       p->remote_cred.ufrag[0] != '\0' && p->cred.ufrag[0] != '\0';
}

static ln_time probe_interval(const struct peer_conn *p, ln_time now)
{
	const struct peer_probe *b = &p->quality.probe;
	bool carries = peer_relay_path(p) == PEER_PATH_RELAY;
	if (b->sent < PROBE_EARLY || p->relay.chosen)
		return PROBE_BUSY;
	if (carries)
		return now < b->busy_until ? PROBE_BUSY : PROBE_IDLE;
	struct ice_report r = { 0 };
	if (p->ice != NULL)
		ice_agent_report(p->ice, &r);
	if (peer_quality_doubtful(&r.quality))
		return PROBE_BUSY;
	return now < b->busy_until ? PROBE_ALTERNATIVE : PROBE_IDLE_ALTERNATIVE;
}

/* Earlier than planned, but never sooner than 5 s after the last one. */
bool peer_probe_sooner(struct peer_conn *p, ln_time now)
{
	struct peer_probe *b = &p->quality.probe;
	ln_time at = LN_MAX(now, b->sent_at + PROBE_BUSY);
	if (b->next == LN_TIME_NEVER || b->next <= at)
		return false;
	b->next = at;
	return true;
}

void peer_probe_hurry(struct peer_conn *p, ln_time now)
{
	/* A change of the way is rare: for this one the other side needs not wait. */
	if (probe_possible(p))
		p->quality.probe.next = now;
}

bool peer_probe_packet(struct peer_conn *p, ln_time now)
{
	struct peer_probe *b = &p->quality.probe;
	if (++b->packets < PROBE_TRAFFIC)
		return false;
	b->busy_until = now + PROBE_TRAFFIC_LIFE;
	return b->packets == PROBE_TRAFFIC && peer_relay_path(p) == PEER_PATH_RELAY &&
	       peer_probe_sooner(p, now);
}

void peer_probe_traffic(struct peer_conn *p, ln_time now, uint64_t bytes)
{
	struct peer_quality *q = &p->quality;
	if (bytes - q->busy_bytes >= PROBE_TRAFFIC_BYTES)
		q->probe.busy_until = now + PROBE_TRAFFIC_LIFE;
	q->busy_bytes = bytes;
}

static void probe_lost(struct peer_probe *b)
{
	b->waiting = false;
	if (b->counts)
		ice_quality_lost(&b->quality);
}

void peer_probe_run(struct peer_conn *p, ln_time now)
{
	struct peer_probe *b = &p->quality.probe;
	if (!probe_possible(p)) {
		*b = (struct peer_probe){ .next = LN_TIME_NEVER };
		return;
	}
	if (b->next == LN_TIME_NEVER)
		b->next = now + PROBE_FIRST + (ln_time)rng_below64(p->rng, PROBE_FIRST);
	if (b->waiting && now - b->sent_at >= ICE_QUALITY_LATE)
		probe_lost(b);
}

/* --- messages ----------------------------------------------------------------------------------*/

static struct slice probe_write_request(struct peer_conn *p, ln_time now, struct mslice buf)
{
	struct peer_quality *q = &p->quality;
	char name[2 * ICE_UFRAG_MAX + 2];
	struct writer w = writer_of(buf);
	uint32_t word = ++q->word << 2;
	if (p->relay.chosen && p->controller)
		word |= PROBE_WORD_RELAY;
	if (now < q->probe.busy_until)
		word |= PROBE_WORD_BUSY;
	(void)snprintf(name, sizeof(name), "%s:%s", p->remote_cred.ufrag, p->cred.ufrag);
	stun_msg_begin(&w, STUN_REQUEST, &q->probe.tid);
	stun_msg_add(&w, STUN_ATTR_USERNAME, slice_str(name));
	stun_msg_add_u32(&w, STUN_ATTR_WAY, word);
	stun_auth_sign(&w, slice_str(p->remote_cred.pwd));
	stun_auth_fingerprint(&w);
	return writer_slice(&w);
}

static struct slice probe_write_answer(const struct peer_conn *p, struct mslice buf)
{
	struct writer w = writer_of(buf);
	stun_msg_begin(&w, STUN_SUCCESS, &p->quality.probe.answer_tid);
	stun_auth_sign(&w, slice_str(p->cred.pwd));
	stun_auth_fingerprint(&w);
	return writer_slice(&w);
}

bool peer_probe_take(struct peer_conn *p, ln_time now, struct mslice buf, struct peer_out *out)
{
	struct peer_probe *b = &p->quality.probe;
	if (!probe_possible(p))
		return false;
	*out = (struct peer_out){ .kind = PEER_OUT_RELAYED };
	if (b->answer_due) {
		b->answer_due = false;
		out->data = probe_write_answer(p, buf);
		return true;
	}
	if (now < b->next)
		return false;
	if (b->waiting)
		probe_lost(b);
	rng_fill(p->rng, b->tid.b, sizeof(b->tid.b));
	out->data = probe_write_request(p, now, buf);
	b->sent++;
	b->sent_at = now;
	b->waiting = true;
	b->counts = b->quality.rtt != 0;
	b->packets = 0;
	b->next = now + probe_interval(p, now);
	return true;
}

static int probe_request(struct peer_conn *p, ln_time now, const struct stun_msg *m)
{
	struct peer_probe *b = &p->quality.probe;
	struct slice receiver, sender;
	if (ice_check_split_username(m->attr[STUN_ATTR_USERNAME], &receiver, &sender) < 0 ||
	    !slice_is(receiver, p->cred.ufrag) || !slice_is(sender, p->remote_cred.ufrag))
		return LN_E_NOTFOUND;
	if (!stun_auth_verify(m, slice_str(p->cred.pwd)))
		return LN_E_AUTH;
	b->answer_due = true;
	b->answer_tid = m->tid;
	if (!stun_msg_has(m, STUN_ATTR_WAY))
		return 0;
	uint32_t word = stun_attr_u32(m->attr[STUN_ATTR_WAY]);
	peer_quality_told(p, now, word >> 2, (word & PROBE_WORD_RELAY) != 0);
	/* Measured by one, measured by both: the sender of a one-way flow sees little come back. */
	if ((word & PROBE_WORD_BUSY) != 0 && peer_relay_path(p) == PEER_PATH_RELAY)
		(void)peer_probe_sooner(p, now);
	return 0;
}

static int probe_answer(struct peer_conn *p, ln_time now, const struct stun_msg *m)
{
	struct peer_probe *b = &p->quality.probe;
	if (!b->waiting || memcmp(m->tid.b, b->tid.b, sizeof(b->tid.b)) != 0)
		return LN_E_NOTFOUND;
	if (!stun_auth_verify(m, slice_str(p->remote_cred.pwd)))
		return LN_E_AUTH;
	if (now - b->sent_at >= ICE_QUALITY_LATE)
		probe_lost(b);
	else if (b->counts)
		ice_quality_answered(&b->quality, now - b->sent_at);
	else
		ice_quality_sample(&b->quality, now - b->sent_at);
	b->waiting = false;
	return 0;
}

int peer_conn_relay_stun(struct peer_conn *p, ln_time now, struct slice pkt)
{
	struct stun_msg m;
	if (!probe_possible(p))
		return LN_E_STATE;
	int err = stun_msg_read(pkt, &m);
	if (err < 0)
		return err;
	if (m.method != STUN_METHOD_BINDING || !stun_auth_fingerprint_ok(&m))
		return LN_E_MALFORMED;
	if (m.cls == STUN_REQUEST)
		return probe_request(p, now, &m);
	return m.cls == STUN_SUCCESS ? probe_answer(p, now, &m) : LN_E_UNSUPPORTED;
}
