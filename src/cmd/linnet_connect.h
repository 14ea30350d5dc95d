#pragma once
/* The steps of `up` on a connection that is open: used with the service's daemon and with our own.
 */
#include "src/cmd/linnet_cli.h"
#include "src/cmd/linnet_daemon.h"

/* Prints and returns the exit status. */
int linnet_connect_up(struct linnet_cli *cli, struct linnet_daemon *d);
