// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Scope: groups whose DMA can't be seen. */
#include "scope.h"

void dmt_scope_widen(struct dmt_container *c)
{
	lockdep_assert_held(&c->lock);
	WRITE_ONCE(c->scope_all, c->scope_all + 1);
}

void dmt_scope_mark(struct dmt_container *c)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	lockdep_assert_held(&c->lock);
	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it))
		if (m->iommu_mapped && (m->prot & DMT_WRITE))
			dmt_mapping_mark_range(m, 0, m->log.npages - 1, true);
}

void dmt_scope_narrow(struct dmt_container *c)
{
	dmt_scope_mark(c);
	WRITE_ONCE(c->scope_all, c->scope_all - 1);
}

void dmt_scope_pinned(struct dmt_container *c)
{
	atomic_inc(&c->scope_narrowed);
}
