/*
 * A WireGuard device of ours driven from standard input, for tests against other implementations.
 * Usage: uwg_driver IFNAME PORT MTU REKEY_SECONDS PRIVATE_KEY [auto]
 * It runs in user space; with `auto` where linnetd would run it, in the kernel when that can do it.
 *
 *	peer KEY PSK|- KEEPALIVE PREFIX[,PREFIX...]
 *	endpoint KEY IP:PORT|- INITIATE(0|1)
 *	remove KEY
 *	stats KEY
 *	expect               a handshake is awaited
 *	send IP:PORT HEX     a datagram from the device's port
 *
 * Prints "ready PORT kernel|user", then a line per event or answer. Ends with its input, or on
 *"quit".
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/agent/wgif/wgif.h"

#define PREFIXES 16

static struct ev_loop *loop;
static struct wgif *dev;
static char line[4096];
static size_t used;

static void on_event(void *user, const struct uwg_event *ev)
{
	static const char *const names[] = {
		[UWG_EV_STUN] = "stun",
		[UWG_EV_WANTED] = "wanted",
		[UWG_EV_HANDSHAKE] = "handshake",
		[UWG_EV_ROAMED] = "roamed",
		[UWG_EV_SEND_FAILED] = "send-failed",
		[UWG_EV_RELAY] = "relay",
		[UWG_EV_DOWN] = "down",
	};
	char key[WG_KEY_TEXT];
	char ep[IP_EP_TEXT_MAX];
	wg_key_format(&ev->key, key);
	ip_ep_format(&ev->from, ep);
	printf("%s %s %s %zu %d\n", names[ev->kind], key, ip_is_set(&ev->from.addr) ? ep : "-",
	       ev->data.n, ev->err);
	fflush(stdout);
}

static struct wg_key key_arg(const char *s)
{
	struct wg_key k;
	if (s == NULL || wg_key_parse(slice_str(s), &k) < 0) {
		fprintf(stderr, "bad key\n");
		exit(2);
	}
	return k;
}

static void peer(char **save)
{
	struct ip_prefix allowed[PREFIXES];
	struct uwg_peer_conf c = { .key = key_arg(strtok_r(NULL, " ", save)), .allowed = allowed };
	const char *psk = strtok_r(NULL, " ", save);
	if (psk != NULL && psk[0] != '-' && wg_secret_parse(slice_str(psk), &c.psk) < 0)
		exit(2);
	const char *keepalive = strtok_r(NULL, " ", save);
	c.keepalive = (uint16_t)atoi(keepalive != NULL ? keepalive : "0");
	for (char *p; c.nallowed < PREFIXES && (p = strtok_r(NULL, " ,", save)) != NULL;)
		if (ip_prefix_parse(slice_str(p), &allowed[c.nallowed++]) < 0)
			exit(2);
	wgif_peer_set(dev, &c);
}

static void endpoint(char **save)
{
	struct wg_key k = key_arg(strtok_r(NULL, " ", save));
	struct ip_ep ep = { 0 };
	const char *to = strtok_r(NULL, " ", save);
	const char *initiate = strtok_r(NULL, " ", save);
	if (to != NULL && to[0] != '-' && ip_ep_parse(slice_str(to), &ep) < 0)
		exit(2);
	wgif_peer_endpoint(dev, &k, &ep, initiate != NULL && initiate[0] == '1');
}

static void stats(char **save)
{
	struct wg_key k = key_arg(strtok_r(NULL, " ", save));
	struct uwg_peer_stats s;
	char ep[IP_EP_TEXT_MAX] = "-";
	if (wgif_peer_stats(dev, &k, &s) < 0) {
		printf("stats none\n");
		return;
	}
	if (ip_is_set(&s.endpoint.addr))
		ip_ep_format(&s.endpoint, ep);
	printf("stats %s rx=%llu tx=%llu handshake=%d\n", ep, (unsigned long long)s.rx_bytes,
	       (unsigned long long)s.tx_bytes, s.last_handshake != 0);
}

/* Bytes in hexadecimal; how many. */
static size_t hex_arg(const char *s, uint8_t *dst, size_t cap)
{
	size_t n = 0;
	unsigned byte;
	for (; s != NULL && n < cap && sscanf(s, "%2x", &byte) == 1; s += 2)
		dst[n++] = (uint8_t)byte;
	return n;
}

static void send_bytes(char **save)
{
	uint8_t b[1400];
	struct ip_ep ep;
	const char *to = strtok_r(NULL, " ", save);
	if (to == NULL || ip_ep_parse(slice_str(to), &ep) < 0)
		exit(2);
	size_t n = hex_arg(strtok_r(NULL, " ", save), b, sizeof(b));
	printf("sent %d\n", wgif_send(dev, &ep, slice_of(b, n)));
}

static void command(char *text)
{
	char *save = NULL;
	const char *word = strtok_r(text, " ", &save);
	if (word == NULL)
		return;
	if (strcmp(word, "peer") == 0) {
		peer(&save);
	} else if (strcmp(word, "endpoint") == 0) {
		endpoint(&save);
	} else if (strcmp(word, "remove") == 0) {
		struct wg_key k = key_arg(strtok_r(NULL, " ", &save));
		wgif_peer_remove(dev, &k);
	} else if (strcmp(word, "stats") == 0) {
		stats(&save);
	} else if (strcmp(word, "expect") == 0) {
		wgif_expect(dev);
	} else if (strcmp(word, "send") == 0) {
		send_bytes(&save);
	} else {
		ev_loop_stop(loop);
	}
	fflush(stdout);
}

static void on_input(struct ev_io *io, unsigned events)
{
	ssize_t n = read(io->fd, line + used, sizeof(line) - 1 - used);
	if (n <= 0) {
		ev_io_want(io, 0);
		ev_loop_stop(loop);
		return;
	}
	used += (size_t)n;
	for (char *end; (end = memchr(line, '\n', used)) != NULL;) {
		size_t whole = (size_t)(end - line) + 1;
		*end = '\0';
		command(line);
		used -= whole;
		memmove(line, line + whole, used);
	}
}

int main(int argc, char **argv)
{
	struct ln_fail f = { 0 };
	struct wg_secret key;
	struct wg_timers_conf timers = wg_timers_standard;
	char state[] = "/tmp/uwg-driver-XXXXXX";
	struct plat *plat = NULL;
	if ((argc != 6 && argc != 7) || wg_secret_parse(slice_str(argv[5]), &key) < 0) {
		fprintf(stderr,
			"usage: uwg_driver IFNAME PORT MTU REKEY_SECONDS PRIVATE_KEY [auto]\n");
		return 2;
	}
	timers.rekey_after = atoi(argv[4]) * LN_SEC;
	struct uwg_conf conf = {
		.ifname = argv[1],
		.port = (uint16_t)atoi(argv[2]),
		.mtu = (unsigned)atoi(argv[3]),
		.fwmark = 0x1bd00,
		.key = &key,
		.timers = &timers,
	};
	loop = ev_loop_new();
	if (mkdtemp(state) == NULL || plat_new(state, &plat, &f) < 0 ||
	    wgif_new(loop, plat, argc == 6, &conf, on_event, NULL, &dev, &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		plat_free(plat);
		(void)!rmdir(state);
		ev_loop_free(loop);
		return 1;
	}
	printf("ready %u %s\n", wgif_port(dev), wgif_is_kernel(dev) ? "kernel" : "user");
	fflush(stdout);
	struct ev_io io;
	if (ev_io_init(&io, loop, 0, on_input) < 0)
		return 1;
	ev_io_want(&io, EV_READ);
	ev_loop_run(loop);
	ev_io_fini(&io);
	wgif_free(dev);
	plat_free(plat);
	(void)!rmdir(state);
	ev_loop_free(loop);
	return 0;
}
