#pragma once
/* One table from our errors to what other protocols call them. */
#include "src/net/net_grpc.h"

/* Status of a negative result; GRPC_OK for 0 and above, GRPC_INTERNAL for what no row names. */
enum grpc_status svc_errmap_grpc(int err);
/* The HTTP status of the same: 200 for 0 and above. */
unsigned svc_errmap_http(int err);
