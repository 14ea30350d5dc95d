#include "lib/portmap/portmap.h"

#include <stdlib.h>
#include <string.h>

#define LIFE (2 * LN_HOUR)
#define HEALTH LN_MINUTE
#define FIRST_WAIT (250 * LN_MSEC) /* RFC 6886 3.1; doubled each time */
#define SENDS 4                    /* at 0, 0.25, 0.75, 1.75 s; an answer is awaited until 3.75 s */
#define TRY_AGAIN (15 * LN_MINUTE) /* after nobody answered or all was refused */
#define LIFE_MIN (2 * LN_MINUTE)   /* shorter ones would be renewed all the time */
#define LIFE_MAX (24 * LN_HOUR)

enum step { /* what is being asked */
	STEP_IDLE,
	STEP_MAP,     /* PCP or NAT-PMP */
	STEP_ADDRESS, /* NAT-PMP: the address, which begins its dialogue */
	STEP_HEALTH
};

struct portmap {
	struct portmap_conf conf;
	struct ln_rng rng;
	struct ip_addr gateway, source;
	uint8_t nonce[PORTMAP_NONCE_LEN];
	bool pmp; /* the older protocol */
	bool running;

	enum step step;
	unsigned sent;
	ln_time next; /* transmission, or giving up; with STEP_IDLE: the next thing to do */
	ln_time renew_at, health_at, lost_at;

	struct ip_ep mapped;    /* port 0: none */
	struct ip_addr address; /* NAT-PMP: what the gateway said */
	bool say;               /* MAPPED or NONE is due */
	const char *why;

	bool have_epoch;
	uint32_t epoch;
	ln_time epoch_at;

	unsigned farewell; /* transmissions of the deletion still to come */
	uint8_t buf[PORTMAP_MSG_MAX];
};

struct portmap *portmap_new(const struct portmap_conf *conf, const struct ln_rng *rng)
{
	struct portmap *p = ln_alloc(sizeof(*p));
	*p = (struct portmap){ .conf = *conf, .rng = *rng, .next = LN_TIME_NEVER };
	if (p->conf.life == 0)
		p->conf.life = LIFE;
	if (p->conf.health == 0)
		p->conf.health = HEALTH;
	return p;
}

void portmap_free(struct portmap *p)
{
	free(p);
}

const char *portmap_protocol(const struct portmap *p)
{
	return p->pmp ? "NAT-PMP" : "PCP";
}

/* --- what is asked
 * ------------------------------------------------------------------------------*/

static void ask(struct portmap *p, ln_time now, enum step step)
{
	p->step = step;
	p->sent = 0;
	p->next = now;
}

/* Nothing is being asked: the next thing to do, and when. */
static void rest(struct portmap *p)
{
	p->step = STEP_IDLE;
	p->next = p->mapped.port != 0 ? ln_time_min(p->renew_at, p->health_at) : p->renew_at;
}

static void begin(struct portmap *p, ln_time now, bool pmp)
{
	p->pmp = pmp;
	p->have_epoch = false;
	ask(p, now, pmp ? STEP_ADDRESS : STEP_MAP);
}

void portmap_start(struct portmap *p, ln_time now, const struct ip_addr *gateway,
		   const struct ip_addr *source)
{
	bool had = p->mapped.port != 0;
	p->gateway = *gateway;
	p->source = *source;
	p->mapped = (struct ip_ep){ 0 };
	p->address = (struct ip_addr){ 0 };
	p->running = true;
	p->say = had;
	p->why = "another gateway";
	rng_fill(&p->rng, p->nonce, sizeof(p->nonce));
	/* NAT-PMP is for IPv4 only. */
	begin(p, now, false);
}

void portmap_stop(struct portmap *p, ln_time now)
{
	bool had = p->mapped.port != 0;
	p->running = false;
	p->step = STEP_IDLE;
	p->say = false;
	/* Twice, since nobody waits for the answer. */
	p->farewell = had ? 2 : 0;
	p->next = had ? now : LN_TIME_NEVER;
}

/* This protocol leads nowhere: the other one, or a long pause. */
static void give_up(struct portmap *p, ln_time now, const char *why)
{
	if (!p->pmp && p->source.family == 4 && p->mapped.port == 0) {
		begin(p, now, true);
		return;
	}
	p->mapped = (struct ip_ep){ 0 };
	p->why = why;
	p->say = true;
	p->pmp = false;
	p->renew_at = now + TRY_AGAIN;
	rest(p);
}

/* Nobody answered, or it was refused. A mapping that still lives is kept until it has run out. */
static void failed(struct portmap *p, ln_time now, const char *why)
{
	if (p->step == STEP_HEALTH) {
		/* Silence is no proof of anything; the renewal will show. */
		p->health_at = now + p->conf.health;
		rest(p);
	} else if (p->mapped.port != 0 && now < p->lost_at) {
		p->renew_at =
			ln_time_min(now + LN_MAX((p->lost_at - now) / 2, LN_MINUTE), p->lost_at);
		p->health_at =
			p->conf.health == LN_TIME_NEVER ? LN_TIME_NEVER : now + p->conf.health;
		rest(p);
	} else {
		p->mapped = (struct ip_ep){ 0 };
		give_up(p, now, why);
	}
}

void portmap_refused(struct portmap *p, ln_time now)
{
	if (p->running && p->step != STEP_IDLE)
		failed(p, now, "the gateway offers neither PCP nor NAT-PMP");
}

/* --- answers
 * ------------------------------------------------------------------------------------*/

/* RFC 6887 8.5: has the gateway forgotten its mappings since we last heard of it? */
static bool forgot(struct portmap *p, ln_time now, uint32_t epoch)
{
	bool lost = false;
	if (p->have_epoch) {
		int64_t server = (int64_t)epoch - (int64_t)p->epoch;
		int64_t client = (now - p->epoch_at) / LN_SEC;
		lost = server < -1 || client + 2 < server - server / 16 ||
		       server + 2 < client - client / 16;
	}
	p->have_epoch = true;
	p->epoch = epoch;
	p->epoch_at = now;
	return lost;
}

static void take_mapping(struct portmap *p, ln_time now, const struct ip_ep *ep, uint32_t seconds)
{
	ln_time life = LN_MAX(LN_MIN((ln_time)seconds * LN_SEC, LIFE_MAX), LIFE_MIN);
	if (!ip_ep_equal(&p->mapped, ep)) {
		p->mapped = *ep;
		p->say = true;
	}
	p->renew_at = now + life / 2;
	p->lost_at = now + life;
	p->health_at = p->conf.health == LN_TIME_NEVER ? LN_TIME_NEVER : now + p->conf.health;
	rest(p);
}

static bool usable(const struct portmap *p, const struct portmap_answer *a)
{
	const struct ip_addr *ip = &a->mapped.addr;
	return a->port == p->conf.port && a->mapped.port != 0 && a->lifetime != 0 &&
	       (ip->family == 0 ||
		(ip->family == p->source.family && !ip_is_multicast(ip) && !ip_is_loopback(ip)));
}

static void on_map(struct portmap *p, ln_time now, const struct portmap_answer *a)
{
	if (a->result != PORTMAP_OK || !usable(p, a)) {
		failed(p, now, "the gateway refuses to map a port");
		return;
	}
	(void)forgot(p, now, a->epoch);
	struct ip_ep ep = { .addr = p->pmp ? p->address : a->mapped.addr, .port = a->mapped.port };
	if (ep.addr.family != 0 && ip_is_unspecified(&ep.addr))
		ep.addr = (struct ip_addr){ 0 };
	take_mapping(p, now, &ep, a->lifetime);
}

static void on_address(struct portmap *p, ln_time now, const struct portmap_answer *a)
{
	if (a->result != PORTMAP_OK) {
		failed(p, now, "the gateway has no public address");
		return;
	}
	(void)forgot(p, now, a->epoch);
	p->address = a->mapped.addr;
	ask(p, now, STEP_MAP);
}

static void on_health(struct portmap *p, ln_time now, const struct portmap_answer *a)
{
	bool anew = forgot(p, now, a->epoch) ||
		    (p->pmp && a->result == PORTMAP_OK && !ip_equal(&p->address, &a->mapped.addr));
	if (p->pmp && a->result == PORTMAP_OK)
		p->address = a->mapped.addr;
	if (anew) {
		ask(p, now, STEP_MAP);
		return;
	}
	p->health_at = now + p->conf.health;
	rest(p);
}

static enum portmap_kind asked(const struct portmap *p)
{
	if (p->step == STEP_MAP)
		return p->pmp ? PORTMAP_PMP_MAP : PORTMAP_PCP_MAP;
	return p->pmp ? PORTMAP_PMP_ADDRESS : PORTMAP_PCP_ANNOUNCE;
}

int portmap_input(struct portmap *p, ln_time now, struct slice pkt)
{
	struct portmap_answer a;
	int r = portmap_msg_read(pkt, &a);
	if (r < 0)
		return r;
	if (!p->running || p->step == STEP_IDLE || p->sent == 0)
		return LN_E_NOTFOUND;
	if (a.other_version) {
		if (p->pmp)
			failed(p, now, "the gateway speaks no version we know");
		else if (p->source.family == 4)
			begin(p, now, true);
		return 0;
	}
	if (a.kind != asked(p) ||
	    (a.kind == PORTMAP_PCP_MAP && memcmp(a.nonce, p->nonce, sizeof(a.nonce)) != 0))
		return LN_E_NOTFOUND;
	switch (p->step) {
	case STEP_MAP:
		on_map(p, now, &a);
		break;
	case STEP_ADDRESS:
		on_address(p, now, &a);
		break;
	case STEP_HEALTH:
		on_health(p, now, &a);
		break;
	case STEP_IDLE:
		break;
	}
	return 0;
}

/* --- what is due
 * --------------------------------------------------------------------------------*/

static void write_request(struct portmap *p, enum portmap_kind kind, ln_time life,
			  struct portmap_out *out)
{
	struct portmap_request q = { .kind = kind,
				     .client = p->source,
				     .port = p->conf.port,
				     .wanted = p->mapped,
				     .lifetime = (uint32_t)(life / LN_SEC) };
	if (q.wanted.port == 0)
		q.wanted.port = p->conf.port;
	memcpy(q.nonce, p->nonce, sizeof(q.nonce));
	size_t n = portmap_msg_write(&q, p->buf);
	*out = (struct portmap_out){ .kind = PORTMAP_OUT_SEND, .data = slice_of(p->buf, n) };
}

static bool poll_farewell(struct portmap *p, struct portmap_out *out)
{
	if (p->farewell == 0)
		return false;
	write_request(p, p->pmp ? PORTMAP_PMP_MAP : PORTMAP_PCP_MAP, 0, out);
	if (--p->farewell == 0) {
		p->mapped = (struct ip_ep){ 0 };
		p->next = LN_TIME_NEVER;
	}
	return true;
}

bool portmap_poll(struct portmap *p, ln_time now, struct portmap_out *out)
{
	if (!p->running)
		return poll_farewell(p, out);
	if (p->step != STEP_IDLE && p->sent == SENDS && now >= p->next)
		failed(p, now, "the gateway does not answer");
	if (p->step == STEP_IDLE && now >= p->next) {
		bool renew = now >= p->renew_at;
		if (renew && p->mapped.port == 0)
			begin(p, now, false);
		else
			ask(p, now, renew ? STEP_MAP : STEP_HEALTH);
	}
	if (p->say) {
		p->say = false;
		*out = (struct portmap_out){
			.kind = p->mapped.port != 0 ? PORTMAP_OUT_MAPPED : PORTMAP_OUT_NONE,
			.ep = p->mapped,
			.why = p->why,
		};
		return true;
	}
	if (p->step == STEP_IDLE || now < p->next)
		return false;
	write_request(p, asked(p), p->conf.life, out);
	p->next = now + (FIRST_WAIT << p->sent);
	p->sent++;
	return true;
}

ln_time portmap_deadline(const struct portmap *p)
{
	return p->say ? 0 : p->next;
}
