/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Harvest: read and clear the log. An answer reports the pages: answer.h. */
#ifndef DMT_CORE_HARVEST_H
#define DMT_CORE_HARVEST_H

#include "host.h"

struct dmt_container;
struct dmt_harvest;

/* State of one harvest at a time, allocated while tracking. Return: NULL: no memory */
struct dmt_harvest *dmt_harvest_new(struct dmt_host *host);
void dmt_harvest_free(struct dmt_harvest *h);

/*
 * Give all that was written to the views that there are. @c->lock is held. Return: 0; -EINTR: they have
 * a part of it, and the rest is in the log
 */
int dmt_harvest_spread(struct dmt_harvest *h, struct dmt_container *c);

#endif
