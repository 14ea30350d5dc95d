#include "lib/daemon/daemon_msg.h"

#include "proto/daemon.pb-c.h"
#include "proto/proto_msg.h"

/*
 * Login and SetConfig carry the same settings under different numbers. protobuf-c gives both
 * messages members of the same names, so one table serves both:
 * our member, member on the wire, its oneof, the enumerator of the oneof's case.
 */
#define TEXT_SETTINGS(X, P)                                                                        \
 X(P, interface_name, interfacename, _interface_name, INTERFACE_NAME)                              \
 X(P, preshared_key, optionalpresharedkey, _optional_pre_shared_key, OPTIONAL_PRE_SHARED_KEY)

#define NUMBER_SETTINGS(X, P)                                                                      \
 X(P, wireguard_port, wireguardport, _wireguard_port, WIREGUARD_PORT)                              \
 X(P, mtu, mtu, _mtu, MTU)

#define SWITCH_SETTINGS(X, P)                                                                      \
 X(P, disable_auto_connect, disableautoconnect, _disable_auto_connect, DISABLE_AUTO_CONNECT)       \
 X(P, server_ssh_allowed, serversshallowed, _server_sshallowed, SERVER_SSHALLOWED)                 \
 X(P, rosenpass, rosenpassenabled, _rosenpass_enabled, ROSENPASS_ENABLED)                          \
 X(P, rosenpass_permissive, rosenpasspermissive, _rosenpass_permissive, ROSENPASS_PERMISSIVE)      \
 X(P, network_monitor, networkmonitor, _network_monitor, NETWORK_MONITOR)                          \
 X(P, disable_client_routes, disable_client_routes, _disable_client_routes, DISABLE_CLIENT_ROUTES) \
 X(P, disable_server_routes, disable_server_routes, _disable_server_routes, DISABLE_SERVER_ROUTES) \
 X(P, disable_dns, disable_dns, _disable_dns, DISABLE_DNS)                                         \
 X(P, disable_firewall, disable_firewall, _disable_firewall, DISABLE_FIREWALL)                     \
 X(P, block_lan_access, block_lan_access, _block_lan_access, BLOCK_LAN_ACCESS)                     \
 X(P, block_inbound, block_inbound, _block_inbound, BLOCK_INBOUND)                                 \
 X(P, disable_ipv6, disable_ipv6, _disable_ipv6, DISABLE_IPV6)                                     \
 X(P, disable_notifications, disable_notifications, _disable_notifications, DISABLE_NOTIFICATIONS) \
 X(P, lazy, lazyconnectionenabled, _lazy_connection_enabled, LAZY_CONNECTION_ENABLED)

/* `in`, `out`, `r` and `w` are the variables of the functions below. */
#define READ_TEXT(P, ours, member, one, CASE)                                                      \
 out->has_##ours = in->one##_case != P##__##CASE##__NOT_SET;                                       \
 out->ours = out->has_##ours ? proto_str(r, in->member) : "";

#define READ_VALUE(P, ours, member, one, CASE)                                                     \
 out->has_##ours = in->one##_case != P##__##CASE##__NOT_SET;                                       \
 if (out->has_##ours)                                                                              \
  out->ours = in->member;

#define WRITE_TEXT(P, ours, member, one, CASE)                                                     \
 if (in->has_##ours) {                                                                             \
  out->one##_case = P##__##CASE##_##CASE;                                                          \
  out->member = proto_text(in->ours);                                                              \
 }

#define WRITE_VALUE(P, ours, member, one, CASE)                                                    \
 if (in->has_##ours) {                                                                             \
  out->one##_case = P##__##CASE##_##CASE;                                                          \
  out->member = in->ours;                                                                          \
 }

#define DEFINE_SETTINGS(name, Type, P)                                                             \
 static void name##_settings_read(struct proto_reader *r, const Type *in,                          \
				  struct daemon_settings *out)                                     \
 {                                                                                                 \
  out->management_url = proto_str(r, in->managementurl);                                           \
  out->admin_url = proto_str(r, in->adminurl);                                                     \
  TEXT_SETTINGS(READ_TEXT, P)                                                                      \
  NUMBER_SETTINGS(READ_VALUE, P)                                                                   \
  SWITCH_SETTINGS(READ_VALUE, P)                                                                   \
  out->external_ips = proto_strs(r, in->n_natexternalips, in->natexternalips);                     \
  out->nexternal_ips = in->n_natexternalips;                                                       \
  out->clean_external_ips = in->cleannatexternalips;                                               \
  out->iface_blacklist = proto_strs(r, in->n_extraifaceblacklist, in->extraifaceblacklist);        \
  out->niface_blacklist = in->n_extraifaceblacklist;                                               \
  out->dns_labels = proto_strs(r, in->n_dns_labels, in->dns_labels);                               \
  out->ndns_labels = in->n_dns_labels;                                                             \
  out->clean_dns_labels = in->cleandnslabels;                                                      \
  out->dns_address = proto_bytes(r, in->customdnsaddress);                                         \
 }                                                                                                 \
 static void name##_settings_write(struct proto_writer *w, Type *out,                              \
				   const struct daemon_settings *in)                               \
 {                                                                                                 \
  out->managementurl = proto_text(in->management_url);                                             \
  out->adminurl = proto_text(in->admin_url);                                                       \
  TEXT_SETTINGS(WRITE_TEXT, P)                                                                     \
  NUMBER_SETTINGS(WRITE_VALUE, P)                                                                  \
  SWITCH_SETTINGS(WRITE_VALUE, P)                                                                  \
  out->n_natexternalips = in->nexternal_ips;                                                       \
  out->natexternalips = proto_texts(w, in->nexternal_ips, in->external_ips);                       \
  out->cleannatexternalips = in->clean_external_ips;                                               \
  out->n_extraifaceblacklist = in->niface_blacklist;                                               \
  out->extraifaceblacklist = proto_texts(w, in->niface_blacklist, in->iface_blacklist);            \
  out->n_dns_labels = in->ndns_labels;                                                             \
  out->dns_labels = proto_texts(w, in->ndns_labels, in->dns_labels);                               \
  out->cleandnslabels = in->clean_dns_labels;                                                      \
  out->customdnsaddress = proto_bin(in->dns_address);                                              \
 }

DEFINE_SETTINGS(login, Daemon__LoginRequest, DAEMON__LOGIN_REQUEST_)
DEFINE_SETTINGS(set_config, Daemon__SetConfigRequest, DAEMON__SET_CONFIG_REQUEST_)

int daemon_login_request_read(struct slice msg, struct arena *a, struct daemon_login_request *ret)
{
	struct proto_reader reader, *r = &reader;
	struct daemon_login_request result = { 0 }, *out = &result;
	const Daemon__LoginRequest *in =
		proto_reader_init(r, a, &daemon__login_request__descriptor, msg);
	if (in != NULL) {
		out->setup_key = proto_str(r, in->setupkey);
		out->hostname = proto_str(r, in->hostname);
		out->desktop = in->isunixdesktopclient;
		login_settings_read(r, in, &out->set);
		READ_TEXT(DAEMON__LOGIN_REQUEST_, profile, profilename, _profile_name, PROFILE_NAME)
		READ_TEXT(DAEMON__LOGIN_REQUEST_, username, username, _username, USERNAME)
		READ_TEXT(DAEMON__LOGIN_REQUEST_, hint, hint, _hint, HINT)
	}
	int err = proto_reader_fini(r);
	if (err == 0)
		*ret = result;
	return err;
}

void daemon_login_request_write(struct str *dst, const struct daemon_login_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	const struct daemon_login_request *in = m;
	Daemon__LoginRequest *out = proto_new(&w, &daemon__login_request__descriptor);
	out->setupkey = proto_text(m->setup_key);
	out->hostname = proto_text(m->hostname);
	out->isunixdesktopclient = m->desktop;
	login_settings_write(&w, out, &m->set);
	WRITE_TEXT(DAEMON__LOGIN_REQUEST_, profile, profilename, _profile_name, PROFILE_NAME)
	WRITE_TEXT(DAEMON__LOGIN_REQUEST_, username, username, _username, USERNAME)
	WRITE_TEXT(DAEMON__LOGIN_REQUEST_, hint, hint, _hint, HINT)
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_set_config_request_read(struct slice msg, struct arena *a,
				   struct daemon_set_config_request *ret)
{
	struct proto_reader r;
	struct daemon_set_config_request out = { 0 };
	const Daemon__SetConfigRequest *in =
		proto_reader_init(&r, a, &daemon__set_config_request__descriptor, msg);
	if (in != NULL) {
		out.username = proto_str(&r, in->username);
		out.profile = proto_str(&r, in->profilename);
		set_config_settings_read(&r, in, &out.set);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_set_config_request_write(struct str *dst, const struct daemon_set_config_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__SetConfigRequest *out = proto_new(&w, &daemon__set_config_request__descriptor);
	out->username = proto_text(m->username);
	out->profilename = proto_text(m->profile);
	set_config_settings_write(&w, out, &m->set);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}
