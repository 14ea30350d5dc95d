/* Messages that change profiles; those that list them are in daemon_msg.c. */
#include "lib/daemon/daemon_msg.h"

#include "proto/daemon.pb-c.h"
#include "proto/proto_msg.h"

int daemon_profile_change_read(struct slice msg, struct arena *a, struct daemon_profile_change *ret)
{
	struct proto_reader r;
	struct daemon_profile_change out = { 0 };
	const Daemon__AddProfileRequest *in =
		proto_reader_init(&r, a, &daemon__add_profile_request__descriptor, msg);
	if (in != NULL) {
		out.username = proto_str(&r, in->username);
		out.profile = proto_str(&r, in->profilename);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_profile_change_write(struct str *dst, const struct daemon_profile_change *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__AddProfileRequest *out = proto_new(&w, &daemon__add_profile_request__descriptor);
	out->username = proto_text(m->username);
	out->profilename = proto_text(m->profile);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_profile_rename_read(struct slice msg, struct arena *a, struct daemon_profile_rename *ret)
{
	struct proto_reader r;
	struct daemon_profile_rename out = { 0 };
	const Daemon__RenameProfileRequest *in =
		proto_reader_init(&r, a, &daemon__rename_profile_request__descriptor, msg);
	if (in != NULL) {
		out.username = proto_str(&r, in->username);
		out.profile = proto_str(&r, in->handle);
		out.name = proto_str(&r, in->newprofilename);
	}
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_profile_rename_write(struct str *dst, const struct daemon_profile_rename *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__RenameProfileRequest *out =
		proto_new(&w, &daemon__rename_profile_request__descriptor);
	out->username = proto_text(m->username);
	out->handle = proto_text(m->profile);
	out->newprofilename = proto_text(m->name);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}

int daemon_profile_id_read(struct slice msg, struct arena *a, struct daemon_profile_id *ret)
{
	struct proto_reader r;
	struct daemon_profile_id out = { 0 };
	const Daemon__AddProfileResponse *in =
		proto_reader_init(&r, a, &daemon__add_profile_response__descriptor, msg);
	if (in != NULL)
		out.id = proto_str(&r, in->id);
	int err = proto_reader_fini(&r);
	if (err == 0)
		*ret = out;
	return err;
}

void daemon_profile_id_write(struct str *dst, const struct daemon_profile_id *m)
{
	struct proto_writer w;
	proto_writer_init(&w);
	Daemon__AddProfileResponse *out = proto_new(&w, &daemon__add_profile_response__descriptor);
	out->id = proto_text(m->id);
	proto_pack(dst, out);
	proto_writer_fini(&w);
}
