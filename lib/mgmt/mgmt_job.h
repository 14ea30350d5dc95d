#pragma once
/*
 * The Job stream, as far as an agent without jobs needs it (spec management-protocol 1.6, 3.8):
 * a hello with a random id, and "failed" with a reason for whatever is asked.
 */
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"

void mgmt_job_hello(const struct ln_rng *rng, struct str *dst);
/* 1: a response was appended; 0: nothing to answer (no id); LN_E_MALFORMED. */
LN_MUST_CHECK int mgmt_job_answer(struct slice request, struct str *dst);
