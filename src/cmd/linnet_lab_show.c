#include "src/cmd/linnet_lab_show.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_status.h"

void linnet_lab_tell(const struct linnet_lab_show *s, const char *fmt, ...)
{
	va_list ap;
	if (s->json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fflush(stdout);
}

int linnet_lab_stopped(struct ln_fail *f)
{
	return ln_fail(f, -EINTR, "interrupted");
}

static const char *path_word(const struct linnet_lab_agent *a)
{
	if (a->peer == NULL || !linnet_status_is_connected(a->peer))
		return "none";
	return a->peer->relayed ? "relayed" : "direct";
}

static const char *text_or(const char *text, const char *other)
{
	return text != NULL && text[0] != '\0' ? text : other;
}

void linnet_lab_tell_result(const struct linnet_lab_show *s)
{
	linnet_lab_tell(s, "\n");
	for (size_t i = 0; i < 2; i++) {
		const struct linnet_lab_agent *a = &s->lab.agents[i];
		linnet_lab_tell(s, "   %s sees %s: %s\n", a->site->name, s->lab.sites[1 - i].name,
				path_word(a));
		if (a->peer != NULL)
			linnet_lab_tell(s, "      %s\n",
					text_or(a->peer->reason, "no reason given"));
	}
}

int linnet_lab_show_status(struct linnet_lab_show *s, struct ln_fail *f)
{
	enum {
		TEXT = 1 << 14
	};

	char *text = ln_alloc(TEXT);
	int r = 0;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		const struct linnet_lab_agent *a = &s->lab.agents[i];
		const char *argv[] = { s->cli,   "--daemon-addr", a->socket,
				       "status", "--detail",      NULL };
		char name[16];
		snprintf(name, sizeof(name), "h%s", a->site->name);
		r = linnet_lab_output(&s->lab, name, argv, text, TEXT);
		if (linnet_lab_interrupted() != 0)
			r = linnet_lab_stopped(f);
		else if (r != 0)
			r = ln_fail(f, -EIO, "`linnet status` failed on %s", a->site->name);
		else
			linnet_lab_tell(s, "\nlinnet status --detail, on %s:\n%s", a->site->name,
					text);
	}
	free(text);
	return r;
}

void linnet_lab_print_result(const struct linnet_lab_show *s)
{
	json_t *sides = json_array();
	for (size_t i = 0; i < 2; i++) {
		const struct linnet_lab_agent *a = &s->lab.agents[i];
		const struct daemon_peer_state *p = a->peer;
		json_array_append_new(
			sides,
			json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "nat", a->site->nat->name,
				  "path", path_word(a), "local",
				  text_or(p != NULL ? p->local_cand_type : NULL, ""), "remote",
				  text_or(p != NULL ? p->remote_cand_type : NULL, ""), "endpoint",
				  text_or(p != NULL ? p->remote_cand_ep : NULL, ""), "reason",
				  text_or(p != NULL ? p->reason : NULL, ""), "pings_answered",
				  s->pings[i]));
	}
	json_t *o = json_pack("{s:o,s:o,s:o,s:o}", "sides", sides, "first_ping_s",
			      s->first_ping < 0 ? json_null() : json_real(s->first_ping),
			      "direct_s", s->direct < 0 ? json_null() : json_real(s->direct),
			      "gbit_per_s", s->gbits < 0 ? json_null() : json_real(s->gbits));
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(4));
	puts(text != NULL ? text : "null");
	fflush(stdout);
	free(text);
	json_decref(o);
}

void linnet_lab_keep(const struct linnet_lab_show *s)
{
	printf("\nThe laboratory stays until Ctrl-C. Logs: %s. To look around:\n", s->lab.folder);
	for (size_t i = 0; i < 2; i++)
		printf("   ip netns exec %sh%s %s --daemon-addr %s status --detail\n",
		       s->lab.prefix, s->lab.sites[i].name, s->cli, s->lab.agents[i].socket);
	printf("   ip netns exec %sinet tcpdump -ni br0 udp\n", s->lab.prefix);
	fflush(stdout);
	while (linnet_lab_sleep(LN_SEC)) {
	}
}
