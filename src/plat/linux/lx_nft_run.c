#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ev/ev.h"
#include "src/plat/linux/lx_nft.h"

#define RUN_LIMIT (30 * LN_SEC) /* a 10,000-element set takes 27 ms; a busy machine longer */
#define OUTPUT_MAX 4096
#define LISTING_MAX ((size_t)4 << 20)

/* Not everybody's PATH holds the system programs. */
static int run_nft(const char *const args[4], struct slice input, char *output, size_t size)
{
	const char *argv[] = { "nft", args[0], args[1], args[2], args[3], NULL };
	int status = ev_child_run_sync(argv, input, output, size, RUN_LIMIT);
	if (status == -ENOENT || status == 127) {
		argv[0] = "/usr/sbin/nft";
		status = ev_child_run_sync(argv, input, output, size, RUN_LIMIT);
	}
	return status == 127 ? -ENOENT : status;
}

static int no_program(struct ln_fail *f)
{
	return ln_fail(f, -ENOENT,
		       "the program nft is missing: install the package nftables, or start with "
		       "--disable-firewall");
}

/* What nft said, as one error a person can act on. */
static int explain(int status, char *output, struct ln_fail *f)
{
	if (status == -ENOENT)
		return no_program(f);
	if (status < 0)
		return ln_fail(f, LN_E_TIMEOUT, "nft ended with signal %d", -status);
	if (strstr(output, "Operation not permitted") != NULL)
		return ln_fail(
			f, -EPERM,
			"nft may not change the packet filter: the capability CAP_NET_ADMIN is "
			"missing (run as root)");
	if (strstr(output, "Operation not supported") != NULL ||
	    strstr(output, "Protocol not supported") != NULL ||
	    strstr(output, "Address family not supported") != NULL)
		return ln_fail(
			f, LN_E_UNSUPPORTED,
			"this kernel has no nf_tables: load the module nf_tables, or start with "
			"--disable-firewall");
	output[strcspn(output, "\n")] = '\0';
	return ln_fail(f, LN_E_INTERNAL, "nft failed with status %d: %.160s", status, output);
}

int lx_nft_run(const struct str *text, struct ln_fail *f)
{
	static const char *const args[4] = { "-j", "-f", "-", NULL };
	char output[OUTPUT_MAX] = "";
	int status = run_nft(args, str_slice(text), output, sizeof(output));
	return status == 0 ? 0 : explain(status, output, f);
}

static unsigned count_handles(const char *text)
{
	unsigned n = 0;
	for (const char *p = text; (p = strstr(p, "# handle ")) != NULL; p++)
		n++;
	return n;
}

static int check_family(const char *family, const char *table, const char *mark, unsigned handles,
			struct ln_fail *f)
{
	char name[96], comment[64];
	snprintf(name, sizeof(name), "table %s %s", family, table);
	snprintf(comment, sizeof(comment), "\"linnet %s\"", mark);
	/* nft reads a command of several words from its standard input as well. */
	char command[128];
	snprintf(command, sizeof(command), "list %s\n", name);
	static const char *const args[4] = { "-atn", "-f", "-", NULL };
	/* Not cleared: an idle agent would keep megabytes for the few pages that are written. */
	char *out = ln_realloc(NULL, LISTING_MAX);
	out[0] = '\0';
	int status = run_nft(args, slice_str(command), out, LISTING_MAX);
	int r = 0;
	if (status == -ENOENT)
		r = no_program(f);
	else if (status == 1 && strstr(out, "No such file or directory") != NULL)
		r = ln_fail(f, LN_E_STALE, "%s is gone", name);
	else if (status != 0)
		r = explain(status, out, f);
	else if (strstr(out, comment) == NULL || count_handles(out) != handles)
		r = ln_fail(f, LN_E_STALE, "%s was changed by somebody else", name);
	free(out);
	return r;
}

int lx_nft_check(const char *table, bool ipv6, const struct lx_nft_facts *facts, struct ln_fail *f)
{
	int r = check_family("ip", table, facts->mark, facts->handles[0], f);
	if (r == 0 && ipv6)
		r = check_family("ip6", table, facts->mark, facts->handles[1], f);
	return r;
}
