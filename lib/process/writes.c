// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the process's processors write: the log of its process, by addresses, is translated to regions. What
 * it can't see counts as written at each harvest (struct dmatrack_process_span, @blind); without a log, that's all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dmatrack.h"
#include "lib/util/bits.h"
#include "lib/util/error.h"
#include "process.h"

static uint64_t pages_of(const struct dmatrack_process *p, unsigned int region)
{
	return p->region[region].size / DML_PROCESS_PAGE;
}

/* Mark IOVAs in the regions that hold them. */
static void mark_iova(struct dmatrack_process *p, uint64_t iova, uint64_t size)
{
	const struct dmatrack_region *r;
	uint64_t first, last, end = iova + (size - 1);
	unsigned int i;

	for (i = 0; i < p->nregions && p->region[i].iova <= end; i++) {
		r = &p->region[i];
		if (r->iova + (r->size - 1) < iova)
			continue;
		first = iova > r->iova ? iova : r->iova;
		last = r->iova + (r->size - 1);
		last = end < last ? end : last;
		dml_set_bits(p->written[i],
			     (first - r->iova) / DML_PROCESS_PAGE,
			     (last - first) / DML_PROCESS_PAGE + 1);
	}
}

/* Mark the part of a span that has these addresses. */
static void mark_span(struct dmatrack_process *p,
		      const struct dmatrack_process_span *s, uint64_t first,
		      uint64_t end)
{
	uint64_t from = first > s->address ? first : s->address;
	uint64_t to = s->address + s->size;

	to = end < to ? end : to;
	if (from < to)
		mark_iova(p, s->iova + (from - s->address), to - from);
}

void dml_writes_mark(struct dmatrack_process *p, uint64_t first, uint64_t end)
{
	size_t i;

	for (i = 0; i < p->nspans; i++)
		mark_span(p, &p->span[i], first, end);
	if (p->all && end <= DMATRACK_PROCESS_ADDRESSES)
		mark_iova(p, DMATRACK_PROCESS_ADDRESSES + first, end - first);
}

/* Spans that the log reports are disjoint. */
static void found(void *opaque, uint64_t address, uint64_t size)
{
	struct dmatrack_process *p = opaque;
	size_t low = 0, high = p->nseen, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (p->seen[mid].address + p->seen[mid].size <= address)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < p->nseen && p->seen[low].address < address + size; low++)
		mark_span(p, &p->seen[low], address, address + size);
}

static int harvest(struct dmatrack_process *p)
{
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 0 - (uint64_t)DML_PROCESS_PAGE,
		.page_size = DML_PROCESS_PAGE,
		.opaque = p,
		.found = found,
	};
	size_t i;

	for (i = 0; i < p->nspans; i++)
		if (p->span[i].blind || !p->log)
			mark_iova(p, p->span[i].iova, p->span[i].size);
	return p->log ? dmatrack_harvest_ranges(p->log, &all) : 0;
}

/* Regions are asked for one after the other: the log is harvested for the first one. */
int dml_writes_dirty(struct dmatrack_process *p, unsigned int region,
		     uint64_t *bitmap)
{
	uint64_t words = (pages_of(p, region) + DML_WORD_BITS - 1) /
			 DML_WORD_BITS,
		 i;
	int err = 0;

	if (!bitmap)
		return region || !p->log ? 0 : dmatrack_start(p->log);
	if (!region)
		err = harvest(p);
	if (err)
		return err;
	for (i = 0; i < words; i++) {
		bitmap[i] |= p->written[region][i];
		p->written[region][i] = 0;
	}
	return 0;
}

/* Opening ------------------------------------------------------------------------ */

static void list_seen(struct dmatrack_process *p)
{
	size_t i;

	for (i = 0; i < p->nspans; i++)
		if (!p->span[i].blind)
			p->seen[p->nseen++] = p->span[i];
	qsort(p->seen, p->nseen, sizeof(*p->seen), dml_extent_by_address);
}

/* The log's mappings: addresses, as IOVAs too */
static int open_log(struct dmatrack_process *p)
{
	struct dmatrack_mapping *m = calloc(p->nseen + 1, sizeof(*m));
	struct dmatrack_process_log from = {
		.size = sizeof(from),
		.pid = p->pid,
		.mappings = m,
	};
	size_t i;
	int err;

	if (!m)
		return -ENOMEM;
	for (i = 0; i < p->nseen; i++)
		m[i] = (struct dmatrack_mapping){
			.iova = p->seen[i].address,
			.last = p->seen[i].address + (p->seen[i].size - 1),
			.vaddr = p->seen[i].address,
		};
	from.nr_mappings = (uint32_t)p->nseen;
	err = p->nseen ? dmatrack_open_process_log(&p->log, &from) : 0;
	free(m);
	return err;
}

int dml_writes_open(struct dmatrack_process *p)
{
	unsigned int i;
	int err;

	p->seen = calloc(p->nspans + 1, sizeof(*p->seen));
	p->written = calloc(p->nregions, sizeof(*p->written));
	for (i = 0; p->written && i < p->nregions; i++) {
		p->written[i] =
			calloc(1, dmatrack_bitmap_size(p->region[i].size,
						       DML_PROCESS_PAGE));
		if (!p->written[i])
			break;
	}
	if (!p->seen || i < p->nregions)
		return dml_no_memory();
	list_seen(p);
	err = open_log(p);
	if (err)
		p->no_log = dml_error_save(err);
	return 0;
}

void dml_writes_close(struct dmatrack_process *p)
{
	unsigned int i;

	dmatrack_close(p->log);
	for (i = 0; p->written && i < p->nregions; i++)
		free(p->written[i]);
	free(p->written);
	free(p->seen);
}
