/*
 * linnet-upnp: one UDP port mapped or given back at a UPnP gateway. Reads XML and HTTP from the
 * local network, so it is a process of its own, as nobody, with little time and few descriptors.
 *
 *   linnet-upnp add PORT SECONDS      prints "mapped ADDRESS PORT URL"
 *   linnet-upnp delete PORT URL       URL as printed
 *
 * Exit status 0 when done, 1 when the gateway did not, 2 on wrong use.
 */
#include <grp.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SEARCH_MS 2000
#define NOBODY 65534
#define TRIES 4        /* outer ports, when one is taken */
#define NAME "NetBird" /* of the mapping, as upstream (spec signal-and-connection 3.4) */

enum { /* error codes of WANIPConnection */
	CONFLICT = 718,
	ONLY_PERMANENT = 725
};

/* Everything after this has no privileges and cannot get any. */
static int drop_privileges(void)
{
	struct rlimit cpu = { 5, 5 }, files = { 32, 32 }, size = { 0, 0 };
	if (setrlimit(RLIMIT_CPU, &cpu) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    setrlimit(RLIMIT_FSIZE, &size) < 0)
		return -1;
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* The outer port that was mapped, 0 for none. */
static unsigned add(const struct UPNPUrls *urls, const struct IGDdatas *data, const char *lan,
		    unsigned port, const char *seconds)
{
	char inner[8], outer[8];
	unsigned want = port;
	snprintf(inner, sizeof(inner), "%u", port);
	for (int i = 0; i < TRIES; i++) {
		snprintf(outer, sizeof(outer), "%u", want);
		int r = UPNP_AddPortMapping(urls->controlURL, data->first.servicetype, outer, inner,
					    lan, NAME, "UDP", NULL, seconds);
		if (r == ONLY_PERMANENT)
			r = UPNP_AddPortMapping(urls->controlURL, data->first.servicetype, outer,
						inner, lan, NAME, "UDP", NULL, "0");
		if (r == UPNPCOMMAND_SUCCESS)
			return want;
		if (r != CONFLICT)
			break;
		want = 1024 + (want + 7919) % 64000;
	}
	return 0;
}

static int run_add(unsigned port, const char *seconds)
{
	struct UPNPUrls urls = { 0 };
	struct IGDdatas data = { 0 };
	char lan[64] = "", wan[64] = "";
	int error = 0, status = 1;
	struct UPNPDev *list =
		upnpDiscover(SEARCH_MS, NULL, NULL, UPNP_LOCAL_PORT_ANY, 0, 2, &error);
	/* 1: a connected gateway; 2: one that says it is not. 3: no gateway at all. */
	int kind = list != NULL ? UPNP_GetValidIGD(list, &urls, &data, lan, sizeof(lan)) : 0;
	if (kind == 1 || kind == 2) {
		unsigned outer = add(&urls, &data, lan, port, seconds);
		if (UPNP_GetExternalIPAddress(urls.controlURL, data.first.servicetype, wan) !=
			    UPNPCOMMAND_SUCCESS ||
		    wan[0] == '\0')
			strcpy(wan, "0.0.0.0");
		if (outer != 0) {
			printf("mapped %s %u %s\n", wan, outer, urls.rootdescURL);
			status = fflush(stdout) == 0 ? 0 : 1;
		}
	}
	if (kind != 0)
		FreeUPNPUrls(&urls);
	freeUPNPDevlist(list);
	return status;
}

static int run_delete(unsigned port, const char *url)
{
	struct UPNPUrls urls = { 0 };
	struct IGDdatas data = { 0 };
	char lan[64], outer[8];
	snprintf(outer, sizeof(outer), "%u", port);
	if (UPNP_GetIGDFromUrl(url, &urls, &data, lan, sizeof(lan)) != 1)
		return 1;
	int r = UPNP_DeletePortMapping(urls.controlURL, data.first.servicetype, outer, "UDP", NULL);
	FreeUPNPUrls(&urls);
	return r == UPNPCOMMAND_SUCCESS ? 0 : 1;
}

int main(int argc, char **argv)
{
	unsigned long port = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	if (port == 0 || port > 65535)
		return 2;
	if (drop_privileges() < 0)
		return 1;
	int status = 2;
	if (strcmp(argv[1], "add") == 0)
		status = run_add((unsigned)port, argv[3]);
	else if (strcmp(argv[1], "delete") == 0)
		status = run_delete((unsigned)port, argv[3]);
	/* A leak checker cannot look at a process that has given up its rights. */
	_exit(status);
}
