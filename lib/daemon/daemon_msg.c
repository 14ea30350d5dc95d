#include "lib/daemon/daemon_msg.h"

#include "proto/daemon.pb-c.h"
#include "proto/proto_msg.h"

/* --- messages that are nothing but texts and plain values ------------------------------------- */

#define READ_TEXT(ours, wire) out.ours = proto_str(&r, in->wire);
#define READ_VALUE(ours, wire) out.ours = in->wire;
#define WRITE_TEXT(ours, wire) out->wire = proto_text(in->ours);
#define WRITE_VALUE(ours, wire) out->wire = in->ours;

/* TABLE(TEXT, VALUE) lists our member and the one of the generated struct. */
#define FLAT_CODEC(name, Type, descriptor, TABLE)                                                  \
 int daemon_##name##_read(struct slice msg, struct arena *a, struct daemon_##name *ret)            \
 {                                                                                                 \
  struct proto_reader r;                                                                           \
  struct daemon_##name out = { 0 };                                                                \
  const Type *in = proto_reader_init(&r, a, &(descriptor), msg);                                   \
  if (in != NULL) {                                                                                \
   TABLE(READ_TEXT, READ_VALUE)                                                                    \
  }                                                                                                \
  int err = proto_reader_fini(&r);                                                                 \
  if (err == 0)                                                                                    \
   *ret = out;                                                                                     \
  return err;                                                                                      \
 }                                                                                                 \
 void daemon_##name##_write(struct str *dst, const struct daemon_##name *in)                       \
 {                                                                                                 \
  struct proto_writer w;                                                                           \
  proto_writer_init(&w);                                                                           \
  Type *out = proto_new(&w, &(descriptor));                                                        \
  TABLE(WRITE_TEXT, WRITE_VALUE)                                                                   \
  proto_pack(dst, out);                                                                            \
  proto_writer_fini(&w);                                                                           \
 }

#define LOGIN_RESPONSE(TEXT, VALUE)                                                                \
 VALUE(needs_sso, needsssologin)                                                                   \
 TEXT(user_code, usercode)                                                                         \
 TEXT(verification_uri, verificationuri)                                                           \
 TEXT(verification_uri_complete, verificationuricomplete)
FLAT_CODEC(login_response, Daemon__LoginResponse, daemon__login_response__descriptor,
	   LOGIN_RESPONSE)

#define ACTIVE_PROFILE(TEXT, VALUE)                                                                \
 TEXT(name, profilename)                                                                           \
 TEXT(username, username)                                                                          \
 TEXT(id, id)
FLAT_CODEC(active_profile, Daemon__GetActiveProfileResponse,
	   daemon__get_active_profile_response__descriptor, ACTIVE_PROFILE)

#define CONFIG_REQUEST(TEXT, VALUE)                                                                \
 TEXT(profile, profilename)                                                                        \
 TEXT(username, username)
FLAT_CODEC(config_request, Daemon__GetConfigRequest, daemon__get_config_request__descriptor,
	   CONFIG_REQUEST)

#define CONFIG_RESPONSE(TEXT, VALUE)                                                               \
 TEXT(management_url, managementurl)                                                               \
 TEXT(config_file, configfile)                                                                     \
 TEXT(log_file, logfile)                                                                           \
 TEXT(preshared_key, presharedkey)                                                                 \
 TEXT(admin_url, adminurl)                                                                         \
 TEXT(interface_name, interfacename)                                                               \
 VALUE(wireguard_port, wireguardport)                                                              \
 VALUE(mtu, mtu)                                                                                   \
 VALUE(disable_auto_connect, disableautoconnect)                                                   \
 VALUE(server_ssh_allowed, serversshallowed)                                                       \
 VALUE(rosenpass, rosenpassenabled)                                                                \
 VALUE(rosenpass_permissive, rosenpasspermissive)                                                  \
 VALUE(disable_notifications, disable_notifications)                                               \
 VALUE(lazy, lazyconnectionenabled)                                                                \
 VALUE(block_inbound, blockinbound)                                                                \
 VALUE(network_monitor, networkmonitor)                                                            \
 VALUE(disable_dns, disable_dns)                                                                   \
 VALUE(disable_client_routes, disable_client_routes)                                               \
 VALUE(disable_server_routes, disable_server_routes)                                               \
 VALUE(block_lan_access, block_lan_access)                                                         \
 VALUE(disable_ipv6, disable_ipv6)
FLAT_CODEC(config_response, Daemon__GetConfigResponse, daemon__get_config_response__descriptor,
	   CONFIG_RESPONSE)

#define USER_REQUEST(TEXT, VALUE) TEXT(username, username)
FLAT_CODEC(user_request, Daemon__ListProfilesRequest, daemon__list_profiles_request__descriptor,
	   USER_REQUEST)

#define FEATURES(TEXT, VALUE)                                                                      \
 VALUE(disable_profiles, disable_profiles)                                                         \
 VALUE(disable_update_settings, disable_update_settings)                                           \
 VALUE(disable_networks, disable_networks)
FLAT_CODEC(features, Daemon__GetFeaturesResponse, daemon__get_features_response__descriptor,
	   FEATURES)

/* --- the others ------------------------------------------------------------------------------- */

/* A text with explicit presence: protobuf-c keeps its number beside it, 0 when it is absent. */
static const char *optional_text(struct proto_reader *r, int set, const char *text, bool *ret_has)
{
	*ret_has = set != 0;
	return *ret_has ? proto_str(r, text) : "";
}

int daemon_up_request_read(struct slice msg, struct arena *a, struct daemon_up_request *ret)
{
	struct proto_reader r;
	struct daemon_up_request out = { 0 };
	const Daemon__UpRequest *in =
		proto_reader_init(&r, a, &daemon__up_request__descriptor, msg);
	if (in != NULL) {
		out.profile = optional_text(&r, (int)in->_profile_name_case, in->profilename,
					    &out.has_profile);
		out.username =
			optional_text(&r, (int)in->_username_case, in->username, &out.has_username);
		out.async = in->async;
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_up_request_write(struct str *dst, const struct daemon_up_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__UpRequest *out = proto_new(&w, &daemon__up_request__descriptor);
	if (m->has_profile) {
		out->_profile_name_case = DAEMON__UP_REQUEST___PROFILE_NAME_PROFILE_NAME;
		out->profilename = proto_text(m->profile);
	}
	if (m->has_username) {
		out->_username_case = DAEMON__UP_REQUEST___USERNAME_USERNAME;
		out->username = proto_text(m->username);
	}
	out->async = m->async;
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_profile_request_read(struct slice msg, struct arena *a,
				struct daemon_profile_request *ret)
{
	struct proto_reader r;
	struct daemon_profile_request out = { 0 };
	const Daemon__LogoutRequest *in =
		proto_reader_init(&r, a, &daemon__logout_request__descriptor, msg);
	if (in != NULL) {
		out.profile = optional_text(&r, (int)in->_profile_name_case, in->profilename,
					    &out.has_profile);
		out.username =
			optional_text(&r, (int)in->_username_case, in->username, &out.has_username);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_profile_request_write(struct str *dst, const struct daemon_profile_request *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__LogoutRequest *out = proto_new(&w, &daemon__logout_request__descriptor);
	if (m->has_profile) {
		out->_profile_name_case = DAEMON__LOGOUT_REQUEST___PROFILE_NAME_PROFILE_NAME;
		out->profilename = proto_text(m->profile);
	}
	if (m->has_username) {
		out->_username_case = DAEMON__LOGOUT_REQUEST___USERNAME_USERNAME;
		out->username = proto_text(m->username);
	}
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_profile_list_read(struct slice msg, struct arena *a, struct daemon_profile_list *ret)
{
	struct proto_reader r;
	struct daemon_profile_list out = { 0 };
	const Daemon__ListProfilesResponse *in =
		proto_reader_init(&r, a, &daemon__list_profiles_response__descriptor, msg);
	if (in != NULL) {
		struct daemon_profile *v = proto_room(&r, in->n_profiles, sizeof(*v));
		for (size_t i = 0; v != NULL && i < in->n_profiles; i++) {
			v[i].name = proto_str(&r, in->profiles[i]->name);
			v[i].id = proto_str(&r, in->profiles[i]->id);
			v[i].active = in->profiles[i]->is_active;
		}
		out.profiles = v;
		out.nprofiles = in->n_profiles;
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_profile_list_write(struct str *dst, const struct daemon_profile_list *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__ListProfilesResponse *out =
		proto_new(&w, &daemon__list_profiles_response__descriptor);
	out->n_profiles = m->nprofiles;
	out->profiles = proto_array(&w, m->nprofiles, sizeof(*out->profiles));
	for (size_t i = 0; i < m->nprofiles; i++) {
		Daemon__Profile *p = proto_new(&w, &daemon__profile__descriptor);
		p->name = proto_text(m->profiles[i].name);
		p->id = proto_text(m->profiles[i].id);
		p->is_active = m->profiles[i].active;
		out->profiles[i] = p;
	}
	proto_pack(dst, out);
	proto_writer_fini(&w);
}
