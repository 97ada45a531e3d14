/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Harvest: read and clear. What becomes of it is up to an answer: answer.h. */
#ifndef DMT_CORE_HARVEST_H
#define DMT_CORE_HARVEST_H

#include "host.h"

struct dmt_harvest;

/* Scratch memory of one harvest at a time, allocated while tracking */
struct dmt_harvest *dmt_harvest_new(struct dmt_host *host);
void dmt_harvest_free(struct dmt_harvest *h);

#endif
