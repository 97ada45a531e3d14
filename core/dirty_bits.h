/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Dirty bits: what the page tables of IOMMUs say that devices have written.
 *
 * All functions are called with the container's lock held.
 */
#ifndef DMT_CORE_DIRTY_BITS_H
#define DMT_CORE_DIRTY_BITS_H

#include "container.h"

struct dmt_domain;

/**
 * dmt_dirty_bits_begin - have all domains that can set dirty bits do so
 * @c: container whose tracking is about to begin
 *
 * Bits of an earlier tracking are forgotten. Return: 0; -EINTR, or an error of an IOMMU's driver,
 * and then no domain sets bits.
 */
int dmt_dirty_bits_begin(struct dmt_container *c);

/* End it. Tracking has ended. */
void dmt_dirty_bits_end(struct dmt_container *c);

/**
 * dmt_dirty_bits_join - have a new domain set dirty bits, if it can and if tracking is on
 * @c: container
 * @d: domain that maps nothing yet
 *
 * Return: 0, or an error of the IOMMU's driver
 */
int dmt_dirty_bits_join(struct dmt_container *c, struct dmt_domain *d);

/**
 * dmt_dirty_bits_leave - mark what devices have written through a domain that is about to be freed
 * @c: container
 * @d: domain without groups that maps what it mapped when they left
 */
void dmt_dirty_bits_leave(struct dmt_container *c, struct dmt_domain *d);

/**
 * dmt_dirty_bits_read - move dirty bits into the logs, for a harvest
 * @c: container with tracking on
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, inclusive
 *
 * Afterwards the logs have all that devices had written through domains with dirty bits when it
 * was called. Return: 0, or -EINTR: a part of it; nothing is lost
 */
int dmt_dirty_bits_read(struct dmt_container *c, u64 iova, u64 last);

#endif
