/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Scope: while there is a group whose DMA can't be seen, all writable mappings count as written. */
#ifndef DMT_CORE_SCOPE_H
#define DMT_CORE_SCOPE_H

#include "container.h"

/**
 * dmt_scope_widen - count one more such group
 * dmt_scope_narrow - count one less
 * @c: container, with @lock held
 *
 * Narrowing marks all pages that the group may have written, so that they are reported once
 * more.
 */
void dmt_scope_widen(struct dmt_container *c);
void dmt_scope_narrow(struct dmt_container *c);

/* Mark all pages that devices behind an IOMMU may have written. @c->lock is held. */
void dmt_scope_mark(struct dmt_container *c);

/**
 * dmt_scope_pinned - note that the driver of such a group has pinned for the first time
 * @c: container; no lock is needed or taken
 *
 * From now on only the pages that the group pins count as written by it. The next
 * dmt_container_lock() calls dmt_scope_narrow(), before anything is harvested.
 */
void dmt_scope_pinned(struct dmt_container *c);

#endif
