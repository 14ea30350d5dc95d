#pragma once
/*
 * The laboratory in action: `linnet lab` runs the scripts of linnet_lab.h, starts the programs in
 * their namespaces and takes everything down again. One laboratory per process.
 */
#include <sys/types.h>

#include "lib/daemon/daemon_msg.h"

#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_daemon.h"
#include "src/cmd/linnet_lab.h"

#define LINNET_LAB_PROCS_MAX 16
#define LINNET_LAB_FOLDER_MAX 40
#define LINNET_LAB_LIMIT (30 * LN_SEC) /* of a step that should be quick */

struct linnet_lab_agent {
	const struct linnet_lab_site *site;
	char namespace[LINNET_LAB_PREFIX_MAX + LINNET_LAB_NAME_MAX + 4];
	char socket[LINNET_LAB_FOLDER_MAX + 32]; /* unix://... */
	struct linnet_daemon daemon;
	struct arena arena; /* of the status */
	struct daemon_status_response status;
	const struct daemon_peer_state
		*peer;                     /* the other one, in status; null before it is known */
	char overlay[LINNET_LAB_ADDR_MAX]; /* address in the tunnel, "" before it is known */
};

struct linnet_lab {
	const struct linnet_cli *cli;
	bool made_folder, made_namespaces;
	char folder[LINNET_LAB_FOLDER_MAX];
	char prefix[LINNET_LAB_PREFIX_MAX];
	struct linnet_lab_site sites[2];
	struct linnet_lab_agent agents[2];
	pid_t procs[LINNET_LAB_PROCS_MAX]; /* 0: has ended */
	size_t nprocs;
};

/* Root, programs, /dev/net/tun: 0, or what is missing in f. */
LN_MUST_CHECK int linnet_lab_check(struct ln_fail *f);
LN_MUST_CHECK int linnet_lab_start(struct linnet_lab *lab, struct ln_fail *f);
/* Ends what runs, removes namespaces and files; may be called at any time. */
void linnet_lab_end(struct linnet_lab *lab);
/* Runs a script with `sh -e`; what it said, on failure, in f. */
LN_MUST_CHECK int linnet_lab_script(const struct str *script, struct ln_fail *f);
/* The signal that asked for the end, or 0. From linnet_lab_start() on, signals do nothing else. */
int linnet_lab_interrupted(void);
/* Sleeps and says false when a signal came: -EINTR belongs in f then. */
LN_MUST_CHECK bool linnet_lab_sleep(ln_time span);

/*
 * A program in a namespace ("srv", "ha"), output into FOLDER/LOG; its number among lab->procs, or
 * a negative error. It does not hear Ctrl-C and ends with this process.
 */
LN_MUST_CHECK int linnet_lab_spawn(struct linnet_lab *lab, const char *name, const char *log,
				   const char *const argv[], struct ln_fail *f);
/* Waits at most `limit`: the exit status, 128 + signal, -ETIMEDOUT or -EINTR. */
int linnet_lab_wait(struct linnet_lab *lab, int proc, ln_time limit);
/* The same, from start to end, with the output in `text`. */
int linnet_lab_output(struct linnet_lab *lab, const char *name, const char *const argv[],
		      char *text, size_t size);

/* --- linnet_lab_text.c ------------------------------------------------------------------------ */

int linnet_lab_plan(const struct linnet_cli *cli);
int linnet_lab_list(const struct linnet_cli *cli);
