#pragma once
/* What the command line knows about its user and machine: files in the home folder, names. */
#include "src/cmd/linnet_cli.h"

#define LINNET_SOCKET_FOLDER "/var/run/netbird"
#define LINNET_PROFILE_MAX 192

const char *linnet_platform(void); /* linux/amd64, in Go's words */
const char *linnet_username(void); /* of the effective user; static storage */
bool linnet_is_desktop(const struct linnet_cli *cli);
/* The profile id stored in the home folder; "default" without. */
void linnet_profile_read(const struct linnet_cli *cli, char dst[LINNET_PROFILE_MAX]);
void linnet_profile_write(const struct linnet_cli *cli, const char *id);
/* E-mail of the last login with a profile: a hint for the login page. "" when unknown. */
void linnet_email_read(const struct linnet_cli *cli, const char *id, char dst[LINNET_PROFILE_MAX]);
void linnet_email_write(const struct linnet_cli *cli, const char *id, const char *email);
/* Path of another program of ours: beside this one, in ../sbin, or by PATH (the bare name). */
void linnet_sibling(const char *name, char *dst, size_t size);
