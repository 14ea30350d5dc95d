#include "lib/daemon/daemon_denied.h"

#include "proto/proto_scan.h"

enum {
	DENIED_STATUS_CODE = 1,
	DENIED_STATUS_MESSAGE = 2,
	DENIED_STATUS_DETAILS = 3,
	DENIED_ANY_TYPE = 1,
	DENIED_ANY_VALUE = 2,
	DENIED_INFO_REASON = 1,
	DENIED_INFO_DOMAIN = 2,
	DENIED_INFO_METADATA = 3,
	DENIED_MAP_KEY = 1,
	DENIED_MAP_VALUE = 2,
};

static void daemon_denied_pair(struct str *dst, const char *key, const char *value)
{
	struct str entry;
	str_init(&entry, 0);
	proto_put_bytes(&entry, DENIED_MAP_KEY, slice_str(key));
	proto_put_bytes(&entry, DENIED_MAP_VALUE, slice_str(value));
	proto_put_bytes(dst, DENIED_INFO_METADATA, str_slice(&entry));
	str_fini(&entry);
}

void daemon_denied_write(struct str *dst, unsigned code, const char *message, const char *summary,
			 const char *command)
{
	struct str info, any;
	str_init(&info, 0);
	str_init(&any, 0);
	proto_put_bytes(&info, DENIED_INFO_REASON, slice_str("PRIVILEGE_REQUIRED"));
	proto_put_bytes(&info, DENIED_INFO_DOMAIN, slice_str("daemon.netbird.io"));
	daemon_denied_pair(&info, "summary", summary);
	daemon_denied_pair(&info, "command", command);
	proto_put_bytes(&any, DENIED_ANY_TYPE,
			slice_str("type.googleapis.com/google.rpc.ErrorInfo"));
	proto_put_bytes(&any, DENIED_ANY_VALUE, str_slice(&info));
	proto_put_varint(dst, DENIED_STATUS_CODE, code);
	proto_put_bytes(dst, DENIED_STATUS_MESSAGE, slice_str(message));
	proto_put_bytes(dst, DENIED_STATUS_DETAILS, str_slice(&any));
	str_fini(&any);
	str_fini(&info);
}
