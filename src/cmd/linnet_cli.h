#pragma once
/*
 * The command `linnet`: one table of options, one of commands; parser, help, completion and manual
 * page come from them. Names, defaults and the order of sources are NetBird's (spec
 * agent 1.1, 1.2): default, command line, then the environment (WT_, then NB_), which wins over an
 * explicit flag.
 */
#include "lib/base/arena.h"
#include "lib/base/str.h"

#define LINNET_DEFAULT_SOCKET "unix:///var/run/netbird.sock"
#define LINNET_DEFAULT_STATE "/var/lib/netbird"
#define LINNET_DEFAULT_SERVICE "linnetd"

enum linnet_opt_id {
	/* global */
	OPT_DAEMON_ADDR,
	OPT_MANAGEMENT_URL,
	OPT_ADMIN_URL,
	OPT_LOG_LEVEL,
	OPT_LOG_FILE,
	OPT_SETUP_KEY,
	OPT_SETUP_KEY_FILE,
	OPT_PRESHARED_KEY,
	OPT_HOSTNAME,
	OPT_ANONYMIZE,
	OPT_ANONYMIZE_LEVEL,
	OPT_CONFIG,
	OPT_SERVICE,
	OPT_HELP,
	/* up, login, logout */
	OPT_PROFILE,
	OPT_NO_BROWSER,
	OPT_QR,
	OPT_FOREGROUND,
	OPT_INTERFACE_NAME,
	OPT_WIREGUARD_PORT,
	OPT_MTU,
	OPT_NETWORK_MONITOR,
	OPT_EXTERNAL_IP_MAP,
	OPT_DNS_RESOLVER_ADDRESS,
	OPT_EXTRA_IFACE_BLACKLIST,
	OPT_EXTRA_DNS_LABELS,
	OPT_DNS_ROUTER_INTERVAL,
	OPT_ROSENPASS,
	OPT_ROSENPASS_PERMISSIVE,
	OPT_DISABLE_AUTO_CONNECT,
	OPT_DISABLE_CLIENT_ROUTES,
	OPT_DISABLE_SERVER_ROUTES,
	OPT_DISABLE_DNS,
	OPT_DISABLE_FIREWALL,
	OPT_BLOCK_LAN_ACCESS,
	OPT_BLOCK_INBOUND,
	OPT_DISABLE_IPV6,
	OPT_ALLOW_SERVER_SSH,
	OPT_SSH_ROOT,
	OPT_SSH_SFTP,
	OPT_SSH_LOCAL,
	OPT_SSH_REMOTE,
	OPT_SSH_NO_AUTH,
	OPT_SSH_TTL,
	OPT_LAZY,
	/* status */
	OPT_DETAIL,
	OPT_JSON,
	OPT_YAML,
	OPT_IPV4,
	OPT_IPV6,
	OPT_FILTER_IPS,
	OPT_FILTER_NAMES,
	OPT_FILTER_STATUS,
	OPT_FILTER_CONNECTION,
	OPT_CHECK,
	/* service */
	OPT_SERVICE_ENV,
	OPT_DISABLE_PROFILES,
	OPT_DISABLE_UPDATE_SETTINGS,
	OPT_DISABLE_NETWORKS,
	/* lab */
	OPT_LAB_NAT,
	OPT_LAB_IPV6,
	OPT_LAB_KEEP,
	OPT_LAB_IPERF,
	OPT_LAB_LIST,
	OPT_LAB_PORT,
	OPT_LAB_BEHIND,
	OPT_LAB_ISOLATED,
	OPT_COUNT
};

enum linnet_opt_type {
	LINNET_BOOL,
	LINNET_STR,
	LINNET_LIST, /* comma-separated, may be repeated */
	LINNET_UINT16,
	LINNET_INT,
	LINNET_DURATION
};

enum linnet_scope { /* which commands know an option */
	LINNET_GLOBAL = 1,
	LINNET_UP = 2,
	LINNET_LOGIN = 4,
	LINNET_LOGOUT = 8,
	LINNET_STATUS = 16,
	LINNET_SERVICE = 32,
	LINNET_INSTALL = 64,
	LINNET_OTHER = 128,
	LINNET_LAB = 256,
	LINNET_PLAN = 512, /* of the laboratory's networks, for tests */
	LINNET_PEER = 1024
};

struct linnet_opt {
	enum linnet_opt_id id;
	const char *name;
	char letter; /* 0 = none */
	enum linnet_opt_type type;
	const char *arg;    /* name of the value in help */
	const char *preset; /* as shown in help and used; null = empty, false, 0 */
	unsigned scopes;
	bool hidden; /* accepted, not shown */
	const char *help;
};

struct linnet_value {
	const char *text;  /* last text; the preset when not given */
	const char **list; /* LINNET_LIST: null terminated */
	size_t nlist;
	int64_t number; /* bool, integers, duration in ns */
	bool given;     /* by flag or environment */
};

struct linnet_cli;

struct linnet_command {
	const char *words; /* "up", "service install" */
	const char *alias; /* another first word, or null */
	unsigned scope;    /* options beside the global ones */
	const char *args;  /* words behind it in help, null = none */
	size_t max_args;
	const char *brief;                  /* one line */
	const char *text;                   /* paragraph of help and manual */
	int (*run)(struct linnet_cli *cli); /* exit status */
	bool hidden;
};

struct linnet_cli {
	const struct linnet_command *command;
	struct linnet_value values[OPT_COUNT];
	const char *args[4]; /* words behind the command */
	size_t nargs;
	struct arena arena;
	const char *const *environment; /* NAME=value ..., null terminated; borrowed */
};

extern const struct linnet_opt linnet_opts[OPT_COUNT]; /* in the order of the ids */
extern const struct linnet_command linnet_commands[];  /* ends with null words */

/*
 * Finds the command and takes all options and the environment. LN_E_NOTFOUND, LN_E_MALFORMED with
 * what to print after "Error: ". Values of the environment that cannot be read are named in `warn`
 * (one line each) and skipped. Without a command, cli->command is null: print the help.
 */
/* The first of two words, as in `linnet service start`. */
bool linnet_is_group(const char *word);
LN_MUST_CHECK int linnet_cli_parse(struct linnet_cli *cli, int argc, char *const argv[],
				   const char *const *environment, struct str *warn,
				   struct ln_fail *f);
void linnet_cli_fini(struct linnet_cli *cli);

static inline const char *linnet_text(const struct linnet_cli *cli, enum linnet_opt_id id)
{
	return cli->values[id].text;
}

static inline bool linnet_on(const struct linnet_cli *cli, enum linnet_opt_id id)
{
	return cli->values[id].number != 0;
}

static inline bool linnet_given(const struct linnet_cli *cli, enum linnet_opt_id id)
{
	return cli->values[id].given;
}

/* Value of a variable, or null. */
const char *linnet_env(const struct linnet_cli *cli, const char *name);
/* "Error: ..." on standard error; returns 1. */
int linnet_fail(const char *fmt, ...) LN_PRINTF(1, 2);

/* --- texts from the tables (linnet_help.c) ---------------------------------------------------- */

void linnet_help(const struct linnet_command *c, struct str *dst); /* null: of the program */
/* bash, zsh, fish; LN_E_NOTFOUND for another shell. */
LN_MUST_CHECK int linnet_completion(const char *shell, struct str *dst);
void linnet_manual(struct str *dst); /* linnet(1) */

/* --- the commands ----------------------------------------------------------------------------- */

int linnet_run_up(struct linnet_cli *cli);
int linnet_run_down(struct linnet_cli *cli);
int linnet_run_peer_reconnect(struct linnet_cli *cli);
int linnet_run_login(struct linnet_cli *cli);
int linnet_run_logout(struct linnet_cli *cli);
int linnet_run_status(struct linnet_cli *cli);
int linnet_run_version(struct linnet_cli *cli);
int linnet_run_help(struct linnet_cli *cli);
int linnet_run_completion(struct linnet_cli *cli);
int linnet_run_manual(struct linnet_cli *cli);
int linnet_run_service(struct linnet_cli *cli);
int linnet_run_lab(struct linnet_cli *cli);
int linnet_run_lab_plan(struct linnet_cli *cli);
int linnet_run_lab_remove(struct linnet_cli *cli);
/* `up -F`: starts linnetd on a socket of its own, brings it up, stays until a signal. */
int linnet_run_foreground(struct linnet_cli *cli);
