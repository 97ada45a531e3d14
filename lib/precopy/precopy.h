/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Pre-copy with a clock of one's own, for tests. */
#ifndef DMT_LIB_PRECOPY_H
#define DMT_LIB_PRECOPY_H

#include "lib/util/clock.h"
#include "dmatrack_copy.h"

int dmt_precopy(const struct dmatrack_precopy *p,
		struct dmatrack_totals *totals, const struct dmt_clock *clock);

#endif
