/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Pre-copy with a given clock: tests have their own. */
#ifndef DML_PRECOPY_PRECOPY_H
#define DML_PRECOPY_PRECOPY_H

#include "lib/util/clock.h"
#include "dmatrack_copy.h"

int dml_precopy(const struct dmatrack_precopy *p,
		struct dmatrack_totals *totals, const struct dml_clock *clock);

#endif
