#pragma once
/*
 * The agent: profiles, their networks, the host below them and the local API above.
 *
 * Which networks are up: by default one, that of the active profile; bringing another profile up
 * takes the first one down, as NetBird does. With `multi` every profile that was brought up stays
 * up beside the others (own interface, port, filter table and keys); `Down`, `Status` and `Logout`
 * without a profile name speak of the active profile, which SwitchProfile changes. Which ones were
 * up is noted in the state folder and true again after the next start.
 *
 * Owner: linnetd, or a command line that runs the engine in its own process.
 */
#include "lib/base/err.h"
#include "lib/daemon/daemon_msg.h"

#include "src/agent/agent_network.h"
#include "src/agent/agent_profile.h"
#include "src/ev/ev.h"

#define AGENT_STATE_DIR "/var/lib/netbird"
#define AGENT_SOCKET "/var/run/netbird.sock"

struct agent_options {
	const char *state_dir;    /* null: AGENT_STATE_DIR */
	const char *config;       /* file of the default profile; null: in the state folder */
	const char *socket;       /* path of the local API; null: none */
	const char *filter_table; /* null: "netbird" */
	uint32_t mark_base;       /* low 24 bits of the marks of all sockets; 0 none */
	const char *log_file;     /* for GetConfig only; null: "" */
	bool multi;
	int lazy;           /* 1, 0, or -1: as the server says */
	ln_time idle_after; /* lazy peers sleep after so long without data; 0: 15 min */
	enum agent_portmap portmap;
	bool no_kernel;              /* WireGuard in user space even where the kernel has it */
	const char *relay_transport; /* NB_RELAY_TRANSPORT; null: auto */
	bool redirect;               /* relayed peers of the kernel by XDP */
};

struct agent;
/* Removes what a crash left on the host. -errno, LN_E_* with the reason in words. */
LN_MUST_CHECK int agent_new(struct ev_loop *l, const struct agent_options *o, struct agent **ret,
			    struct ln_fail *f);
/* Listens, and connects the active profile when it has logged in before and may connect by itself.
 */
LN_MUST_CHECK int agent_start(struct agent *a, struct ln_fail *f);
/* Takes every network down and closes the API; done(arg) when that is over. */
void agent_stop(struct agent *a, void (*done)(void *arg), void *arg);
void agent_free(struct agent *a);

struct agent_profiles *agent_profiles(struct agent *a);
const struct agent_options *agent_options(const struct agent *a);
struct ev_loop *agent_loop(struct agent *a);
/* The network of a profile, made when it is not there yet. As agent_conf_load(). */
LN_MUST_CHECK int agent_network_of(struct agent *a, const struct agent_profile *p,
				   struct agent_network **ret, struct ln_fail *f);
/* That of the active profile. */
LN_MUST_CHECK int agent_active_network(struct agent *a, struct agent_network **ret,
				       struct ln_fail *f);
/* A login or up names a profile: without `multi` it is the active one from then on (spec agent 1.6
 * `Login`), with it nothing changes. As agent_switch(). */
LN_MUST_CHECK int agent_choose(struct agent *a, const struct agent_profile *p, struct ln_fail *f);
/* Brings n up; without `multi` the others go down first. */
void agent_bring_up(struct agent *a, struct agent_network *n);
/* Takes n down, for good: the next start leaves it down too when several may be up. LN_E_STATE. */
int agent_take_down(struct agent *a, struct agent_network *n);
/* As agent_profiles_rename(); the network of the profile, if there is one, knows it too. */
LN_MUST_CHECK int agent_rename(struct agent *a, const struct agent_profile *p, const char *name,
			       struct ln_fail *f);
/* Makes p the active profile; without `multi` another network that is up goes down. -errno. */
LN_MUST_CHECK int agent_switch(struct agent *a, const struct agent_profile *p, struct ln_fail *f);
/* Takes the network of a profile down and forgets it; the file stays. */
void agent_drop_network(struct agent *a, const struct agent_profile *p);
