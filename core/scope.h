/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Scope: while there are groups whose DMA can't be seen, all counts as written. */
#ifndef DMT_CORE_SCOPE_H
#define DMT_CORE_SCOPE_H

#include "container.h"

/**
 * dmt_scope_widen - such a group came
 * dmt_scope_narrow - it went
 * @c: container, with @lock held
 *
 * Narrowing leaves everything that such a group may have written dirty: it's
 * reported once more.
 */
void dmt_scope_widen(struct dmt_container *c);
void dmt_scope_narrow(struct dmt_container *c);

/**
 * dmt_scope_pinned - its driver has pinned for the first time
 * @c: container; no lock is needed or taken
 *
 * From now on the group's scope is its pins. dmt_scope_narrow() follows when
 * @c->lock is taken next, before anything is harvested.
 */
void dmt_scope_pinned(struct dmt_container *c);

#endif
