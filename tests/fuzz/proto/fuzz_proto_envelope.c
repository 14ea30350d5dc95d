/* The outer messages of management and signal, and the box inside, opened with a known key. */
#include "lib/crypto/box.h"
#include "lib/mgmt/mgmt_job.h"
#include "lib/mgmt/mgmt_msg.h"
#include "lib/signal/signal_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_box(struct slice body)
{
	static const struct box_key key = { { 7 } };
	uint8_t plain[4096];
	int n = box_open(&key, body, mslice_of(plain, sizeof(plain)));
	ln_assert(n < 0 || (size_t)n + BOX_OVERHEAD == body.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice msg = slice_of(data, size);
	struct mgmt_envelope m;
	struct signal_envelope s, again;
	struct wg_key key;
	if (mgmt_envelope_read(msg, &m) == 0)
		open_box(m.body);
	if (mgmt_server_key_read(msg, &key) == 0) {
		struct str out = { 0 };
		mgmt_server_key_write(&out, &key, 0);
		ln_assert(mgmt_server_key_read(str_slice(&out), &key) == 0);
		str_fini(&out);
	}
	if (signal_envelope_read(msg, &s) == 0) {
		struct str out = { 0 };
		signal_envelope_write(&out, s.key, s.remote_key, s.body);
		ln_assert(signal_envelope_read(str_slice(&out), &again) == 0);
		ln_assert(slice_equal(s.key, again.key) && slice_equal(s.body, again.body));
		str_fini(&out);
		open_box(s.body);
	}
	struct str answer = { 0 };
	int answered = mgmt_job_answer(msg, &answer);
	ln_assert((answered == 1) == (answer.n > 0));
	str_fini(&answer);
	open_box(msg);
	return 0;
}
