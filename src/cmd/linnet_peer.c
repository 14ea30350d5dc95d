/* `linnet peer reconnect`. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/daemon/daemon_msg.h"

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_connect.h"
#include "src/cmd/linnet_daemon.h"
#include "src/cmd/linnet_user.h"

#define PEER_CALL_LIMIT (10 * LN_SEC)
#define PEER_ARENA 65536

static int show(const struct linnet_cli *cli, const struct daemon_reconnect_response *r)
{
	if (!linnet_on(cli, OPT_JSON)) {
		printf("Negotiating with %s (%s) anew\n", r->fqdn, r->ip);
		return 0;
	}
	json_t *j = json_pack("{s:s, s:s, s:s}", "fqdn", r->fqdn, "netbirdIp", r->ip, "publicKey",
			      r->key);
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (text == NULL)
		return linnet_fail("the answer cannot be written as JSON");
	puts(text);
	free(text);
	return 0;
}

static int reconnect(struct linnet_cli *cli, struct linnet_daemon *d, struct arena *a)
{
	struct daemon_reconnect_request q = { .peer = cli->args[0] };
	struct daemon_reconnect_response r;
	struct str msg;
	str_init(&msg, 0);
	daemon_reconnect_request_write(&msg, &q);
	d->doing = "Waiting for the daemon";
	bool ok = linnet_daemon_call(d, "ReconnectPeer", &msg, PEER_CALL_LIMIT);
	str_fini(&msg);
	if (!ok)
		return linnet_fail("peer reconnect failed: %s", str_c(&d->text));
	int err = daemon_reconnect_response_read(str_slice(&d->reply), a, &r);
	if (err < 0)
		return linnet_fail("the daemon's answer cannot be read: %s", ln_strerror(err));
	return show(cli, &r);
}

int linnet_run_peer_reconnect(struct linnet_cli *cli)
{
	struct linnet_daemon d;
	struct ln_fail f;
	if (cli->nargs == 0)
		return linnet_fail("say which peer: its name, address or public key");
	if (linnet_daemon_open(&d, linnet_text(cli, OPT_DAEMON_ADDR), LINNET_SOCKET_FOLDER, false,
			       &f) < 0)
		return linnet_fail("%s", f.text);
	struct arena a;
	arena_init(&a, PEER_ARENA);
	int r = reconnect(cli, &d, &a);
	arena_fini(&a);
	linnet_daemon_close(&d);
	return r;
}
