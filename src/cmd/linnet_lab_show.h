#pragma once
/* One run of `linnet lab`: what is known of it, and how it is told (linnet_lab_show.c). */
#include "src/cmd/linnet_lab_run.h"

#define LINNET_LAB_PATH_LEN 1024

struct linnet_lab_show {
	struct linnet_lab lab;
	bool json;
	char server[LINNET_LAB_PATH_LEN], daemon[LINNET_LAB_PATH_LEN], cli[LINNET_LAB_PATH_LEN];
	char key[128];
	ln_time began;     /* both `up` */
	double first_ping; /* seconds; negative: none */
	double direct;     /* until both had a direct path; negative: never */
	double gbits;      /* negative: not measured */
	bool pings[2];     /* answered, from each side */
	int ping_proc;
};

/* What a person follows; nothing with --json. */
void linnet_lab_tell(const struct linnet_lab_show *s, const char *fmt, ...) LN_PRINTF(2, 3);
/* -EINTR, with the word for it. */
int linnet_lab_stopped(struct ln_fail *f);

/* How each side sees the other, and why. */
void linnet_lab_tell_result(const struct linnet_lab_show *s);
/* `linnet status --detail` of both machines. 0, -EINTR, -EIO. */
int linnet_lab_show_status(struct linnet_lab_show *s, struct ln_fail *f);
/* All of it as one line of JSON. */
void linnet_lab_print_result(const struct linnet_lab_show *s);
/* Until Ctrl-C: the way in, for a person who looks around. */
void linnet_lab_keep(const struct linnet_lab_show *s);
