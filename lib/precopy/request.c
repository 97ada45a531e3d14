// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Request: see request.h. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "request.h"

#define ROUNDS	   30
#define DOWNTIME   300000000ull /* ns */
#define STANDSTILL 30000000000ull
#define FLAGS	   (DMATRACK_REFINE | DMATRACK_GIVE_UP)

static int check_dest(struct dml_request *q)
{
	int ret;

	if (!q->p.dest)
		return dml_error(-EINVAL, "the destination is NULL");
	ret = DML_SIZED_TAKE(&q->ops, q->p.dest->ops, struct dmatrack_dest_ops,
			     finish);
	if (ret)
		return ret;
	if (!q->ops.begin || !q->ops.write || !q->ops.zero || !q->ops.finish)
		return dml_error(
			-EINVAL,
			"the destination needs begin(), write(), zero() and finish()");
	return 0;
}

/* Page size ------------------------------------------------------------------ */

/* The smallest page that a container can track */
static int smallest_of(struct dmatrack *t, uint64_t *size)
{
	struct dmatrack_container_info *info;
	int ret = dmatrack_get_info(t, &info);

	if (ret)
		return ret;
	*size = info->dirty_page_sizes & -info->dirty_page_sizes;
	dmatrack_info_free(info);
	return *size ? 0 :
		       dml_error(-EOPNOTSUPP,
				 "the %s driver can't track this container",
				 dmatrack_driver(t));
}

/* The smallest page that all containers can track */
static int smallest_page(const struct dmatrack_precopy *p, uint64_t *smallest)
{
	uint64_t size;
	uint32_t i;
	int ret;

	*smallest = (uint64_t)sysconf(_SC_PAGESIZE);
	for (i = 0; i < p->ncontainers; i++) {
		ret = smallest_of(p->containers[i], &size);
		if (ret)
			return ret;
		if (size > *smallest)
			*smallest = size;
	}
	return 0;
}

static int check_page_size(struct dml_request *q)
{
	uint64_t size = q->p.page_size, smallest;
	int ret = smallest_page(&q->p, &smallest);

	if (ret)
		return ret;
	if (!size)
		size = smallest;
	if ((size & (size - 1)) || size < smallest || size > DMATRACK_WRITE_MAX)
		return dml_error(-EINVAL,
				 "page size %" PRIu64
				 " is not a power of two from %" PRIu64
				 " to %u",
				 size, smallest, DMATRACK_WRITE_MAX);
	q->p.page_size = (uint32_t)size;
	return 0;
}

/* Regions -------------------------------------------------------------------- */

static int check_region(const struct dml_request *q, uint32_t i)
{
	const struct dmatrack_region *r = &q->p.regions[i], *before = r - 1;
	uint64_t mask = q->p.page_size - 1, last;
	uintptr_t end;

	if (!r->size || ((r->iova | r->size) & mask))
		return dml_error(-EINVAL,
				 "region %u: 0x%" PRIx64 " bytes at 0x%" PRIx64
				 " are not whole pages of %u",
				 i, r->size, r->iova, q->p.page_size);
	if (__builtin_add_overflow(r->iova, r->size - 1, &last))
		return dml_error(-EINVAL,
				 "region %u: 0x%" PRIx64 " bytes at 0x%" PRIx64
				 " reach beyond the last IOVA",
				 i, r->size, r->iova);
	if (i && r->iova <= before->iova + (before->size - 1))
		return dml_error(
			-EINVAL,
			"region %u: 0x%" PRIx64
			" is not after region %u, which ends with 0x%" PRIx64,
			i, r->iova, i - 1, before->iova + (before->size - 1));
	if (q->p.read)
		return 0;
	if (!r->vaddr || r->size > SIZE_MAX ||
	    __builtin_add_overflow((uintptr_t)r->vaddr, r->size - 1, &end))
		return dml_error(-EINVAL,
				 "region %u: vaddr %p can't hold 0x%" PRIx64
				 " bytes, and read() is NULL",
				 i, r->vaddr, r->size);
	return 0;
}

static int check_regions(struct dml_request *q)
{
	uint32_t i;
	int ret;

	if (!q->p.nregions || q->p.nregions > DMATRACK_REGIONS_MAX ||
	    !q->p.regions)
		return dml_error(-EINVAL, "%u regions, not 1 to %u",
				 q->p.regions ? q->p.nregions : 0,
				 DMATRACK_REGIONS_MAX);
	for (i = 0; i < q->p.nregions; i++) {
		uint64_t n = dml_request_pages(q, i);

		ret = check_region(q, i);
		if (ret)
			return ret;
		q->pages += n;
		if (n > q->largest)
			q->largest = n;
	}
	return 0;
}

static int check_rest(const struct dmatrack_precopy *p)
{
	uint32_t i;

	if (p->flags & ~FLAGS)
		return dml_error(-EINVAL, "unknown flags 0x%x",
				 p->flags & ~FLAGS);
	if (p->reserved)
		return dml_error(-EINVAL, "reserved is %u, not 0", p->reserved);
	if (!p->stop)
		return dml_error(-EINVAL, "stop() is NULL");
	if (p->ncontainers && !p->containers)
		return dml_error(-EINVAL,
				 "ncontainers is %u, but containers is NULL",
				 p->ncontainers);
	for (i = 0; i < p->ncontainers; i++) {
		if (!p->containers[i])
			return dml_error(-EINVAL, "container %u is NULL", i);
	}
	return 0;
}

/* The default is five times the downtime: on a shared network or disk a forecast may be wrong by that. */
static int set_standstill(struct dmatrack_precopy *p)
{
	uint64_t five;

	if (p->standstill && p->standstill < p->downtime)
		return dml_error(
			-EINVAL,
			"standstill %" PRIu64
			" ns is less than the allowed downtime, %" PRIu64 " ns",
			p->standstill, p->downtime);
	if (__builtin_mul_overflow(p->downtime, 5, &five))
		five = UINT64_MAX;
	if (!p->standstill)
		p->standstill = five > STANDSTILL ? five : STANDSTILL;
	return 0;
}

int dml_request_init(struct dml_request *q, const struct dmatrack_precopy *p)
{
	int ret;

	memset(q, 0, sizeof(*q));
	ret = DML_SIZED_TAKE(&q->p, p, struct dmatrack_precopy, stop);
	if (!ret)
		ret = check_rest(&q->p);
	if (!ret)
		ret = check_dest(q);
	if (!ret)
		ret = check_page_size(q);
	if (!ret)
		ret = check_regions(q);
	if (ret)
		return ret;
	if (!q->p.max_rounds)
		q->p.max_rounds = ROUNDS;
	if (!q->p.downtime)
		q->p.downtime = DOWNTIME;
	return set_standstill(&q->p);
}
