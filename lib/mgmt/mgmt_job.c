#include "lib/mgmt/mgmt_job.h"

#include <stdio.h>

#include "proto/proto_scan.h"

enum {
	MGMT_JOB_ID = 1,
	MGMT_JOB_STATUS = 2,
	MGMT_JOB_REASON = 3,
	MGMT_JOB_STATUS_FAILED = 2,
	MGMT_JOB_ID_MAX = 256,
};

void mgmt_job_hello(const struct ln_rng *rng, struct str *dst)
{
	uint8_t b[16];
	rng_fill(rng, b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562 5.4: version 4 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	char text[37];
	(void)snprintf(text, sizeof(text),
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
	proto_put_bytes(dst, MGMT_JOB_ID, slice_str(text));
}

int mgmt_job_answer(struct slice request, struct str *dst)
{
	if (request.n == 0)
		return 0;
	struct cursor c = cursor_of(request);
	struct proto_field field;
	struct slice id = { 0 };
	int r;
	while ((r = proto_scan(&c, &field)) == 1)
		if (field.number == MGMT_JOB_ID && field.wire == PROTO_BYTES)
			id = field.bytes;
	if (r < 0 || id.n > MGMT_JOB_ID_MAX)
		return LN_E_MALFORMED;
	if (id.n == 0)
		return 0;
	proto_put_bytes(dst, MGMT_JOB_ID, id);
	proto_put_varint(dst, MGMT_JOB_STATUS, MGMT_JOB_STATUS_FAILED);
	proto_put_bytes(dst, MGMT_JOB_REASON, slice_str("this agent runs no such job"));
	return 1;
}
