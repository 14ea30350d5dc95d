#include "src/svc/svc_errmap.h"

#include <errno.h>

static const struct errmap_row {
	int err;
	enum grpc_status grpc;
	unsigned http;
} rows[] = {
	{ LN_E_TRUNCATED, GRPC_INVALID_ARGUMENT, 400 },
	{ LN_E_MALFORMED, GRPC_INVALID_ARGUMENT, 400 },
	{ LN_E_LIMIT, GRPC_RESOURCE_EXHAUSTED, 413 },
	{ LN_E_UNSUPPORTED, GRPC_UNIMPLEMENTED, 501 },
	{ LN_E_AUTH, GRPC_UNAUTHENTICATED, 401 },
	{ LN_E_REPLAY, GRPC_PERMISSION_DENIED, 403 },
	{ LN_E_STATE, GRPC_FAILED_PRECONDITION, 412 },
	{ LN_E_CLOSED, GRPC_UNAVAILABLE, 503 },
	{ LN_E_CONFLICT, GRPC_ALREADY_EXISTS, 409 },
	{ LN_E_NOTFOUND, GRPC_NOT_FOUND, 404 },
	{ LN_E_DENIED, GRPC_PERMISSION_DENIED, 403 },
	{ LN_E_STALE, GRPC_ABORTED, 409 },
	{ LN_E_AGAIN, GRPC_UNAVAILABLE, 503 },
	{ LN_E_TIMEOUT, GRPC_DEADLINE_EXCEEDED, 504 },
	{ LN_E_INTERNAL, GRPC_INTERNAL, 500 },
	{ -ENOSPC, GRPC_RESOURCE_EXHAUSTED, 507 },
	{ -EDQUOT, GRPC_RESOURCE_EXHAUSTED, 507 },
	{ -ENOENT, GRPC_NOT_FOUND, 404 },
	{ -EACCES, GRPC_PERMISSION_DENIED, 403 },
	{ -EPERM, GRPC_PERMISSION_DENIED, 403 },
	{ -ETIMEDOUT, GRPC_DEADLINE_EXCEEDED, 504 },
	{ -ECONNREFUSED, GRPC_UNAVAILABLE, 503 },
};

static const struct errmap_row *find(int err)
{
	for (size_t i = 0; i < LN_COUNT(rows); i++)
		if (rows[i].err == err)
			return &rows[i];
	return NULL;
}

enum grpc_status svc_errmap_grpc(int err)
{
	const struct errmap_row *row = find(err);
	if (err >= 0)
		return GRPC_OK;
	return row != NULL ? row->grpc : GRPC_INTERNAL;
}

unsigned svc_errmap_http(int err)
{
	const struct errmap_row *row = find(err);
	if (err >= 0)
		return 200;
	return row != NULL ? row->http : 500;
}
