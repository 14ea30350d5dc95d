/* Login: the decision of spec management-protocol 3.3 and the registration of 3.5. */
#include <stdlib.h>
#include <string.h>

#include "lib/token/setup_key.h"

#include "src/management/management_internal.h"
#include "src/obs/obs_log.h"

struct login {
	struct management *m;
	struct grpc_call *call; /* null once closed */
	bool in_store;
	struct arena arena;
	struct management_request req;
	struct mgmt_login_request body;
	struct store_meta meta;
	char key_hash[SETUP_KEY_STORED]; /* "" = none given */
	/* filled on the store thread */
	int result;
	bool registered;
	bool changed;
	struct store_peer peer;
	struct store_account account;
};

static const struct {
	int err;
	enum grpc_status status;
	const char *text;
} refusals[] = {
	{ LN_E_DENIED, GRPC_PERMISSION_DENIED,
	  "no peer auth method provided, please use a setup key or interactive SSO login" },
	{ LN_E_NOTFOUND, GRPC_NOT_FOUND, "couldn't add peer: setup key is invalid" },
	{ LN_E_CONFLICT, GRPC_FAILED_PRECONDITION, "peer has been already registered" },
	{ LN_E_MALFORMED, GRPC_INVALID_ARGUMENT, "the host name gives no DNS label" },
};

static void login_free(struct login *x)
{
	if (x->call != NULL || x->in_store)
		return;
	arena_fini(&x->arena);
	box_key_wipe(&x->req.box);
	free(x);
}

static int register_peer(struct store *s, struct login *x)
{
	uint64_t serial;
	struct store_registration reg = {
		.key = x->req.key,
		.setup_key_hash = x->key_hash,
		.ssh_key = x->body.ssh_key,
		.meta = &x->meta,
	};
	if (x->key_hash[0] == '\0')
		return LN_E_DENIED;
	int r = store_peer_register(s, &reg, ev_wall(), &x->arena, &x->peer, &serial);
	x->registered = x->changed = r == 0;
	return r;
}

static void login_job(struct store *s, void *arg)
{
	struct login *x = arg;
	x->registered = x->changed = false;
	int r = store_peer_find(s, &x->req.key, &x->arena, &x->peer);
	if (r == LN_E_NOTFOUND) {
		r = register_peer(s, x);
	} else if (r == 0) {
		r = store_peer_set_ssh_key(s, &x->peer.id, x->body.ssh_key);
		x->changed = r > 0;
	}
	if (r >= 0)
		r = store_account_get(s, &x->account);
	x->result = r;
}

/* The capability of this request decides, as it will in the Sync that follows (trap 35). */
static bool wants_v6(const struct mgmt_meta *m)
{
	return (m->capabilities & 1u << MGMT_CAP_IPV6_OVERLAY) != 0 &&
	       (m->flags & 1u << MGMT_FLAG_NO_IPV6) == 0;
}

static int answer(struct login *x)
{
	struct management *m = x->m;
	const struct store_account *acc = &x->account;
	struct mgmt_servers servers;
	int r = management_servers(m, &x->arena, &servers);
	const char *fqdn = arena_printf(&x->arena, "%s.%s", x->peer.label, acc->domain);
	if (r < 0 || fqdn == NULL)
		return LN_E_LIMIT;
	struct mgmt_login_response resp = {
		.has_servers = true,
		.servers = servers,
		.has_self = true,
		.self = {
			.address = { .addr = x->peer.v4, .len = acc->net4.len },
			.fqdn = fqdn,
			.lazy_connections = acc->lazy_connections,
		},
		.deadline = { .kind = MGMT_DEADLINE_NONE },
	};
	if (wants_v6(&x->body.meta) && ip_is_set(&x->peer.v6))
		resp.self.address_v6 =
			(struct ip_prefix){ .addr = x->peer.v6, .len = acc->net6.len };
	LN_AUTO(str_fini) struct str s;
	str_init(&s, 0);
	mgmt_login_response_write(&s, &resp);
	return management_send(m, x->call, &x->req.box, &s);
}

static void refuse_by_result(struct login *x)
{
	struct management *m = x->m;
	for (size_t i = 0; i < LN_COUNT(refusals); i++) {
		if (refusals[i].err != x->result)
			continue;
		log_debug("management", "login refused", LOG_KEY("peer", &x->req.key),
			  LOG_STR("why", refusals[i].text));
		management_refuse(m, x->call, refusals[i].status, refusals[i].text);
		return;
	}
	m->counters.store_errors++;
	log_error("management", "login failed", LOG_KEY("peer", &x->req.key), LOG_ERRNO(x->result));
	management_refuse(m, x->call, GRPC_INTERNAL, "failed handling request");
}

static void login_done(void *arg)
{
	struct login *x = arg;
	struct management *m = x->m;
	x->in_store = false;
	if (x->changed)
		management_changed(m, x->account.serial);
	if (x->result >= 0) {
		struct management_peer *p =
			management_peer_confirm(m, &x->req.key, &x->req.box, x->account.serial);
		p->fast.serial = 0; /* who logs in may have started anew */
	}
	if (x->registered) {
		m->counters.registrations++;
		log_info("management", "peer registered", LOG_KEY("peer", &x->req.key),
			 LOG_STR("name", x->peer.name), LOG_IP("address", &x->peer.v4));
	}
	if (x->call != NULL && x->result < 0) {
		refuse_by_result(x);
	} else if (x->call != NULL) {
		m->counters.logins++;
		if (answer(x) < 0)
			management_refuse(m, x->call, GRPC_INTERNAL, "failed handling request");
		else
			grpc_call_finish(x->call, GRPC_OK, NULL);
	}
	login_free(x);
}

static void login_open(void *service, struct grpc_call *c)
{
	struct management *m = service;
	if (management_stopping(m, c))
		return;
	struct login *x = ln_alloc(sizeof(*x));
	x->m = m;
	x->call = c;
	grpc_call_set_user(c, x);
}

static int read_request(struct login *x, struct slice msg)
{
	int r = management_open(x->m, msg, &x->arena, &x->req);
	if (r == 0 && x->req.plain.n > MANAGEMENT_REQUEST_MAX)
		r = LN_E_LIMIT;
	if (r == 0)
		r = mgmt_login_request_read(x->req.plain, &x->arena, &x->body);
	if (r == 0 && x->body.has_meta)
		r = management_meta_convert(&x->body.meta, &x->arena, &x->meta);
	return r;
}

/* The stored form of a key that may not even be one: that is then simply unknown. */
static void hash_key(struct login *x)
{
	static const char zero[] = "00000000-0000-0000-0000-000000000000";
	char canonical[SETUP_KEY_TEXT];
	const char *text = x->body.setup_key;
	if (text[0] == '\0' || strcmp(text, zero) == 0)
		return;
	if (setup_key_parse(slice_str(text), canonical) < 0) {
		memcpy(x->key_hash, "-", 2);
		return;
	}
	setup_key_stored(canonical, x->key_hash);
	explicit_bzero(canonical, sizeof(canonical));
}

static void login_message(struct grpc_call *c, struct slice msg)
{
	struct login *x = grpc_call_user(c);
	if (x == NULL || x->arena.limit != 0 || management_stopping(x->m, c))
		return;
	arena_init(&x->arena, MANAGEMENT_ARENA(msg.n));
	if (read_request(x, msg) < 0) {
		management_refuse(x->m, c, GRPC_INVALID_ARGUMENT, "invalid request message");
		return;
	}
	if (!x->body.has_meta) {
		management_refuse(x->m, c, GRPC_FAILED_PRECONDITION,
				  "peer system meta has to be provided to log in");
		return;
	}
	if (x->body.jwt[0] != '\0') {
		/* No identity provider: no token can be valid (3.4). */
		management_refuse(x->m, c, GRPC_INVALID_ARGUMENT, "invalid jwt token");
		return;
	}
	if (x->body.ndns_labels > 0) {
		management_refuse(x->m, c, GRPC_FAILED_PRECONDITION,
				  "the peer is not allowed to have extra DNS labels");
		return;
	}
	hash_key(x);
	x->in_store = true;
	store_run_shared(x->m->store, STORE_DURABLE, login_job, login_done, x);
}

static void login_closed(struct grpc_call *c)
{
	struct login *x = grpc_call_user(c);
	if (x == NULL)
		return;
	x->call = NULL;
	login_free(x);
}

const struct grpc_method management_login_row = {
	.path = "/management.ManagementService/Login",
	.open = login_open,
	.message = login_message,
	.closed = login_closed,
};
