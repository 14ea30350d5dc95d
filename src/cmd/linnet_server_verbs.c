/* The verbs of `linnet-server admin` and how their words become a request. */
#include <stdlib.h>
#include <string.h>

#include "src/cmd/linnet_server_admin.h"
#include "src/svc/svc_opts.h"

#define MAX_OPTS 32

#define WORD(j, a, h)                                                                              \
 {                                                                                                 \
  .json = (j), .arg = (a), .required = true, .help = (h)                                           \
 }
#define OPT(j, o, a, t, h)                                                                         \
 {                                                                                                 \
  .json = (j), .opt = (o), .arg = (a), .type = (t), .help = (h)                                    \
 }
#define RULE(j, o, a, t, h)                                                                        \
 {                                                                                                 \
  .json = (j), .opt = (o), .arg = (a), .type = (t), .rule = true, .help = (h)                      \
 }

static const struct linnet_server_arg key_create[] = {
	{ .json = "name", .opt = "name", .arg = "NAME", .required = true, .help = "its name" },
	OPT("reusable", "reusable", NULL, LINNET_SERVER_SWITCH, "for any number of machines"),
	OPT("expires", "expires", "TIME", LINNET_SERVER_DURATION,
	    "valid for so long: 24h (default), 30d; 0 for ever"),
	OPT("usage_limit", "usage-limit", "N", LINNET_SERVER_COUNT,
	    "for at most N machines; 0 for any number"),
	OPT("ephemeral", "ephemeral", NULL, LINNET_SERVER_SWITCH,
	    "its peers are deleted 10 minutes after they leave"),
	OPT("groups", "group", "GROUP", LINNET_SERVER_LIST, "its peers join this group"),
};

static const struct linnet_server_arg key_word[] = { WORD("key", "KEY", "id or name") };
static const struct linnet_server_arg peer_word[] = {
	WORD("peer", "PEER", "id, name, overlay address or public key"),
};
static const struct linnet_server_arg peer_rename[] = {
	WORD("peer", "PEER", "id, name, overlay address or public key"),
	WORD("name", "NAME", "its new name"),
};
static const struct linnet_server_arg group_create[] = {
	WORD("name", "NAME", "its name"),
	OPT("peers", "peer", "PEER", LINNET_SERVER_LIST, "a first member"),
};
static const struct linnet_server_arg group_word[] = { WORD("group", "GROUP", "id or name") };
static const struct linnet_server_arg group_rename[] = {
	WORD("group", "GROUP", "id or name"),
	WORD("name", "NAME", "its new name"),
};
static const struct linnet_server_arg group_peer[] = {
	WORD("group", "GROUP", "id or name"),
	WORD("peer", "PEER", "id, name, overlay address or public key"),
};
static const struct linnet_server_arg policy_word[] = { WORD("policy", "POLICY", "id or name") };

#define POLICY_RULE_ROWS                                                                           \
 RULE("action", "action", "accept|drop", LINNET_SERVER_TEXT, "what happens to the traffic"),       \
	 RULE("bidirectional", "one-way", NULL, LINNET_SERVER_OFF,                                 \
	      "only from the sources to the destinations"),                                        \
	 RULE("protocol", "protocol", "all|tcp|udp|icmp", LINNET_SERVER_TEXT, "its protocol"),     \
	 RULE("ports", "port", "PORT[-PORT]", LINNET_SERVER_LIST, "a port or range"),              \
	 RULE("sources", "source", "GROUP", LINNET_SERVER_LIST, "a group it comes from"),          \
	 RULE("destinations", "destination", "GROUP", LINNET_SERVER_LIST, "a group it goes to"),   \
	 RULE("source_peer", "source-peer", "PEER", LINNET_SERVER_TEXT,                            \
	      "the one peer it comes from"),                                                       \
	 RULE("destination_peer", "destination-peer", "PEER", LINNET_SERVER_TEXT,                  \
	      "the one peer it goes to"),                                                          \
	 OPT("rules", "rules", "FILE", LINNET_SERVER_RULES,                                        \
	     "rules from a file: a JSON list (- for standard input)")

static const struct linnet_server_arg policy_create[] = {
	{ .json = "name", .opt = "name", .arg = "NAME", .required = true, .help = "its name" },
	OPT("description", "description", "TEXT", LINNET_SERVER_TEXT, "a note"),
	OPT("enabled", "disabled", NULL, LINNET_SERVER_OFF, "without effect for now"),
	POLICY_RULE_ROWS,
};
static const struct linnet_server_arg policy_edit[] = {
	WORD("policy", "POLICY", "id or name"),
	OPT("name", "name", "NAME", LINNET_SERVER_TEXT, "its new name"),
	OPT("description", "description", "TEXT", LINNET_SERVER_TEXT, "a note"),
	POLICY_RULE_ROWS,
};

static const struct linnet_server_arg account_edit[] = {
	{ .json = "lazy_connections",
	  .opt = "lazy-connections",
	  .arg = "on|off",
	  .required = true,
	  .help = "connect at the first packet, or at once and for good" },
};

#define VERB(n, v, a, h)                                                                           \
 {                                                                                                 \
  .noun = (n), .verb = (v), .args = (a), .nargs = LN_COUNT(a), .help = (h)                         \
 }
#define PLAIN(n, v, h)                                                                             \
 {                                                                                                 \
  .noun = (n), .verb = (v), .help = (h)                                                            \
 }

const struct linnet_server_verb linnet_server_verbs[] = {
	VERB("setup-key", "create", key_create, "make a key that lets machines join"),
	PLAIN("setup-key", "list", "show all keys, masked"),
	VERB("setup-key", "revoke", key_word, "let nobody join with a key any more"),
	VERB("setup-key", "delete", key_word, "forget a key"),
	PLAIN("peer", "list", "show all peers"),
	VERB("peer", "delete", peer_word, "remove a peer from the network"),
	VERB("peer", "rename", peer_rename, "give a peer another name"),
	PLAIN("group", "list", "show all groups"),
	VERB("group", "create", group_create, "make a group"),
	VERB("group", "rename", group_rename, "give a group another name"),
	VERB("group", "delete", group_word, "remove a group"),
	VERB("group", "add-peer", group_peer, "put a peer into a group"),
	VERB("group", "remove-peer", group_peer, "take a peer out of a group"),
	PLAIN("policy", "list", "show all policies"),
	VERB("policy", "show", policy_word, "show one policy with its rules"),
	VERB("policy", "create", policy_create, "make a policy with one rule, or rules of a file"),
	VERB("policy", "edit", policy_edit, "change a policy; rule options replace its rules"),
	VERB("policy", "enable", policy_word, "switch a policy on"),
	VERB("policy", "disable", policy_word, "switch a policy off"),
	VERB("policy", "delete", policy_word, "remove a policy"),
	PLAIN("account", "show", "show the network and its counts"),
	VERB("account", "edit", account_edit, "change what holds for the whole network"),
};

const size_t linnet_server_nverbs = LN_COUNT(linnet_server_verbs);

/* --- words into a request ---------------------------------------------------------------------*/

/* "24h", "30d", "0": seconds. A bare number has no unit and would be guessed wrong. */
static int parse_seconds(const char *text, json_int_t *ret)
{
	char *end;
	ln_time t;
	if (strcmp(text, "0") == 0) {
		*ret = 0;
		return 0;
	}
	long days = strtol(text, &end, 10);
	if (end != text && strcmp(end, "d") == 0 && days > 0 && days <= 36500) {
		*ret = (json_int_t)days * 86400;
		return 0;
	}
	if (*end == '\0' || svc_conf_parse_duration(text, &t) < 0 || t < LN_SEC)
		return LN_E_MALFORMED;
	*ret = t / LN_SEC;
	return 0;
}

static int parse_count(const char *text, json_int_t *ret)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (end == text || *end != '\0' || n < 0 || n > INT32_MAX)
		return LN_E_MALFORMED;
	*ret = n;
	return 0;
}

static int bad_value(const struct linnet_server_arg *a, const char *value, const char *allowed,
		     struct ln_fail *f)
{
	return ln_fail(f, LN_E_MALFORMED, "%s%s: \"%.60s\" is not allowed; allowed: %s",
		       a->opt != NULL ? "--" : "", a->opt != NULL ? a->opt : a->arg, value,
		       allowed);
}

static int read_rules(const char *path, json_t **ret, struct ln_fail *f)
{
	json_error_t e;
	json_t *rules = strcmp(path, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &e)
					       : json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	if (rules == NULL)
		return ln_fail(f, LN_E_MALFORMED, "%.80s:%d: %.100s", path, e.line, e.text);
	if (!json_is_array(rules)) {
		json_decref(rules);
		return ln_fail(f, LN_E_MALFORMED, "%.80s: a JSON list of rules is wanted", path);
	}
	*ret = rules;
	return 0;
}

/* The value of one argument as JSON; null with the reason in f. */
static json_t *argument(const struct linnet_server_arg *a, const char *value, struct ln_fail *f)
{
	json_int_t n;
	json_t *j = NULL;
	bool yes = strcmp(value, "true") == 0;
	switch (a->type) {
	case LINNET_SERVER_TEXT:
	case LINNET_SERVER_LIST:
		j = json_string(value);
		if (j == NULL)
			bad_value(a, "(not UTF-8)", "UTF-8 text", f);
		return j;
	case LINNET_SERVER_SWITCH:
		return json_boolean(yes);
	case LINNET_SERVER_OFF:
		return json_boolean(!yes);
	case LINNET_SERVER_COUNT:
		if (parse_count(value, &n) == 0)
			return json_integer(n);
		bad_value(a, value, "a whole number from 0", f);
		return NULL;
	case LINNET_SERVER_DURATION:
		if (parse_seconds(value, &n) == 0)
			return json_integer(n);
		bad_value(a, value, "a time such as 24h, 90m or 30d; 0 for ever", f);
		return NULL;
	case LINNET_SERVER_RULES:
		return read_rules(value, &j, f) == 0 ? j : NULL;
	}
	return NULL;
}

/* The object an argument goes into: args, or the one rule inside. */
static json_t *place(const struct linnet_server_arg *a, json_t *args)
{
	if (!a->rule)
		return args;
	json_t *rules = json_object_get(args, "rules");
	if (rules == NULL) {
		rules = json_array();
		json_object_set_new(args, "rules", rules);
		json_array_append_new(rules, json_object());
	}
	return json_array_get(rules, 0);
}

/* `rules` says where rules came from so far: 0 nowhere, 'f' a file, 'o' options. */
static int put(const struct linnet_server_arg *a, const char *value, json_t *args, char *rules,
	       struct ln_fail *f)
{
	char from = a->rule ? 'o' : a->type == LINNET_SERVER_RULES ? 'f' : '\0';
	if (from != '\0' && *rules != '\0' && (from == 'f' || *rules == 'f'))
		return ln_fail(f, LN_E_MALFORMED,
			       "--rules stands for all rules: give it once, without rule options");
	json_t *j = argument(a, value, f);
	if (j == NULL)
		return LN_E_MALFORMED;
	if (from != '\0')
		*rules = from;
	json_t *at = place(a, args);
	if (a->type != LINNET_SERVER_LIST) {
		json_object_set_new(at, a->json, j);
		return 0;
	}
	json_t *list = json_object_get(at, a->json);
	if (list == NULL) {
		list = json_array();
		json_object_set_new(at, a->json, list);
	}
	json_array_append_new(list, j);
	return 0;
}

static const struct linnet_server_arg *find_opt(const struct linnet_server_verb *v,
						const char *name)
{
	for (size_t i = 0; i < v->nargs; i++)
		if (v->args[i].opt != NULL && strcmp(v->args[i].opt, name) == 0)
			return &v->args[i];
	return NULL;
}

static const struct linnet_server_arg *nth_word(const struct linnet_server_verb *v, size_t n)
{
	for (size_t i = 0; i < v->nargs; i++)
		if (v->args[i].opt == NULL && n-- == 0)
			return &v->args[i];
	return NULL;
}

static int all_there(const struct linnet_server_verb *v, const json_t *args, struct ln_fail *f)
{
	for (size_t i = 0; i < v->nargs; i++) {
		const struct linnet_server_arg *a = &v->args[i];
		if (a->required && json_object_get(args, a->json) == NULL)
			return ln_fail(f, LN_E_MALFORMED, "%s %s wants %s%s%s", v->noun, v->verb,
				       a->opt != NULL ? "--" : "", a->opt != NULL ? a->opt : "",
				       a->opt != NULL ? " (see --help)" : a->arg);
	}
	return 0;
}

static size_t all_opts(const struct linnet_server_verb *v, struct svc_opt *opts)
{
	static const struct svc_opt shared[] = {
		{ .name = "config", .letter = 'c', .arg = "FILE" },
		{ .name = "data-dir", .arg = "DIR" },
		{ .name = "admin-socket", .arg = "PATH" },
		{ .name = "json" },
		{ .name = "help", .letter = 'h' },
	};
	size_t n = LN_COUNT(shared);
	memcpy(opts, shared, sizeof(shared));
	for (size_t i = 0; i < v->nargs && n < MAX_OPTS; i++)
		if (v->args[i].opt != NULL)
			opts[n++] =
				(struct svc_opt){ .name = v->args[i].opt, .arg = v->args[i].arg };
	return n;
}

int linnet_server_admin_request(const struct linnet_server_verb *v, int argc, char **argv,
				int (*other)(void *user, const char *name, const char *value),
				void *user, json_t **ret, struct ln_fail *f)
{
	struct svc_opt opts[MAX_OPTS];
	struct svc_opts o;
	size_t words = 0;
	char rules = '\0';
	int err = 0;
	json_t *args = json_object();
	svc_opts_init(&o, argc, argv, opts, all_opts(v, opts));
	while (err == 0) {
		int kind = svc_opts_next(&o, f);
		if (kind == SVC_OPTS_END)
			break;
		if (kind < 0) {
			err = kind;
			break;
		}
		const struct linnet_server_arg *a =
			kind == SVC_OPTS_WORD ? nth_word(v, words++) : find_opt(v, o.opt->name);
		if (a != NULL)
			err = put(a, o.value, args, &rules, f);
		else if (kind == SVC_OPTS_OPTION)
			err = other(user, o.opt->name, o.value);
		else
			err = ln_fail(f, LN_E_MALFORMED, "unexpected word \"%.60s\"; see --help",
				      o.value);
	}
	if (err == 0)
		err = all_there(v, args, f);
	if (err < 0) {
		json_decref(args);
		return err;
	}
	*ret = json_pack("{s:s, s:s, s:o}", "noun", v->noun, "verb", v->verb, "args", args);
	return 0;
}
