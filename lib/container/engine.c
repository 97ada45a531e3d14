// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's engine: the functions of dmatrack_engine.h, on a container of core.
 */
#include <stdlib.h>

#include "dmatrack_engine.h"
#include "engine.h"
#include "engine/iommu.h"
#include "engine/mark.h"
#include "engine/reclaim.h"
#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "core/group.h"
#include "core/map.h"
#include "core/operation.h"
#include "core/type1.h"

/* The default of the kernel's drivers */
#define MAPPINGS_MAX 65535U

/* The meaning of an errno of a device's operation */
static const char *why(int err)
{
	switch (err) {
	case -EINVAL:
		return "part of it isn't mapped, or the range is not valid for this call";
	case -EPERM:
		return "the rights of a mapping forbid it";
	case -EFAULT:
		return "memory that can't be accessed";
	case -EOVERFLOW:
		return "it goes beyond the last IOVA, is too large, or has a page with too many pins";
	case -EACCES:
		return "a container of type VFIO_TYPE1_IOMMU has no pins; use VFIO_TYPE1v2_IOMMU";
	case -EOPNOTSUPP:
		return "memory mapped by dmatrack_engine_map() has no pages to pin";
	case -EBUSY:
		return "a mapping's address was invalidated (VFIO_DMA_UNMAP_FLAG_VADDR)";
	default:
		return strerrordesc_np(-err);
	}
}

/* Set the text if an operation failed. Return: @err */
static int result_of(int err, const char *what, uint64_t iova, uint64_t size)
{
	if (likely(!err))
		return 0;
	return dml_error(err, "%s 0x%llx bytes at IOVA 0x%llx: %s", what,
			 (unsigned long long)size, (unsigned long long)iova,
			 why(err));
}

int dmatrack_engine_create(struct dmatrack_engine **engine, unsigned int type,
			   unsigned int flags)
{
	struct dmatrack_engine *e;
	int err;

	if (dml_lacks(engine))
		return -EINVAL;
	if ((type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) ||
	    flags & ~DMATRACK_ENGINE_CHECKED)
		return dml_error(-EINVAL,
				 "unknown container type %u or flags 0x%x",
				 type, flags);
	if (posix_memalign((void **)&e, 64, sizeof(*e)))
		return dml_error(-ENOMEM, "no memory for a container");
	memset(e, 0, sizeof(*e));
	atomic_set(&e->users, 1);
	err = dmt_reclaim_init();
	if (err)
		goto err_free;
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
	dmt_container_close(&e->c);
	dmt_container_fini(&e->c);
err_host:
	dmt_host_fini(&e->host);
err_free:
	free(e);
	return dml_error(err, "creating a container in this process: %s",
			 strerrordesc_np(-err));
}

/* Pages left pinned are a bug in core: print it, and abort in the tests' builds */
static void check_nothing_left(const struct dmatrack_engine *e)
{
	long kept = e->host.kept;

	if (likely(e->host.pinned == kept && e->host.locked == kept))
		return;
	fprintf(stderr, "dmatrack: %ld pages left pinned, %ld accounted\n",
		e->host.pinned, e->host.locked);
#ifdef __SANITIZE_ADDRESS__
	abort();
#endif
}

void dml_engine_get(struct dmatrack_engine *e)
{
	atomic_inc(&e->users);
}

void dml_engine_put(struct dmatrack_engine *e)
{
	if (!atomic_dec_and_test(&e->users))
		return;
	dmt_container_fini(&e->c);
	rcu_barrier(); /* callbacks that give blocks back to the host */
	dmt_host_fini(&e->host);
	free(e);
}

void dmatrack_engine_destroy(struct dmatrack_engine *e)
{
	if (!e)
		return;
	dmatrack_engine_emulated(e, false);
	dmt_container_close(&e->c);
	rcu_barrier();
	check_nothing_left(e);
	dml_engine_put(e);
}

long dmatrack_engine_ioctl(struct dmatrack_engine *e, unsigned long cmd,
			   unsigned long arg)
{
	long ret;

	if (dml_lacks(e))
		return -EINVAL;
	ret = dmt_type1_ioctl(&e->c, cmd, arg);
	dmt_reclaim();
	if (unlikely(ret < 0))
		dml_error((int)ret, "call 0x%lx of the container: %s", cmd,
			  strerrordesc_np((int)-ret));
	return ret;
}

static int take_memory(struct dmatrack_memory *to,
		       const struct dmatrack_memory *from)
{
	int err = DML_SIZED_TAKE(to, from, struct dmatrack_memory, write);

	if (!err && (!to->read || !to->write))
		err = dml_error(-EINVAL,
				"struct dmatrack_memory: read() and write() "
				"are both needed");
	return err;
}

/* The checks that MAP_DMA makes before it calls core */
static int check_map(struct dmatrack_engine *e, uint64_t iova, uint64_t size,
		     unsigned int prot, u64 *last)
{
	if (!size || !prot || prot & ~(DMT_READ | DMT_WRITE) ||
	    size > dmt_user_end(&e->host))
		return -EINVAL;
	return check_add_overflow(iova, size - 1, last) ? -EOVERFLOW : 0;
}

int dmatrack_engine_map(struct dmatrack_engine *e, uint64_t iova, uint64_t size,
			unsigned int prot, const struct dmatrack_memory *memory)
{
	struct dmatrack_memory m;
	u64 last;
	int err;

	if (dml_lacks(e, memory))
		return -EINVAL;
	err = take_memory(&m, memory);
	if (err)
		return err;
	err = check_map(e, iova, size, prot, &last);
	if (!err) {
		dmt_memory_to_map = &m;
		err = dmt_map(&e->c, iova, last, 0, prot);
		dmt_memory_to_map = NULL;
		dmt_reclaim();
	}
	if (!err)
		return 0;
	return dml_error(
		err, "mapping 0x%llx bytes at IOVA 0x%llx: %s",
		(unsigned long long)size, (unsigned long long)iova,
		err == -EINVAL ?
			"not whole pages, no or unknown rights, too large, or "
			"IOVAs that can't be used" :
		err == -EEXIST ? "it overlaps a mapping" :
				 strerrordesc_np(-err));
}

int dmatrack_engine_write(struct dmatrack_engine *e, uint64_t iova,
			  const void *data, size_t size)
{
	if (dml_lacks(e, data))
		return -EINVAL;
	return result_of(dmt_operation_write(&e->c, iova, data, size),
			 "writing", iova, size);
}

int dmatrack_engine_read(struct dmatrack_engine *e, uint64_t iova, void *data,
			 size_t size)
{
	if (dml_lacks(e, data))
		return -EINVAL;
	return result_of(dmt_operation_read(&e->c, iova, data, size), "reading",
			 iova, size);
}

int dmatrack_engine_pin(struct dmatrack_engine *e, uint64_t iova,
			unsigned long npages, unsigned int prot, void **pages)
{
	int err;

	if (dml_lacks(e, pages))
		return -EINVAL;
	if (!READ_ONCE(e->host.unmap))
		return dml_error(
			-EINVAL,
			"register dmatrack_engine_on_unmap() before pinning");
	if (prot & ~(DMT_READ | DMT_WRITE))
		return dml_error(-EINVAL,
				 "rights 0x%x are not DMATRACK_MAP_READ (0x1), "
				 "DMATRACK_MAP_WRITE (0x2) or both",
				 prot);
	err = e->c.v2 ? dmt_operation_pin(&e->c, iova, npages, prot,
					  (struct page **)pages) :
			-EACCES; /* as the kernel's */
	return result_of(err, "pinning", iova, (uint64_t)npages << PAGE_SHIFT);
}

int dmatrack_engine_unpin(struct dmatrack_engine *e, uint64_t iova,
			  unsigned long npages)
{
	if (dml_lacks(e))
		return -EINVAL;
	return result_of(dmt_operation_unpin(&e->c, iova, npages), "unpinning",
			 iova, (uint64_t)npages << PAGE_SHIFT);
}

/* The usual cases of a mark are each a function without a call, which needs little of the stack. */
static noinline int mark_dirty(struct dmatrack_engine *e, uint64_t iova,
			       uint64_t size)
{
	dml_error_clear();
	if (!e) {
		dml_error_lacks("dmatrack_engine_mark_dirty", "e", 0);
		return -EINVAL;
	}
	return result_of(dmt_operation_mark(&e->c, iova, size), "marking", iova,
			 size);
}

static noinline int mark_run(struct dmatrack_engine *e, uint64_t iova,
			     uint64_t size)
{
	if (likely(dmt_mark(&e->c, iova, size, dmt_mark_run)))
		return 0;
	return mark_dirty(e, iova, size);
}

static noinline int mark_line(struct dmatrack_engine *e, uint64_t iova)
{
	if (likely(dmt_mark(&e->c, iova, DMT_MARK_LINE, dmt_mark_line)))
		return 0;
	return mark_run(e, iova, DMT_MARK_LINE);
}

int dmatrack_engine_mark_dirty(struct dmatrack_engine *e, uint64_t iova,
			       uint64_t size)
{
	if (unlikely(!e))
		return mark_dirty(e, iova, size);
	if (unlikely(size == DMT_MARK_LINE)) /* first: see engine/mark.h */
		return mark_line(e, iova);
	if (unlikely(size - 1 > (~iova & (PAGE_SIZE - 1)))) /* or it's 0 */
		return mark_run(e, iova, size);
	if (likely(dmt_mark(&e->c, iova, size, dmt_mark_page)))
		return 0;
	return mark_dirty(e, iova, size);
}

void dmatrack_engine_on_unmap(struct dmatrack_engine *e,
			      void (*unmap)(void *opaque, uint64_t iova,
					    uint64_t size),
			      void *opaque)
{
	if (!e)
		return;
	mutex_lock(&e->c.lock);
	e->host.opaque = opaque;
	smp_store_release(&e->host.unmap, unmap);
	mutex_unlock(&e->c.lock);
}

/* All devices in this process are one group. */
static struct iommu_group *own_group(struct dmatrack_engine *e)
{
	return (struct iommu_group *)e;
}

int dmatrack_engine_emulated(struct dmatrack_engine *e, bool there)
{
	if (there)
		return dmt_group_attach(&e->c, own_group(e), true);
	dmt_group_detach(&e->c, own_group(e));
	return 0;
}

int dmatrack_engine_attach(struct dmatrack_engine *e, struct iommu_group *group)
{
	return dmt_group_attach(&e->c, group, false);
}

void dmatrack_engine_detach(struct dmatrack_engine *e,
			    struct iommu_group *group)
{
	dmt_group_detach(&e->c, group);
}

long dmatrack_engine_locked(struct dmatrack_engine *e)
{
	return __atomic_load_n(&e->host.locked, __ATOMIC_RELAXED);
}

void dmatrack_engine_limit(struct dmatrack_engine *e, long npages)
{
	WRITE_ONCE(e->host.locked_max, npages);
}
