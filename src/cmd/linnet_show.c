/* `linnet status` and the commands that only print. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/ip.h"

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_daemon.h"
#include "src/cmd/linnet_status.h"
#include "src/cmd/linnet_user.h"

#define STATUS_LIMIT (20 * LN_SEC)
#define STATUS_ARENA ((size_t)256 << 20) /* the answer is at most 16 MiB */

/* --- what was asked --------------------------------------------------------------------------- */

static int check_formats(const struct linnet_cli *cli)
{
	static const enum linnet_opt_id formats[] = { OPT_DETAIL, OPT_JSON, OPT_YAML, OPT_IPV4,
						      OPT_IPV6 };

	char both[64] = "";
	int n = 0;
	for (size_t i = 0; i < LN_COUNT(formats); i++)
		if (linnet_given(cli, formats[i])) {
			size_t at = strlen(both);
			snprintf(both + at, sizeof(both) - at, "%s%s", n++ > 0 ? " " : "",
				 linnet_opts[formats[i]].name);
		}
	if (n < 2)
		return 0;
	return linnet_fail("if any flags in the group [detail json yaml ipv4 ipv6] are set none of "
			   "the others can be; [%s] were all set",
			   both);
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcasecmp(text, *words) == 0)
			return true;
	return false;
}

static int check_filters(const struct linnet_cli *cli)
{
	static const char *const statuses[] = { "", "idle", "connecting", "connected", NULL };
	static const char *const types[] = { "", "p2p", "relayed", NULL };
	static const char *const checks[] = { "", "live", "ready", "startup", NULL };
	const char *text = linnet_text(cli, OPT_FILTER_STATUS);
	if (!one_of(text, statuses))
		return linnet_fail("wrong status filter, should be one of "
				   "connected|connecting|idle, got: %s",
				   text);
	text = linnet_text(cli, OPT_FILTER_CONNECTION);
	if (!one_of(text, types))
		return linnet_fail("wrong connection-type filter, should be one of P2P|Relayed, "
				   "got: %s",
				   text);
	text = linnet_text(cli, OPT_CHECK);
	if (!one_of(text, checks))
		return linnet_fail("unknown check \"%s\", must be one of: live, ready, startup",
				   text);
	const struct linnet_value *ips = &cli->values[OPT_FILTER_IPS];
	for (size_t i = 0; i < ips->nlist; i++) {
		struct ip_addr a;
		if (ip_parse(slice_str(ips->list[i]), &a) < 0)
			return linnet_fail("got an invalid IP address in the filter: address %s",
					   ips->list[i]);
	}
	return check_formats(cli);
}

/* --- health checks ---------------------------------------------------------------------------- */

/* Relays proper: the list begins with STUN servers. */
static bool relays_ok(const struct daemon_status_response *st)
{
	size_t n = 0, available = 0;
	for (size_t i = 0; i < st->nrelays; i++) {
		if (strncmp(st->relays[i].uri, "rel://", 6) != 0 &&
		    strncmp(st->relays[i].uri, "rels://", 7) != 0)
			continue;
		n++;
		available += st->relays[i].available;
	}
	return n == 0 || available > 0;
}

static int judge(const char *check, const struct daemon_status_response *st)
{
	if (strcmp(check, "live") == 0)
		return 0;
	if (strcmp(check, "ready") == 0) {
		static const char *const good[] = { "Idle", "Connecting", "Connected", NULL };
		return one_of(st->status, good)
			       ? 0
			       : linnet_fail("readiness check: daemon status is %s", st->status);
	}
	if (!st->has_full)
		return linnet_fail("startup check: no full status available");
	if (!st->management.connected)
		return linnet_fail("startup check: management not connected");
	if (!st->signal.connected)
		return linnet_fail("startup check: signal not connected");
	if (!relays_ok(st))
		return linnet_fail("startup check: no relay available");
	return 0;
}

/* --- status ----------------------------------------------------------------------------------- */

/* Null terminated, as the filter wants it; null when the option was not given. */
static const char *const *list_of(const struct linnet_cli *cli, enum linnet_opt_id id)
{
	const struct linnet_value *v = &cli->values[id];
	if (v->nlist == 0)
		return NULL;
	v->list[v->nlist] = NULL;
	return v->list;
}

static bool is_filtered(const struct linnet_cli *cli)
{
	return cli->values[OPT_FILTER_IPS].nlist > 0 || cli->values[OPT_FILTER_NAMES].nlist > 0 ||
	       linnet_text(cli, OPT_FILTER_STATUS)[0] != '\0' ||
	       linnet_text(cli, OPT_FILTER_CONNECTION)[0] != '\0';
}

static void print_view(const struct linnet_cli *cli, const struct linnet_status_view *v,
		       struct str *dst)
{
	bool data = linnet_on(cli, OPT_JSON) || linnet_on(cli, OPT_YAML);
	if (!data && linnet_status_needs_login(v->st))
		linnet_status_login_hint(v, dst);
	else if (linnet_on(cli, OPT_JSON))
		linnet_status_json(v, dst);
	else if (linnet_on(cli, OPT_YAML))
		linnet_status_yaml(v, dst);
	else if (linnet_on(cli, OPT_IPV4) || linnet_on(cli, OPT_IPV6))
		linnet_status_address(v->st, linnet_on(cli, OPT_IPV6), dst);
	else if (linnet_on(cli, OPT_DETAIL) || is_filtered(cli))
		linnet_status_detail(v, dst);
	else
		linnet_status_summary(v, dst);
}

static void show(const struct linnet_cli *cli, struct linnet_daemon *d,
		 const struct daemon_status_response *st)
{
	struct daemon_active_profile profile = { .name = "" };
	struct arena a;
	arena_init(&a, 1 << 20);
	if (!linnet_daemon_call(d, "GetActiveProfile", NULL, STATUS_LIMIT) ||
	    daemon_active_profile_read(str_slice(&d->reply), &a, &profile) < 0)
		profile.name = "";
	struct linnet_status_view v = {
		.st = st,
		.filter = { .ips = list_of(cli, OPT_FILTER_IPS),
			    .names = list_of(cli, OPT_FILTER_NAMES),
			    .status = linnet_text(cli, OPT_FILTER_STATUS),
			    .connection = linnet_text(cli, OPT_FILTER_CONNECTION) },
		.platform = linnet_platform(),
		.version = LINNET_VERSION,
		.profile = profile.name,
		.program = "linnet",
		.now = ev_wall(),
	};
	struct str text;
	str_init(&text, (size_t)256 << 20);
	print_view(cli, &v, &text);
	fwrite(str_c(&text), 1, text.n, stdout);
	str_fini(&text);
	arena_fini(&a);
}

static int ask(const struct linnet_cli *cli, struct linnet_daemon *d, struct arena *a)
{
	const char *check = linnet_text(cli, OPT_CHECK);
	struct daemon_status_request q = { .full = check[0] == '\0' ||
						   strcmp(check, "startup") == 0 };
	struct daemon_status_response st;
	struct str msg;
	str_init(&msg, 0);
	daemon_status_request_write(&msg, &q);
	bool ok = linnet_daemon_call(d, "Status", &msg, STATUS_LIMIT);
	str_fini(&msg);
	if (!ok)
		return linnet_fail("status failed: %s", str_c(&d->text));
	int r = daemon_status_response_read(str_slice(&d->reply), a, &st);
	if (r < 0)
		return linnet_fail("the daemon's answer cannot be read: %s", ln_strerror(r));
	if (check[0] != '\0')
		return judge(check, &st);
	show(cli, d, &st);
	return 0;
}

int linnet_run_status(struct linnet_cli *cli)
{
	struct linnet_daemon d;
	struct ln_fail f;
	int r = check_filters(cli);
	if (r != 0)
		return r;
	if (linnet_daemon_open(&d, linnet_text(cli, OPT_DAEMON_ADDR), LINNET_SOCKET_FOLDER, false,
			       &f) < 0)
		return linnet_fail("%s", f.text);
	struct arena a;
	arena_init(&a, STATUS_ARENA);
	d.doing = "Waiting for the daemon";
	r = ask(cli, &d, &a);
	arena_fini(&a);
	linnet_daemon_close(&d);
	return r;
}

/* --- texts ------------------------------------------------------------------------------------ */

static int print(struct str *text)
{
	fputs(str_c(text), stdout);
	str_fini(text);
	return 0;
}

int linnet_run_version(struct linnet_cli *cli)
{
	(void)cli;
	puts(LINNET_VERSION);
	return 0;
}

int linnet_run_help(struct linnet_cli *cli)
{
	char words[64] = "";
	struct str text;
	const struct linnet_command *c = NULL;
	for (size_t i = 0; i < cli->nargs; i++) {
		size_t at = strlen(words);
		snprintf(words + at, sizeof(words) - at, "%s%s", at > 0 ? " " : "", cli->args[i]);
	}
	for (const struct linnet_command *x = linnet_commands; x->words != NULL && c == NULL; x++)
		if (strcmp(x->words, words) == 0 ||
		    (x->alias != NULL && strcmp(x->alias, words) == 0))
			c = x;
	if (c == NULL && words[0] != '\0' && !linnet_is_group(words))
		return linnet_fail("unknown command \"%s\" for \"linnet\"", words);
	str_init(&text, 0);
	linnet_help(c, &text);
	return print(&text);
}

int linnet_run_completion(struct linnet_cli *cli)
{
	struct str text;
	str_init(&text, 0);
	if (cli->nargs == 0 || linnet_completion(cli->args[0], &text) < 0)
		return linnet_fail("say for which shell: bash, zsh or fish");
	return print(&text);
}

int linnet_run_manual(struct linnet_cli *cli)
{
	(void)cli;
	struct str text;
	str_init(&text, 0);
	linnet_manual(&text);
	return print(&text);
}
