// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Container: one I/O address space. */
#include "container.h"
#include "harvest.h"
#include "scope.h"
#include "unmap.h"

int dmt_container_init(struct dmt_container *c, struct dmt_host *host, bool v2,
		       unsigned int limit)
{
	int err;

	c->host = host;
	c->v2 = v2;
	c->avail = limit;
	c->own.c = c;
	err = dmt_space_init(&c->space, host);
	if (err)
		return err;
	mutex_init(&c->lock);
	mutex_init(&c->start_lock);
	mutex_init(&c->drain_lock);
	dmt_gate_init(&c->gate);
	dmt_container_set_pgsizes(c, ~0ULL << PAGE_SHIFT);
	return 0;
}

/* Narrow the scope for groups that began to pin, and mark all that they may have written before. */
void dmt_container_lock(struct dmt_container *c)
{
	int n;

	mutex_lock(&c->lock);
	if (likely(!atomic_read(&c->scope_narrowed)))
		return;
	for (n = atomic_xchg(&c->scope_narrowed, 0); n; n--)
		dmt_scope_narrow(c);
}

int dmt_container_lock_open(struct dmt_container *c)
{
	dmt_container_lock(c);
	if (likely(!c->closed))
		return 0;
	dmt_container_unlock(c);
	return -EINVAL;
}

void dmt_container_unlock(struct dmt_container *c)
{
	mutex_unlock(&c->lock);
}

int dmt_container_lock_drain(struct dmt_container *c)
{
	int err;

	if (mutex_lock_killable(&c->drain_lock))
		return -EINTR;
	err = dmt_container_lock_open(c);
	if (err)
		mutex_unlock(&c->drain_lock);
	return err;
}

void dmt_container_unlock_drain(struct dmt_container *c)
{
	dmt_container_unlock(c);
	mutex_unlock(&c->drain_lock);
}

void dmt_container_set_pgsizes(struct dmt_container *c, u64 pgsizes)
{
	c->pgsizes = pgsizes;
	WRITE_ONCE(c->pgshift, __ffs64(pgsizes));
}

void dmt_container_close(struct dmt_container *c)
{
	mutex_lock(&c->drain_lock);
	dmt_container_lock(c);
	dmt_unmap_all(c);
	c->closed = true;
	dmt_container_unlock(c);
	mutex_unlock(&c->drain_lock);
}

void dmt_container_fini(struct dmt_container *c)
{
	dmt_space_fini(&c->space);
	dmt_harvest_free(c->harvest);
	mutex_destroy(&c->drain_lock);
	mutex_destroy(&c->start_lock);
	mutex_destroy(&c->lock);
}
