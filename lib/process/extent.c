// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What is copied of a process.
 *
 * The memory that its devices may write to: a region for each run of IOVAs that the container maps for
 * writing, wherever in the process their memory is. Mappings of a device's memory (from a device to
 * another) are left out.
 *
 * With DMATRACK_PROCESS_ALL its other writable memory, at DMATRACK_PROCESS_ADDRESSES and its address. A process allocates
 * memory. As the regions of a copy can't change, each begins MARGIN before such memory and ends MARGIN
 * behind it, so that what is allocated meanwhile is likely to be in a region; what isn't memory, or isn't
 * writable, reads as zeros.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "process.h"

#define MARGIN	(64ull << 20)
#define LOWEST	65536ull
#define HIGHEST (1ull << 56) /* addresses of processes are below it */
#define BATCH	256u

/* Mappings ----------------------------------------------------------------------- */

int dml_extent_mappings(const struct dmatrack_process *p,
			struct dmatrack_mapping **m, size_t *n)
{
	struct dmatrack_mapping *grown;
	uint64_t iova = 0;
	int got = p->view ? BATCH : 0;

	*m = NULL;
	*n = 0;
	while (got == BATCH && (!*n || iova)) {
		grown = realloc(*m, (*n + BATCH) * sizeof(**m));
		if (!grown)
			return dml_no_memory();
		*m = grown;
		got = dmatrack_mappings(p->view, iova, *m + *n, BATCH);
		if (got < 0)
			return got;
		*n += (unsigned int)got;
		iova = *n ? (*m)[*n - 1].last + 1 : 0;
	}
	return 0;
}

/* Regions and spans ---------------------------------------------------------------- */

static int add_span(struct dmatrack_process *p,
		    const struct dmatrack_process_span *s)
{
	struct dmatrack_process_span *grown = p->span;

	if (!(p->nspans & (p->nspans - 1))) /* full: 0, 1, 2, 4, 8 ... */
		grown = realloc(grown, (p->nspans ? 2 * p->nspans : 1) *
					       sizeof(*grown));
	if (!grown)
		return dml_no_memory();
	p->span = grown;
	grown[p->nspans++] = *s;
	return 0;
}

/* Ascending; one that touches the last region becomes a part of it. */
static int add_region(struct dmatrack_process *p, uint64_t iova, uint64_t size)
{
	struct dmatrack_region *last =
		p->nregions ? &p->region[p->nregions - 1] : NULL;

	if (last && iova <= last->iova + last->size) {
		last->size = iova + size - last->iova;
		return 0;
	}
	if (p->nregions == DMATRACK_REGIONS_MAX)
		return dml_error(
			-ENOSPC,
			"the process's memory is in more than %u separate ranges",
			DMATRACK_REGIONS_MAX);
	p->region[p->nregions++] =
		(struct dmatrack_region){ .iova = iova, .size = size };
	return 0;
}

/* Is any of the memory in an area of a device? */
static bool is_foreign(const struct dmatrack_process *p, uint64_t first,
		       uint64_t end)
{
	const struct dml_area *a = dml_areas_from(&p->areas, first);

	for (; a < p->areas.area + p->areas.n && a->first < end; a++)
		if (a->foreign)
			return true;
	return false;
}

static int add_mapping(struct dmatrack_process *p,
		       const struct dmatrack_mapping *m)
{
	uint64_t size = m->last - m->iova + 1;
	struct dmatrack_process_span s = { .iova = m->iova,
					   .size = size,
					   .address = m->vaddr };
	int err;

	if (!(m->prot & DMATRACK_MAP_WRITE))
		return 0;
	if (!(m->flags & DMATRACK_MAPPED_VADDR))
		return dml_error(
			-EPERM,
			"the address of the memory at IOVA %#" PRIx64
			" is not known: run as root, or with CAP_SYS_PTRACE",
			m->iova);
	if (is_foreign(p, m->vaddr, m->vaddr + size))
		return 0;
	if (p->all && m->last >= DMATRACK_PROCESS_ADDRESSES)
		return dml_error(
			-EINVAL,
			"the container maps IOVA %#" PRIx64
			", and IOVAs from %#llx on stand for the process's other memory",
			m->last, DMATRACK_PROCESS_ADDRESSES);
	err = add_span(p, &s);
	return err ? err : add_region(p, m->iova, size);
}

/* A file that is in several areas is written by each of them, unseen in the others. */
static bool is_elsewhere(const struct dml_areas *all, const struct dml_area *a)
{
	size_t i;

	for (i = 0; a->inode && a->shared && i < all->n; i++)
		if (&all->area[i] != a && all->area[i].inode == a->inode &&
		    all->area[i].device == a->device &&
		    all->area[i].offset < a->offset + (a->end - a->first) &&
		    a->offset < all->area[i].offset +
					(all->area[i].end - all->area[i].first))
			return true;
	return false;
}

/* Which areas' writes can't be seen: @blind, an element for each */
static bool *list_blind(const struct dmatrack_process *p)
{
	bool *blind = calloc(p->areas.n + 1, sizeof(*blind));
	size_t i;

	for (i = 0; blind && i < p->areas.n; i++)
		blind[i] = p->areas.area[i].huge ||
			   is_elsewhere(&p->areas, &p->areas.area[i]);
	return blind;
}

static bool is_blind(const struct dmatrack_process *p, const bool *blind,
		     uint64_t first, uint64_t end)
{
	const struct dml_area *a = dml_areas_from(&p->areas, first);

	for (; a < p->areas.area + p->areas.n && a->first < end; a++)
		if (blind[a - p->areas.area])
			return true;
	return false;
}

/* All memory -------------------------------------------------------------------------- */

/* Call @found for each part of an area that no device can reach, until it fails. */
static int each_rest(const struct dmatrack_process *p, const struct dml_area *a,
		     void *to,
		     int (*found)(void *to, uint64_t first, uint64_t end))
{
	const struct dml_areas *r = &p->reached;
	const struct dml_area *by = dml_areas_from(r, a->first);
	uint64_t at = a->first;
	int err = 0;

	for (; at < a->end && !err; by++) {
		if (by == r->area + r->n || by->first >= a->end)
			return found(to, at, a->end);
		if (by->first > at)
			err = found(to, at, by->first);
		at = by->end;
	}
	return err;
}

static bool is_other(const struct dml_area *a)
{
	return a->writable && !a->foreign && a->end <= HIGHEST;
}

/* A region around the memory */
static int add_around(struct dmatrack_process *p,
		      const struct dmatrack_process_span *s)
{
	uint64_t first = s->address > LOWEST + MARGIN ? s->address - MARGIN :
							LOWEST;
	const struct dmatrack_region *last =
		p->nregions ? &p->region[p->nregions - 1] : NULL;

	if (last && last->iova >= DMATRACK_PROCESS_ADDRESSES &&
	    last->iova + last->size > DMATRACK_PROCESS_ADDRESSES + first)
		first = last->iova + last->size - DMATRACK_PROCESS_ADDRESSES;
	return add_region(p, DMATRACK_PROCESS_ADDRESSES + first,
			  s->address + s->size + MARGIN - first);
}

static int add_other(void *to, uint64_t first, uint64_t end)
{
	struct dmatrack_process *p = to;
	const struct dmatrack_process_span s = {
		.iova = DMATRACK_PROCESS_ADDRESSES + first,
		.size = end - first,
		.address = first,
	};
	int err = add_span(p, &s);

	return err ? err : add_around(p, &s);
}

int dml_extent_by_address(const void *x, const void *y)
{
	const struct dmatrack_process_span *a = x, *b = y;

	return a->address < b->address ? -1 : a->address > b->address;
}

/* The memory of mappings, ascending by address, without overlap */
static int list_reached(struct dmatrack_process *p)
{
	struct dmatrack_process_span *by = calloc(p->nspans + 1, sizeof(*by));
	struct dml_area *last = NULL, *all;
	size_t i;

	p->reached.area = all = calloc(p->nspans + 1, sizeof(*all));
	if (!by || !all) {
		free(by);
		return dml_no_memory();
	}
	for (i = 0; i < p->nspans; i++)
		by[i] = p->span[i];
	qsort(by, p->nspans, sizeof(*by), dml_extent_by_address);
	for (i = 0; i < p->nspans; i++) {
		uint64_t end = by[i].address + by[i].size;

		if (!last || by[i].address > last->end) {
			last = &all[p->reached.n++];
			last->first = by[i].address;
		}
		last->end = end > last->end ? end : last->end;
	}
	free(by);
	return 0;
}

static int add_others(struct dmatrack_process *p)
{
	int err = list_reached(p);
	size_t i;

	for (i = 0; i < p->areas.n && !err; i++)
		if (is_other(&p->areas.area[i]))
			err = each_rest(p, &p->areas.area[i], p, add_other);
	return err;
}

/* Choosing and checking ------------------------------------------------------------ */

/* Memory that is mapped at several IOVAs is written by each of them, unseen in the others. */
static void note_twice(struct dmatrack_process *p)
{
	struct dmatrack_process_span *order =
		calloc(p->nspans + 1, sizeof(*order));
	uint64_t end = 0;
	size_t i, j;

	if (!order) {
		for (i = 0; i < p->nspans; i++)
			p->span[i].blind = true;
		return;
	}
	for (i = 0; i < p->nspans; i++) {
		order[i] = p->span[i];
		order[i].iova = i;
	}
	qsort(order, p->nspans, sizeof(*order), dml_extent_by_address);
	for (i = 0, j = 0; i < p->nspans; i++) {
		if (i && order[i].address < end)
			p->span[order[i].iova].blind =
				p->span[order[j].iova].blind = true;
		if (order[i].address + order[i].size > end) {
			end = order[i].address + order[i].size;
			j = i;
		}
	}
	free(order);
}

static int set_blind(struct dmatrack_process *p)
{
	bool *blind = list_blind(p);
	size_t i;

	if (!blind)
		return dml_no_memory();
	for (i = 0; i < p->nspans; i++)
		p->span[i].blind =
			is_blind(p, blind, p->span[i].address,
				 p->span[i].address + p->span[i].size);
	free(blind);
	note_twice(p);
	return 0;
}

int dml_extent_choose(struct dmatrack_process *p)
{
	int err = dml_extent_mappings(p, &p->mapping, &p->nmappings);
	size_t i;

	p->region = calloc(DMATRACK_REGIONS_MAX, sizeof(*p->region));
	if (!err && !p->region)
		err = dml_no_memory();
	for (i = 0; i < p->nmappings && !err; i++)
		err = add_mapping(p, &p->mapping[i]);
	if (!err && p->all)
		err = add_others(p);
	if (!err && !p->nregions)
		err = dml_error(
			-ENOENT,
			"the container of process %d maps no memory that devices may write",
			p->pid);
	return err ? err : set_blind(p);
}

/* Is the mapping of the list the same as another? */
static bool is_equal(const struct dmatrack_mapping *a,
		     const struct dmatrack_mapping *b)
{
	return a->iova == b->iova && a->last == b->last &&
	       a->vaddr == b->vaddr && a->prot == b->prot;
}

static int check_mappings(const struct dmatrack_process *p)
{
	struct dmatrack_mapping *m;
	size_t n, i = 0;
	int err = dml_extent_mappings(p, &m, &n);

	while (!err && i < n && i < p->nmappings &&
	       is_equal(&m[i], &p->mapping[i]))
		i++;
	if (!err && (i < n || i < p->nmappings))
		err = dml_error(
			-ESTALE,
			"the process has changed its mappings at IOVA %#" PRIx64
			" while they were copied: copy it again",
			i < n ? m[i].iova : p->mapping[i].iova);
	free(m);
	return err;
}

/* Is the memory in a region? */
static int check_other(void *to, uint64_t first, uint64_t end)
{
	const struct dmatrack_process *p = to;
	uint64_t iova = DMATRACK_PROCESS_ADDRESSES + first;
	unsigned int i;

	for (i = 0; i < p->nregions; i++)
		if (iova >= p->region[i].iova &&
		    iova + (end - first) <=
			    p->region[i].iova + p->region[i].size)
			return 0;
	return dml_error(
		-ESTALE,
		"the process has allocated memory at %#" PRIx64
		" while it was copied, which is far from the rest: copy it again",
		first);
}

int dml_extent_check(struct dmatrack_process *p, const struct dml_areas *now)
{
	int err = p->view ? check_mappings(p) : 0;
	size_t i;

	for (i = 0; i < now->n && p->all && !err; i++)
		if (is_other(&now->area[i]))
			err = each_rest(p, &now->area[i], p, check_other);
	return err;
}
