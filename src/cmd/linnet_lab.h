#pragma once
/*
 * The laboratory of `linnet lab` as text: kinds of NAT, and the shell scripts that build a topology
 * of network namespaces with ip(8) and nft(8). Nothing here touches the machine. The command runs
 * the scripts; the tests take the same ones from `linnet lab plan` (decision 0006).
 *
 *     inet: bridge br0, 198.51.100.0/24 and 2001:db8:51::/64; routes IPv6
 *       |             |               |
 *      srv .10 .11   nata .2N        (ispb .2N -- natb)     routers: `wan` outside, `lan` inside
 *                     |               |
 *                    ha 10.N.0.2     hb 10.M.0.2            machines: `eth0`
 *
 * Names of namespaces are PREFIX and the name in the drawing.
 */
#include "lib/base/str.h"

#define LINNET_LAB_PUBLIC "198.51.100"
#define LINNET_LAB_SERVER LINNET_LAB_PUBLIC ".10"
#define LINNET_LAB_PREFIX_MAX 24
#define LINNET_LAB_NAME_MAX 8
#define LINNET_LAB_SITES_MAX 60 /* numbers 1 to 60: the last byte of public addresses */
#define LINNET_LAB_PORT 51820

/* What one router does; mapping and filtering in the words of RFC 4787 (spec 7.1). */
enum linnet_lab_rules {
	LINNET_LAB_OPEN,    /* no router */
	LINNET_LAB_CONE,    /* one mapping, lets everybody in */
	LINNET_LAB_ADDRESS, /* one mapping, lets in whom the host has sent to */
	LINNET_LAB_PORTS,   /* one mapping, lets in the address and port it has sent to */
	LINNET_LAB_SYMMETRIC,
	LINNET_LAB_NO_UDP
};

struct linnet_lab_nat {
	const char *name;
	enum linnet_lab_rules home, carrier; /* carrier: LINNET_LAB_OPEN when there is none */
	bool hairpin; /* the outermost router turns packets to its own public address around */
	const char *help;
};

extern const struct linnet_lab_nat linnet_lab_nats[]; /* ends with a null name */

/* Null when there is none of that name. */
const struct linnet_lab_nat *linnet_lab_nat(const char *name);

struct linnet_lab_site {
	const char *name; /* lower-case letters and digits, at most LINNET_LAB_NAME_MAX */
	unsigned number;  /* 1 to LINNET_LAB_SITES_MAX, each once */
	const struct linnet_lab_nat *nat;
	uint16_t port; /* the machine's WireGuard port, for mappings that are fixed */
	bool ipv6;     /* the machine has IPv6 too, behind a stateful firewall */
	/*
	 * Behind the router (with a carrier: behind the carrier's) of this site, which has been
	 * made and is of the same kind; null: behind one of its own.
	 */
	const char *behind;
	unsigned behind_number;
	bool isolated; /* the router forwards nothing between its two inner networks */
};

bool linnet_lab_name_ok(const char *name, size_t max);
/* The name and number of a site that others do not know yet; LN_E_MALFORMED with the reason. */
LN_MUST_CHECK int linnet_lab_site_check(const struct linnet_lab_site *s, struct ln_fail *f);

/* --- scripts for `sh -e`; they end at the first command that fails -----------------------------
 */

/* The public segment and the server's machine. */
void linnet_lab_plan_segment(const char *prefix, struct str *dst);
/* A machine on the public segment. last: byte of its address. */
void linnet_lab_plan_host(const char *prefix, const char *name, unsigned last, bool ipv6,
			  struct str *dst);
void linnet_lab_plan_site(const char *prefix, const struct linnet_lab_site *s, struct str *dst);
/* Ends every process in the namespaces of the prefix and removes them; never fails. */
void linnet_lab_plan_remove(const char *prefix, struct str *dst);
/* The same for every laboratory of `linnet lab` (lab<PID>-) whose process is gone. */
void linnet_lab_plan_remove_stale(struct str *dst);

/* --- facts ------------------------------------------------------------------------------------ */

#define LINNET_LAB_ADDR_MAX 40

void linnet_lab_address(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX]);
/* "" without IPv6. */
void linnet_lab_address6(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX]);
/* The public address the machine is seen by. */
void linnet_lab_outside(const struct linnet_lab_site *s, char dst[LINNET_LAB_ADDR_MAX]);
/* The two sites and what is between them, in lines of text. */
void linnet_lab_draw(const struct linnet_lab_site sites[2], struct str *dst);
