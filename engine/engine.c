// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's engine: core's container behind the functions of
 * dmatrack_engine.h.
 */
#include <stdlib.h>

#include "dmatrack_engine.h"
#include "engine/iommu.h"
#include "module/core/group.h"

/* As the kernel's drivers have it by default */
#define MAPPINGS_MAX	65535U

int dmatrack_engine_create(struct dmatrack_engine **engine, unsigned int type,
			   unsigned int flags)
{
	struct dmatrack_engine *e;
	int err;

	if ((type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) ||
	    flags & ~DMATRACK_ENGINE_CHECKED)
		return -EINVAL;
	if (posix_memalign((void **)&e, 64, sizeof(*e)))
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	err = dmt_host_init(&e->host, flags & DMATRACK_ENGINE_CHECKED);
	if (err)
		goto err_free;
	err = dmt_container_init(&e->c, &e->host, type == VFIO_TYPE1v2_IOMMU,
				 MAPPINGS_MAX);
	if (err)
		goto err_host;
	err = dmatrack_engine_emulated(e, true);
	if (err)
		goto err_container;
	*engine = e;
	return 0;

err_container:
	dmt_container_fini(&e->c);
err_host:
	dmt_host_fini(&e->host);
err_free:
	free(e);
	return err;
}

/* A fault of core's, that its tests must not pass over */
static void check_nothing_left(const struct dmatrack_engine *e)
{
	if (likely(!e->host.pinned && !e->host.locked))
		return;
	fprintf(stderr, "dmatrack: %ld pages left pinned, %ld accounted\n",
		e->host.pinned, e->host.locked);
#ifdef __SANITIZE_ADDRESS__
	abort();
#endif
}

void dmatrack_engine_destroy(struct dmatrack_engine *e)
{
	dmatrack_engine_emulated(e, false);
	dmt_container_fini(&e->c);
	rcu_barrier();
	check_nothing_left(e);
	dmt_host_fini(&e->host);
	free(e);
}

long dmatrack_engine_ioctl(struct dmatrack_engine *e, unsigned long cmd,
			   unsigned long arg)
{
	return dmt_type1_ioctl(&e->c, cmd, arg);
}

int dmatrack_engine_write(struct dmatrack_engine *e, uint64_t iova,
			  const void *data, size_t size)
{
	return dmt_write(&e->c, iova, data, size);
}

int dmatrack_engine_read(struct dmatrack_engine *e, uint64_t iova, void *data,
			 size_t size)
{
	return dmt_read(&e->c, iova, data, size);
}

int dmatrack_engine_pin(struct dmatrack_engine *e, uint64_t iova,
			unsigned long npages, unsigned int prot, void **pages)
{
	if (!READ_ONCE(e->host.unmap) || prot & ~(DMT_READ | DMT_WRITE))
		return -EINVAL;
	if (!e->c.v2)
		return -EACCES;		/* as the kernel's */
	return dmt_pin(&e->c, iova, npages, prot, (struct page **)pages);
}

int dmatrack_engine_unpin(struct dmatrack_engine *e, uint64_t iova,
			  unsigned long npages)
{
	return dmt_unpin(&e->c, iova, npages);
}

int dmatrack_engine_mark_dirty(struct dmatrack_engine *e, uint64_t iova,
			       uint64_t size)
{
	return dmt_mark_dirty(&e->c, iova, size);
}

void dmatrack_engine_on_unmap(struct dmatrack_engine *e,
			      void (*unmap)(void *opaque, uint64_t iova,
					    uint64_t size),
			      void *opaque)
{
	mutex_lock(&e->c.lock);
	e->host.opaque = opaque;
	smp_store_release(&e->host.unmap, unmap);
	mutex_unlock(&e->c.lock);
}

/* Devices in this process are one group. */
static struct iommu_group *own_group(struct dmatrack_engine *e)
{
	return (struct iommu_group *)e;
}

int dmatrack_engine_emulated(struct dmatrack_engine *e, bool there)
{
	if (there)
		return dmt_attach(&e->c, own_group(e), true);
	dmt_detach(&e->c, own_group(e));
	return 0;
}

int dmatrack_engine_attach(struct dmatrack_engine *e, struct iommu_group *group)
{
	return dmt_attach(&e->c, group, false);
}

void dmatrack_engine_detach(struct dmatrack_engine *e, struct iommu_group *group)
{
	dmt_detach(&e->c, group);
}

long dmatrack_engine_locked(struct dmatrack_engine *e)
{
	return __atomic_load_n(&e->host.locked, __ATOMIC_RELAXED);
}

void dmatrack_engine_limit(struct dmatrack_engine *e, long npages)
{
	e->host.locked_max = npages;
}
