/* `linnet lab plan` and `--list`: what the texts of linnet_lab.h say, as JSON for programs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_lab_run.h"

/* "NAME:NUMBER" */
static bool parse_behind(const char *text, char name[LINNET_LAB_NAME_MAX + 1], unsigned *ret)
{
	const char *colon = strchr(text, ':');
	char *end;
	if (colon == NULL || (size_t)(colon - text) > LINNET_LAB_NAME_MAX)
		return false;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	unsigned long n = strtoul(colon + 1, &end, 10);
	*ret = (unsigned)LN_MIN(n, 1000UL);
	return colon[1] != '\0' && *end == '\0';
}

static int print_json(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return linnet_fail("out of memory");
	puts(text);
	free(text);
	return 0;
}

static json_t *script_of(struct str *script)
{
	json_t *o = json_pack("{s:s}", "script", str_c(script));
	str_fini(script);
	return o;
}

static void add_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, json_string(text));
}

/* The routers that the script makes, from the outside to the inside. */
static json_t *routers_of(const struct linnet_lab_site *s)
{
	json_t *list = json_array();
	if (s->nat->carrier != LINNET_LAB_OPEN && s->behind == NULL)
		json_array_append_new(list, json_sprintf("isp%s", s->name));
	if (s->nat->home != LINNET_LAB_OPEN &&
	    (s->behind == NULL || s->nat->carrier != LINNET_LAB_OPEN))
		json_array_append_new(list, json_sprintf("nat%s", s->name));
	return list;
}

static int plan_site(const struct linnet_cli *cli, const char *prefix)
{
	char behind[LINNET_LAB_NAME_MAX + 1], text[LINNET_LAB_ADDR_MAX];
	const struct linnet_value *nats = &cli->values[OPT_LAB_NAT];
	const char *at = linnet_text(cli, OPT_LAB_BEHIND);
	struct ln_fail f;
	struct str script;
	struct linnet_lab_site s = {
		.name = cli->nargs > 2 ? cli->args[2] : "",
		.number = cli->nargs > 3 ? (unsigned)strtoul(cli->args[3], NULL, 10) : 0,
		.nat = nats->nlist == 1 ? linnet_lab_nat(nats->list[0]) : NULL,
		.port = (uint16_t)cli->values[OPT_LAB_PORT].number,
		.ipv6 = linnet_on(cli, OPT_LAB_IPV6),
		.isolated = linnet_on(cli, OPT_LAB_ISOLATED),
	};
	if (s.nat == NULL)
		return linnet_fail("say the kind of NAT with --nat; linnet lab --list shows them");
	if (at[0] != '\0' && !parse_behind(at, behind, &s.behind_number))
		return linnet_fail("\"%s\" is not NAME:NUMBER of a site", at);
	s.behind = at[0] != '\0' ? behind : NULL;
	if (linnet_lab_site_check(&s, &f) < 0)
		return linnet_fail("%s", f.text);
	str_init(&script, 0);
	linnet_lab_plan_site(prefix, &s, &script);
	json_t *o = script_of(&script);
	linnet_lab_address(&s, text);
	add_text(o, "address", text);
	linnet_lab_address6(&s, text);
	add_text(o, "address6", text);
	linnet_lab_outside(&s, text);
	add_text(o, "outside", text);
	json_object_set_new(o, "routers", routers_of(&s));
	return print_json(o);
}

static int plan_host(const struct linnet_cli *cli, const char *prefix)
{
	unsigned last = cli->nargs > 3 ? (unsigned)strtoul(cli->args[3], NULL, 10) : 0;
	struct str script;
	if (cli->nargs < 4 || !linnet_lab_name_ok(cli->args[2], 14) || last < 2 || last > 254)
		return linnet_fail("say the name of the machine and the last byte of its address");
	str_init(&script, 0);
	linnet_lab_plan_host(prefix, cli->args[2], last, linnet_on(cli, OPT_LAB_IPV6), &script);
	return print_json(script_of(&script));
}

/* plan PREFIX segment|remove, plan PREFIX host NAME BYTE, plan PREFIX site NAME NUMBER */
int linnet_lab_plan(const struct linnet_cli *cli)
{
	const char *prefix = cli->nargs > 0 ? cli->args[0] : "";
	const char *what = cli->nargs > 1 ? cli->args[1] : "";
	struct str script;
	if (!linnet_lab_name_ok(prefix, LINNET_LAB_PREFIX_MAX))
		return linnet_fail(
			"\"%.40s\" is no prefix: up to %d lower-case letters, digits and -", prefix,
			LINNET_LAB_PREFIX_MAX);
	if (strcmp(what, "site") == 0)
		return plan_site(cli, prefix);
	if (strcmp(what, "host") == 0)
		return plan_host(cli, prefix);
	str_init(&script, 0);
	if (strcmp(what, "segment") == 0)
		linnet_lab_plan_segment(prefix, &script);
	else if (strcmp(what, "remove") == 0)
		linnet_lab_plan_remove(prefix, &script);
	else
		return linnet_fail("what to plan is one of segment, host, site, remove");
	return print_json(script_of(&script));
}

int linnet_lab_list(const struct linnet_cli *cli)
{
	if (!linnet_on(cli, OPT_JSON)) {
		for (const struct linnet_lab_nat *n = linnet_lab_nats; n->name != NULL; n++)
			printf("%-26s%s\n", n->name, n->help);
		return 0;
	}
	json_t *list = json_array();
	for (const struct linnet_lab_nat *n = linnet_lab_nats; n->name != NULL; n++)
		json_array_append_new(list, json_pack("{s:s,s:s,s:b}", "name", n->name, "help",
						      n->help, "hairpin", n->hairpin));
	return print_json(list);
}
