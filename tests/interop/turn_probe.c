/*
 * Two allocations of one TURN server that talk to each other, by the agent's own TURN code.
 *
 * Usage: turn_probe URI USER PASSWORD [COUNT] [SECONDS] [ROUNDS]. Prints the relayed address of
 * both, sends COUNT datagrams each way (the first ones wait for their permission), and once more
 * after SECONDS, when permissions have been renewed, ROUNDS times (1). Exit 0 when all that was
 * sent after the permission arrived.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/agent/turn_link.h"
#include "src/net/net_tls.h"

#define LIMIT (15 * LN_SEC)
#define FLIGHT 8

struct end {
	struct turn_link *link;
	struct ip_ep relayed;
	bool up;
	char why[160]; /* closed */
	unsigned got, wrong;
};

static struct ev_loop *loop;
static struct end ends[2];
static const char payload[] = "a datagram between two allocations, of a length that is odd";
static const char opening[] = "a permission, please";

static void on_up(void *user, const struct ip_ep *relayed)
{
	struct end *e = user;
	char text[IP_EP_TEXT_MAX];
	e->up = true;
	e->relayed = *relayed;
	ip_ep_format(relayed, text);
	printf("relayed %s\n", text);
	fflush(stdout);
}

static void on_closed(void *user, const char *why)
{
	struct end *e = user;
	(void)snprintf(e->why, sizeof(e->why), "%s", why);
	e->up = false;
}

static void on_packet(void *user, const struct ip_ep *from, struct slice data)
{
	struct end *e = user;
	const struct end *other = &ends[e == ends];
	if (ip_ep_equal(from, &other->relayed) && slice_is(data, payload))
		e->got++;
	else if (!slice_is(data, opening))
		e->wrong++;
}

static bool wait_for(unsigned a, unsigned b)
{
	ln_time limit = ev_now() + LIMIT;
	while (ev_now() < limit && ends[0].why[0] == '\0' && ends[1].why[0] == '\0') {
		if (ends[0].up && ends[1].up && ends[0].got >= a && ends[1].got >= b)
			return true;
		ev_loop_turn(loop, 10 * LN_MSEC);
	}
	return false;
}

static void pass(ln_time time)
{
	ln_time until = ev_now() + time;
	while (ev_now() < until)
		ev_loop_turn(loop, 10 * LN_MSEC);
}

/* Both permissions first: until then the other side's datagrams are dropped by the server. */
static bool talk(unsigned count)
{
	for (int i = 0; i < 2; i++)
		turn_link_send(ends[i].link, &ends[!i].relayed, slice_str(opening));
	pass(300 * LN_MSEC);
	/* A few in flight: the server's sockets are no larger than the system's default. */
	for (unsigned k = 0; k < count; k += FLIGHT) {
		unsigned before[2] = { ends[0].got, ends[1].got };
		for (unsigned n = 0; n < FLIGHT; n++)
			for (int i = 0; i < 2; i++)
				turn_link_send(ends[i].link, &ends[!i].relayed, slice_str(payload));
		if (!wait_for(before[0] + FLIGHT, before[1] + FLIGHT))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct net_tls_ctx *tls = NULL;
	struct ln_fail f = { 0 };
	bool good = false;
	if (argc < 4)
		return 2;
	unsigned count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 100;
	ln_time later = (argc > 5 ? (ln_time)strtoul(argv[5], NULL, 10) : 0) * LN_SEC;
	unsigned rounds = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 1;
	loop = ev_loop_new();
	if (strncmp(argv[1], "turns:", 6) == 0 && net_tls_ctx_client(NULL, &tls, &f) < 0)
		return 2;
	for (int i = 0; i < 2; i++) {
		struct turn_link_conf c = { .uri = argv[1],
					    .username = argv[2],
					    .password = argv[3],
					    .tls = tls,
					    .up = on_up,
					    .closed = on_closed,
					    .packet = on_packet,
					    .user = &ends[i] };
		if (turn_link_new(loop, &c, &ends[i].link) < 0)
			return 2;
	}
	if (wait_for(0, 0)) {
		good = talk(count);
		for (unsigned i = 0; i < rounds && good && later != 0; i++) {
			pass(later);
			good = talk(count);
		}
	}
	printf("got %u %u wrong %u %u why \"%s\" \"%s\"\n", ends[0].got, ends[1].got, ends[0].wrong,
	       ends[1].wrong, ends[0].why, ends[1].why);
	for (int i = 0; i < 2; i++)
		turn_link_free(ends[i].link);
	for (int i = 0; i < 4; i++)
		ev_loop_turn(loop, LN_MSEC);
	net_tls_ctx_free(tls);
	ev_loop_free(loop);
	return good ? 0 : 1;
}
