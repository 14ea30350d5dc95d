#pragma once
/* The component form of a planned map; private to lib/mgmt. See mgmt_plan_use_components(). */
#include "lib/mgmt/mgmt_plan.h"

bool mgmt_components_fit(const struct mgmt_plan *p);
/* Appends NetworkMapComponentsFull. LN_E_LIMIT: dst is full. */
LN_MUST_CHECK int mgmt_components_pack(const struct mgmt_plan *p, struct str *dst);
