/* `linnet up`, `down`, `login`, `logout`: the calls in the order of spec agent 1.2. */
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_connect.h"
#include "src/cmd/linnet_settings.h"
#include "src/cmd/linnet_user.h"

#define CALL_LIMIT (20 * LN_SEC)
#define LOGIN_LIMIT (120 * LN_SEC) /* one Login: the daemon asks the management server */
#define LOGIN_RETRY (30 * LN_SEC)  /* all tries together */
#define SSO_LIMIT (600 * LN_SEC)
#define UP_LIMIT (60 * LN_SEC) /* the daemon itself waits 50 s for its engine */
#define LOGOUT_LIMIT (15 * LN_SEC)
#define ANSWER_MAX ((size_t)64 << 20)
#define PROFILE_DEFAULT "default"

struct session { /* one run of one of the commands */
	struct linnet_cli *cli;
	struct linnet_daemon *d;
	struct arena arena;
	struct str msg;
	char profile[LINNET_PROFILE_MAX];
	bool switched; /* to another profile than before */
};

static void session_init(struct session *s, struct linnet_cli *cli, struct linnet_daemon *d)
{
	*s = (struct session){ .cli = cli, .d = d };
	arena_init(&s->arena, ANSWER_MAX);
	str_init(&s->msg, 0);
	linnet_profile_read(cli, s->profile);
}

static void session_fini(struct session *s)
{
	if (s->msg.s != NULL)
		explicit_bzero(s->msg.s, s->msg.cap); /* it may have held a setup key */
	str_fini(&s->msg);
	arena_fini(&s->arena);
}

/* What the daemon refused, as people see it. */
static int refused(struct session *s, const char *what)
{
	const char *text = str_c(&s->d->text);
	if (s->d->status == GRPC_UNAVAILABLE && text[0] == '\0')
		text = "the daemon closed the connection";
	return linnet_fail("%s failed: %s", what, text);
}

/* --- profiles --------------------------------------------------------------------------------- */

static bool switch_profile(struct session *s, const char *handle)
{
	struct daemon_profile_request q = { .profile = handle,
					    .has_profile = true,
					    .username = linnet_username(),
					    .has_username = true };
	str_clear(&s->msg);
	daemon_profile_request_write(&s->msg, &q);
	return linnet_daemon_call(s->d, "SwitchProfile", &s->msg, CALL_LIMIT);
}

static bool add_profile(struct session *s, const char *name)
{
	struct daemon_profile_change q = { .username = linnet_username(), .profile = name };
	str_clear(&s->msg);
	daemon_profile_change_write(&s->msg, &q);
	return linnet_daemon_call(s->d, "AddProfile", &s->msg, CALL_LIMIT);
}

static bool list_has(struct session *s, const char *id)
{
	struct daemon_profile_list list;
	if (daemon_profile_list_read(str_slice(&s->d->reply), &s->arena, &list) < 0)
		return true; /* let the call that needs the profile say what is wrong */
	for (size_t i = 0; i < list.nprofiles; i++)
		if (strcmp(list.profiles[i].id, id) == 0)
			return true;
	return false;
}

/*
 * The profile of last time may be gone: removed by somebody else, or this daemon keeps its state in
 * another folder. The one the daemon works with takes its place, if it is this user's.
 */
static void settle_profile(struct session *s)
{
	struct daemon_user_request q = { .username = linnet_username() };
	struct daemon_active_profile active;
	if (strcmp(s->profile, PROFILE_DEFAULT) == 0)
		return;
	str_clear(&s->msg);
	daemon_user_request_write(&s->msg, &q);
	if (!linnet_daemon_call(s->d, "ListProfiles", &s->msg, CALL_LIMIT) ||
	    list_has(s, s->profile))
		return;
	const char *id = PROFILE_DEFAULT, *name = PROFILE_DEFAULT;
	if (linnet_daemon_call(s->d, "GetActiveProfile", NULL, CALL_LIMIT) &&
	    daemon_active_profile_read(str_slice(&s->d->reply), &s->arena, &active) == 0 &&
	    strcmp(active.username, linnet_username()) == 0 && active.id[0] != '\0') {
		id = active.id;
		name = active.name;
	}
	fprintf(stderr,
		"The profile used last time (%.64s) does not exist here: using \"%.128s\". "
		"Another one is chosen, or made, by --profile NAME.\n",
		s->profile, name);
	snprintf(s->profile, sizeof(s->profile), "%s", id);
	/* A daemon elsewhere says nothing about the profiles of the usual one. */
	if (!linnet_given(s->cli, OPT_DAEMON_ADDR))
		linnet_profile_write(s->cli, id);
}

/* --profile NAME: use it from now on; `make` one that does not exist. Exit status. */
static int choose_profile(struct session *s, bool make)
{
	const char *handle = linnet_text(s->cli, OPT_PROFILE);
	if (handle[0] == '\0') {
		settle_profile(s);
		return 0;
	}
	bool ok = switch_profile(s, handle);
	if (!ok && make && s->d->status == GRPC_NOT_FOUND)
		ok = add_profile(s, handle) && switch_profile(s, handle);
	if (!ok)
		return refused(s, "switching the profile");
	struct daemon_profile_id answer = { .id = "" };
	if (daemon_profile_id_read(str_slice(&s->d->reply), &s->arena, &answer) < 0)
		answer.id = "";
	const char *id = answer.id[0] != '\0' ? answer.id : handle;
	s->switched = strcmp(s->profile, id) != 0;
	snprintf(s->profile, sizeof(s->profile), "%s", id);
	linnet_profile_write(s->cli, id);
	return 0;
}

/* --- login ------------------------------------------------------------------------------------ */

/* Only for this call: a person has to act, or never will it work. */
static bool is_final(enum grpc_status status)
{
	return status == GRPC_INVALID_ARGUMENT || status == GRPC_PERMISSION_DENIED ||
	       status == GRPC_NOT_FOUND || status == GRPC_UNIMPLEMENTED;
}

static bool call_login(struct session *s)
{
	ln_time end = ev_now() + LOGIN_RETRY, pause = LN_SEC;
	const char *url = linnet_text(s->cli, OPT_MANAGEMENT_URL);
	char doing[300];
	snprintf(doing, sizeof(doing), "Logging in%s%.200s", url[0] != '\0' ? " at " : "", url);
	for (;;) {
		s->d->doing = doing;
		if (linnet_daemon_call(s->d, "Login", &s->msg, LOGIN_LIMIT))
			return true;
		if (is_final(s->d->status) || ev_now() + pause > end)
			return false;
		fprintf(stderr, "Login failed (%s), trying again ...\n", str_c(&s->d->text));
		usleep((useconds_t)(pause / LN_USEC));
		pause = ln_time_min(2 * pause, 10 * LN_SEC);
	}
}

/* Starts the user's browser and forgets it; a failure is no loss, the address is on the screen. */
static void open_browser(const struct linnet_cli *cli, const char *url)
{
	const char *browser = linnet_env(cli, "BROWSER");
	const char *argv[] = { browser != NULL && browser[0] != '\0' ? browser : "xdg-open", url,
			       NULL };
	posix_spawn_file_actions_t quiet;
	pid_t pid;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
	posix_spawn_file_actions_adddup2(&quiet, 1, 2);

	/* posix_spawn takes char *const[] but changes nothing. */
	union {
		const char **in;
		char **out;
	} args = { .in = argv };

	(void)posix_spawnp(&pid, argv[0], &quiet, NULL, args.out, environ);
	posix_spawn_file_actions_destroy(&quiet);
}

static int login_in_browser(struct session *s, const struct daemon_login_response *answer)
{
	const char *url = answer->verification_uri_complete;
	if (url[0] == '\0')
		url = answer->verification_uri;
	printf("Please log in at:\n\n%s\n", url);
	if (answer->user_code[0] != '\0' && strstr(url, answer->user_code) == NULL)
		printf("\nand enter the code %s\n", answer->user_code);
	if (linnet_on(s->cli, OPT_QR))
		fprintf(stderr, "linnet was built without QR codes: use the address.\n");
	fflush(stdout);
	if (!linnet_on(s->cli, OPT_NO_BROWSER) && linnet_is_desktop(s->cli) &&
	    strncmp(url, "http", 4) == 0)
		open_browser(s->cli, url);
	/* WaitSSOLoginRequest has two texts in the places of this message: code and host name. */
	struct daemon_config_request q = { .profile = answer->user_code,
					   .username = linnet_text(s->cli, OPT_HOSTNAME) };
	struct daemon_profile_id email = { .id = "" }; /* one text in the first place */
	str_clear(&s->msg);
	daemon_config_request_write(&s->msg, &q);
	if (!linnet_daemon_call(s->d, "WaitSSOLogin", &s->msg, SSO_LIMIT))
		return refused(s, "login");
	if (daemon_profile_id_read(str_slice(&s->d->reply), &s->arena, &email) == 0 &&
	    email.id[0] != '\0')
		linnet_email_write(s->cli, s->profile, email.id);
	return 0;
}

/* Exit status; 0 when the daemon is logged in. */
static int log_in(struct session *s, const struct daemon_settings *set)
{
	struct ln_fail f;
	char hint[LINNET_PROFILE_MAX];
	struct daemon_login_request q = { .hostname = linnet_text(s->cli, OPT_HOSTNAME),
					  .set = *set,
					  .profile = s->profile,
					  .has_profile = true,
					  .username = linnet_username(),
					  .has_username = true,
					  .desktop = linnet_is_desktop(s->cli) };
	if (linnet_setup_key(s->cli, &q.setup_key, &f) < 0)
		return linnet_fail("%s", f.text);
	linnet_email_read(s->cli, s->profile, hint);
	q.hint = hint;
	q.has_hint = hint[0] != '\0';
	str_clear(&s->msg);
	daemon_login_request_write(&s->msg, &q);
	if (!call_login(s))
		return refused(s, "login");
	struct daemon_login_response answer;
	int r = daemon_login_response_read(str_slice(&s->d->reply), &s->arena, &answer);
	if (r < 0)
		return linnet_fail("the daemon's answer cannot be read: %s", ln_strerror(r));
	return answer.needs_sso ? login_in_browser(s, &answer) : 0;
}

/* --- up --------------------------------------------------------------------------------------- */

/* 1 = already connected, 0 = go on, -1 = told the user what is wrong. */
static int check_status(struct session *s)
{
	struct daemon_status_request q = { .wait_for_ready = true, .has_wait_for_ready = true };
	struct daemon_status_response st;
	str_clear(&s->msg);
	daemon_status_request_write(&s->msg, &q);
	s->d->doing = "Waiting for the daemon";
	if (!linnet_daemon_call(s->d, "Status", &s->msg, UP_LIMIT)) {
		refused(s, "asking the daemon for its status");
		return -1;
	}
	if (daemon_status_response_read(str_slice(&s->d->reply), &s->arena, &st) < 0) {
		linnet_fail("the daemon's answer cannot be read");
		return -1;
	}
	if (strcmp(st.status, "Connected") != 0)
		return 0;
	if (!s->switched)
		return 1;
	if (!linnet_daemon_call(s->d, "Down", NULL, CALL_LIMIT)) {
		refused(s, "disconnecting the other profile");
		return -1;
	}
	return 0;
}

static int send_config(struct session *s, const struct daemon_settings *set)
{
	struct daemon_set_config_request q = { .username = linnet_username(),
					       .profile = s->profile,
					       .set = *set };
	str_clear(&s->msg);
	daemon_set_config_request_write(&s->msg, &q);
	if (linnet_daemon_call(s->d, "SetConfig", &s->msg, CALL_LIMIT))
		return 0;
	/* An old daemon, or one whose settings are locked: Login carries them as well. */
	if (s->d->status == GRPC_UNAVAILABLE || s->d->status == GRPC_UNIMPLEMENTED) {
		fprintf(stderr, "The settings were not stored: %s\n", str_c(&s->d->text));
		return 0;
	}
	return refused(s, "storing the settings");
}

static int send_up(struct session *s)
{
	struct daemon_up_request q = { .profile = s->profile,
				       .has_profile = true,
				       .username = linnet_username(),
				       .has_username = true };
	str_clear(&s->msg);
	daemon_up_request_write(&s->msg, &q);
	s->d->doing = "Connecting";
	return linnet_daemon_call(s->d, "Up", &s->msg, UP_LIMIT) ? 0 : refused(s, "up");
}

/* Options that are understood but switch nothing here. */
static void say_moot(const struct linnet_cli *cli)
{
	static const enum linnet_opt_id moot[] = { OPT_SSH_ROOT,           OPT_SSH_SFTP,
						   OPT_SSH_LOCAL,          OPT_SSH_REMOTE,
						   OPT_SSH_NO_AUTH,        OPT_SSH_TTL,
						   OPT_DNS_ROUTER_INTERVAL };

	for (size_t i = 0; i < LN_COUNT(moot); i++)
		if (linnet_given(cli, moot[i]))
			fprintf(stderr, "--%s has no effect in this version\n",
				linnet_opts[moot[i]].name);
}

static int up_steps(struct session *s, const struct daemon_settings *set)
{
	int r = choose_profile(s, true);
	if (r != 0)
		return r;
	int before = check_status(s);
	if (before < 0)
		return 1;
	if (before == 1) {
		puts("Already connected");
		return 0;
	}
	r = send_config(s, set);
	if (r == 0)
		r = log_in(s, set);
	if (r == 0)
		r = send_up(s);
	if (r == 0)
		puts("Connected");
	return r;
}

int linnet_connect_up(struct linnet_cli *cli, struct linnet_daemon *d)
{
	struct daemon_settings set;
	struct ln_fail f;
	struct session s;
	if (linnet_settings(cli, &set, &f) < 0)
		return linnet_fail("%s", f.text);
	say_moot(cli);
	session_init(&s, cli, d);
	int r = up_steps(&s, &set);
	session_fini(&s);
	return r;
}

/* --- the commands ----------------------------------------------------------------------------- */

typedef int command_fn(struct linnet_cli *cli, struct linnet_daemon *d);

static int with_daemon(struct linnet_cli *cli, bool patient, command_fn *fn)
{
	struct linnet_daemon d;
	struct ln_fail f;
	if (linnet_daemon_open(&d, linnet_text(cli, OPT_DAEMON_ADDR), LINNET_SOCKET_FOLDER, patient,
			       &f) < 0)
		return linnet_fail("%s", f.text);
	int r = fn(cli, &d);
	fflush(stdout);
	linnet_daemon_close(&d);
	return r;
}

int linnet_run_up(struct linnet_cli *cli)
{
	struct daemon_settings set;
	struct ln_fail f;
	/* Before anything is asked or started. */
	if (linnet_settings(cli, &set, &f) < 0)
		return linnet_fail("%s", f.text);
	if (linnet_on(cli, OPT_FOREGROUND))
		return linnet_run_foreground(cli);
	return with_daemon(cli, true, linnet_connect_up);
}

static int down(struct linnet_cli *cli, struct linnet_daemon *d)
{
	(void)cli;
	d->doing = "Disconnecting";
	if (!linnet_daemon_call(d, "Down", NULL, CALL_LIMIT))
		return linnet_fail("down failed: %s", str_c(&d->text));
	puts("Disconnected");
	return 0;
}

int linnet_run_down(struct linnet_cli *cli)
{
	return with_daemon(cli, false, down);
}

static int login(struct linnet_cli *cli, struct linnet_daemon *d)
{
	struct daemon_settings set;
	struct ln_fail f;
	struct session s;
	if (linnet_settings(cli, &set, &f) < 0)
		return linnet_fail("%s", f.text);
	session_init(&s, cli, d);
	int r = choose_profile(&s, true);
	if (r == 0)
		r = log_in(&s, &set);
	session_fini(&s);
	if (r == 0)
		puts("Logged in");
	return r;
}

int linnet_run_login(struct linnet_cli *cli)
{
	return with_daemon(cli, true, login);
}

static int logout(struct linnet_cli *cli, struct linnet_daemon *d)
{
	const char *profile = linnet_text(cli, OPT_PROFILE);
	struct daemon_profile_request q = { .profile = profile, .username = linnet_username() };
	struct str msg;
	/* Without a profile the request is empty: the active one (spec agent 1.6). */
	q.has_profile = q.has_username = profile[0] != '\0';
	str_init(&msg, 0);
	daemon_profile_request_write(&msg, &q);
	d->doing = "Deregistering";
	bool ok = linnet_daemon_call(d, "Logout", &msg, LOGOUT_LIMIT);
	str_fini(&msg);
	if (!ok)
		return linnet_fail("deregister failed: %s", str_c(&d->text));
	puts("Deregistered successfully");
	return 0;
}

int linnet_run_logout(struct linnet_cli *cli)
{
	return with_daemon(cli, false, logout);
}
