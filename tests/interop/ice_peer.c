/*
 * One ICE agent on one UDP socket, driven by lines on standard input; for tests against other
 * implementations:
 *
 *   ice_peer controlling|controlled ADDRESS [FAIL_AFTER_MS [PCAP]]
 *
 * Reads   cred UFRAG PWD | cand TEXT | send TEXT | quit
 * Writes  cred UFRAG PWD, cand TEXT (its own), known (the other's candidate), selected LOCAL REMOTE
 *         ADDRESS, data TEXT, failed, disconnected, and at the end: report SENT ANSWERED RECEIVED
 * REFUSED KEEPALIVES LOST PCAP gets every STUN datagram, both ways, with made-up IPv4 headers.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/ice/ice_agent.h"
#include "lib/stun/stun_msg.h"

#define LINE_MAX_LEN 1024
#define PCAP_RAW 101 /* link type: the packet begins with its IP header */
#define SENT_FROM 0x7f000001u
#define CAME_FROM 0x7f000002u

struct driver {
	struct ice_agent *agent;
	int fd;
	FILE *pcap;
	struct ip_ep selected;
	struct ln_rng rng;
	char line[LINE_MAX_LEN];
	size_t nline;
	bool quit;
};

static void fill(void *ctx, void *dst, size_t n)
{
	(void)ctx;
	if (getrandom(dst, n, 0) != (ssize_t)n)
		abort();
}

static ln_time clock_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * LN_SEC + ts.tv_nsec;
}

static void fatal(const char *what)
{
	perror(what);
	exit(1);
}

static void pcap_header(FILE *f)
{
	const uint32_t head[6] = { 0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, PCAP_RAW };
	fwrite(head, sizeof(head), 1, f);
}

static void pcap_packet(FILE *f, ln_time now, uint32_t from, uint32_t to, struct slice data)
{
	uint8_t head[28] = { 0x45 };
	uint32_t len = (uint32_t)(sizeof(head) + data.n);
	if (f == NULL)
		return;
	uint32_t record[4] = { (uint32_t)(now / LN_SEC), (uint32_t)(now % LN_SEC / LN_USEC), len,
			       len };
	struct writer w = writer_of(mslice_of(head + 2, sizeof(head) - 2));
	writer_u16(&w, (uint16_t)len);
	writer_u32(&w, 0);
	writer_u16(&w, 64 << 8 | IPPROTO_UDP);
	writer_u16(&w, 0);
	writer_u32(&w, from);
	writer_u32(&w, to);
	writer_u16(&w, 3478);
	writer_u16(&w, 3478);
	writer_u16(&w, (uint16_t)(8 + data.n));
	writer_u16(&w, 0);
	fwrite(record, sizeof(record), 1, f);
	fwrite(head, sizeof(head), 1, f);
	fwrite(data.p, data.n, 1, f);
}

static void send_to(struct driver *d, const struct ip_ep *to, struct slice data)
{
	struct sockaddr_storage ss;
	unsigned len = ip_ep_to_sockaddr(to, &ss);
	/* A refused or lost datagram is what ICE expects of a network. */
	(void)!sendto(d->fd, data.p, data.n, 0, (struct sockaddr *)&ss, len);
}

static void drain(struct driver *d)
{
	uint8_t buf[1280];
	char addr[IP_EP_TEXT_MAX];
	struct ice_out out;
	ln_time now = clock_now();
	while (ice_agent_poll(d->agent, now, mslice_of(buf, sizeof(buf)), &out)) {
		switch (out.kind) {
		case ICE_OUT_DATAGRAM:
			pcap_packet(d->pcap, now, SENT_FROM, CAME_FROM, out.data);
			send_to(d, &out.to, out.data);
			break;
		case ICE_OUT_SELECTED:
			d->selected = out.pair.remote.addr;
			ip_ep_format(&d->selected, addr);
			printf("selected %s %s %s\n", ice_cand_type_name(out.pair.local.type),
			       ice_cand_type_name(out.pair.remote.type), addr);
			break;
		case ICE_OUT_DISCONNECTED:
			printf("disconnected\n");
			break;
		case ICE_OUT_FAILED:
			printf("failed\n");
			break;
		}
	}
}

static void command(struct driver *d, const char *line)
{
	struct ice_cred cred = { 0 };
	struct ice_cand cand;
	ln_time now = clock_now();
	int err = 0;
	if (sscanf(line, "cred %64s %256s", cred.ufrag, cred.pwd) == 2)
		err = ice_agent_set_remote(d->agent, now, &cred);
	else if (strncmp(line, "cand ", 5) == 0 &&
		 (err = ice_cand_parse(slice_str(line + 5), &cand)) == 0)
		err = ice_agent_add_remote(d->agent, now, &cand);
	else if (strncmp(line, "send ", 5) == 0)
		send_to(d, &d->selected, slice_str(line + 5));
	else if (strcmp(line, "quit") == 0)
		d->quit = true;
	if (err != 0)
		printf("refused %s: %s\n", line, ln_strerror(err));
	else if (strncmp(line, "cand ", 5) == 0)
		printf("known\n"), fflush(stdout);
}

static void read_lines(struct driver *d)
{
	ssize_t n = read(STDIN_FILENO, d->line + d->nline, sizeof(d->line) - 1 - d->nline);
	if (n <= 0) {
		d->quit = true;
		return;
	}
	d->nline += (size_t)n;
	char *end;
	while ((end = memchr(d->line, '\n', d->nline)) != NULL) {
		*end = '\0';
		command(d, d->line);
		d->nline -= (size_t)(end + 1 - d->line);
		memmove(d->line, end + 1, d->nline);
	}
	if (d->nline == sizeof(d->line) - 1)
		d->quit = true;
}

static void read_datagram(struct driver *d)
{
	uint8_t buf[2048];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ip_ep from;
	ssize_t n = recvfrom(d->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &len);
	if (n < 0 || ip_ep_from_sockaddr((struct sockaddr *)&ss, &from) != 0)
		return;
	struct slice pkt = slice_of(buf, (size_t)n);
	if (!stun_is_message(pkt)) {
		printf("data %.*s\n", (int)n, (const char *)buf);
		return;
	}
	ln_time now = clock_now();
	pcap_packet(d->pcap, now, CAME_FROM, SENT_FROM, pkt);
	(void)ice_agent_input(d->agent, now, &from, pkt);
}

static struct ip_ep open_socket(struct driver *d, const char *address)
{
	struct ip_ep ep = { 0 };
	struct sockaddr_storage ss;
	if (ip_parse(slice_str(address), &ep.addr) != 0)
		exit(2);
	socklen_t len = ip_ep_to_sockaddr(&ep, &ss);
	d->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&ss, len) != 0)
		fatal(address);
	len = sizeof(ss);
	if (getsockname(d->fd, (struct sockaddr *)&ss, &len) != 0 ||
	    ip_ep_from_sockaddr((struct sockaddr *)&ss, &ep) != 0)
		fatal("getsockname");
	return ep;
}

static void run(struct driver *d)
{
	while (!d->quit) {
		drain(d);
		fflush(stdout);
		struct pollfd fds[2] = { { STDIN_FILENO, POLLIN, 0 }, { d->fd, POLLIN, 0 } };
		ln_time at = ice_agent_deadline(d->agent);
		ln_time wait = at == LN_TIME_NEVER ? LN_MINUTE : at - clock_now();
		wait = wait < 0 ? 0 : LN_MIN(wait, LN_MINUTE);
		if (poll(fds, 2, (int)((wait + LN_MSEC - 1) / LN_MSEC)) < 0)
			fatal("poll");
		if (fds[1].revents != 0)
			read_datagram(d);
		if (fds[0].revents != 0)
			read_lines(d);
	}
}

int main(int argc, char **argv)
{
	struct driver d = { .rng = { fill, NULL } };
	struct ice_agent_conf conf = { 0 };
	struct ice_report r;
	struct ice_cand cand;
	char text[ICE_CAND_TEXT_MAX];
	if (argc < 3) {
		fprintf(stderr, "usage: ice_peer controlling|controlled ADDRESS "
				"[FAIL_AFTER_MS [PCAP]]\n");
		return 2;
	}
	conf.controlling = strcmp(argv[1], "controlling") == 0;
	conf.fail_after = argc > 3 ? strtol(argv[3], NULL, 10) * LN_MSEC : 0;
	d.pcap = argc > 4 ? fopen(argv[4], "wb") : NULL;
	if (d.pcap != NULL)
		pcap_header(d.pcap);
	ice_cred_generate(&conf.local, &d.rng);
	d.agent = ice_agent_new(&conf, &d.rng, clock_now());
	struct ip_ep self = open_socket(&d, argv[2]);
	ice_cand_init(&cand, ICE_CAND_HOST, &self, NULL, conf.local.ufrag, &d.rng);
	if (ice_agent_add_local(d.agent, clock_now(), &cand) != 0)
		return 1;
	ice_cand_format(&cand, text);
	printf("cred %s %s\ncand %s\n", conf.local.ufrag, conf.local.pwd, text);
	run(&d);
	ice_agent_report(d.agent, &r);
	printf("report %u %u %u %u %u %u\n", r.checks_sent, r.checks_answered, r.checks_received,
	       r.checks_refused, r.keepalives_sent, r.keepalives_lost);
	ice_agent_free(d.agent);
	close(d.fd);
	if (d.pcap != NULL)
		fclose(d.pcap);
	return 0;
}
