// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A log: the pages that processors write in a process's memory, by its page tables: of this process
 * (written.h), of another one, or of this one before Linux 6.7 (soft_dirty.h).
 *
 * Page tables say of a page that is present or swapped out whether it was written. A page that has gone
 * (MADV_DONTNEED) reads as zeros, which is a change, too: so for each page there is a bit that says whether
 * it was there at the last look; one that is absent now is reported once. The zero page counts as absent.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/dmt_env.h"
#include "lib/util/bits.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"
#include "log.h"
#include "soft_dirty.h"
#include "written.h"

#define MAX_AREAS 65535u
#define PIECE	  (1ull << 34) /* bytes that one call should read */

/**
 * struct area - memory of the process
 * @addr: its first address
 * @end: the address after it
 * @iova: the first address's IOVA
 * @there: while it logs: bitmap of pages that were there at the last look, a bit for each
 */
struct area {
	uint64_t addr, end;
	uint64_t iova;
	uint64_t *there;
};

/**
 * struct log_process - the log of a process
 * @base: the common part
 * @area: array of its memory, in the order of @base.range
 * @protects: whether it's by @written; else by @soft_dirty
 * @starting: whether @area[].there is filled in, and nothing is reported
 * @at: the area that is being looked at
 * @looked: address in it up to which its pages have been looked at
 * @bits: while it logs, by @soft_dirty: array like @area, with what was found at the last look
 * @written: pages that are protected
 * @soft_dirty: pages with soft-dirty bits
 */
struct log_process {
	struct dml_log base;
	struct area *area;
	bool protects;
	bool starting;
	struct area *at;
	uint64_t looked;
	struct dml_soft_dirty_area *bits;
	struct dml_written written;
	struct dml_soft_dirty soft_dirty;
};

static struct log_process *to_process(struct dml_log *log)
{
	return container_of(log, struct log_process, base);
}

/* Looking ----------------------------------------------------------------------- */

static void report(struct log_process *p, uint64_t addr, uint64_t end)
{
	uint64_t iova = p->at->iova + (addr - p->at->addr);

	if (!p->starting)
		dml_log_mark(&p->base, iova, iova + (end - addr) - 1);
}

/* These pages are absent: report those that were there. */
static void seen_absent(struct log_process *p, uint64_t addr, uint64_t end)
{
	const struct area *a = p->at;
	uint64_t first = (addr - a->addr) / PAGE_SIZE;
	uint64_t last = (end - a->addr) / PAGE_SIZE, pos = first, n;

	for (; dmatrack_next_run(a->there, last, &pos, &n); pos += n)
		report(p, a->addr + pos * PAGE_SIZE,
		       a->addr + (pos + n) * PAGE_SIZE);
	dml_clear_bits(a->there, first, last - first);
}

/* A stretch of the area has been looked at; what was passed over is absent. */
static void seen(void *arg, const struct dml_stretch *s)
{
	struct log_process *p = arg;
	const struct area *a = p->at;

	if (s->first > p->looked)
		seen_absent(p, p->looked, s->first);
	p->looked = s->end;
	if (s->categories & DML_PAGE_ZERO) {
		seen_absent(p, s->first, s->end);
		return;
	}
	if (s->categories & DML_PAGE_WRITTEN)
		report(p, s->first, s->end);
	dml_set_bits(a->there, (s->first - a->addr) / PAGE_SIZE,
		     (s->end - s->first) / PAGE_SIZE);
}

/* Begin and end to look at a part of an area. */

static void look_begin(struct log_process *p, struct area *a, uint64_t addr)
{
	p->at = a;
	p->looked = addr;
}

static void look_end(struct log_process *p, uint64_t end)
{
	if (p->looked < end)
		seen_absent(p, p->looked, end);
}

static int look(struct log_process *p, struct area *a, uint64_t addr,
		uint64_t end)
{
	int err;

	look_begin(p, a, addr);
	err = dml_written_take(&p->written, addr, end, seen, p);
	if (!err)
		look_end(p, end);
	return err;
}

static int take_protected(struct log_process *p, uint64_t iova, uint64_t last)
{
	const struct dmatrack_range *r = p->base.range;
	uint32_t i = dml_log_find(r, p->base.nr, iova);
	int err = 0;

	for (; i < p->base.nr && r[i].iova <= last && !err; i++) {
		struct area *a = &p->area[i];

		err = look(p, a, a->addr + (max(iova, r[i].iova) - a->iova),
			   a->addr + (min(last, r[i].last) - a->iova) + 1);
	}
	return err;
}

/* What was found in an area, as stretches: those that were written, and the rest that is there */
static void see_bits(struct log_process *p, uint32_t i)
{
	const struct dml_soft_dirty_area *b = &p->bits[i];
	uint64_t pages = (b->end - b->addr) / PAGE_SIZE, pos = 0, n, at, len;
	struct dml_stretch s = { .categories = DML_PAGE_PRESENT };

	look_begin(p, &p->area[i], b->addr);
	for (; dmatrack_next_run(b->there, pages, &pos, &n); pos += n) {
		s.first = b->addr + pos * PAGE_SIZE;
		s.end = s.first + n * PAGE_SIZE;
		seen(p, &s);
	}
	look_end(p, b->end);
	for (at = 0; dmatrack_next_run(b->written, pages, &at, &len); at += len)
		report(p, b->addr + at * PAGE_SIZE,
		       b->addr + (at + len) * PAGE_SIZE);
}

static int take_bits(struct log_process *p)
{
	int err = dml_soft_dirty_take(&p->soft_dirty, p->bits, p->base.nr);
	uint32_t i;

	for (i = 0; i < p->base.nr && !err; i++)
		see_bits(p, i);
	return err;
}

static int process_take(struct dml_log *log, uint64_t iova, uint64_t last)
{
	struct log_process *p = to_process(log);

	return p->protects ? take_protected(p, iova, last) : take_bits(p);
}

static uint64_t process_piece(const struct dml_log *log)
{
	const struct log_process *p =
		container_of(log, struct log_process, base);

	return p->protects ? PIECE : 1ull << 63;
}

/* Starting and stopping --------------------------------------------------------- */

static void free_bits(struct log_process *p)
{
	uint32_t i;

	for (i = 0; i < p->base.nr; i++) {
		free(p->area[i].there);
		p->area[i].there = NULL;
		if (p->bits) {
			free(p->bits[i].there);
			free(p->bits[i].written);
		}
	}
	free(p->bits);
	p->bits = NULL;
}

static int allocate(const struct area *a, uint64_t **bitmap)
{
	*bitmap = calloc(1, dmatrack_bitmap_size(a->end - a->addr, PAGE_SIZE));
	return *bitmap ? 0 : -ENOMEM;
}

static int allocate_bits(struct log_process *p)
{
	uint32_t i;
	int err = 0;

	if (!p->protects)
		p->bits = calloc(p->base.nr, sizeof(*p->bits));
	if (!p->protects && !p->bits)
		return dml_no_memory();
	for (i = 0; i < p->base.nr && !err; i++) {
		struct area *a = &p->area[i];

		err = allocate(a, &a->there);
		if (p->protects)
			continue;
		p->bits[i].addr = a->addr;
		p->bits[i].end = a->end;
		if (!err)
			err = allocate(a, &p->bits[i].there);
		if (!err)
			err = allocate(a, &p->bits[i].written);
	}
	return err ? dml_no_memory() : 0;
}

static void unwatch(struct log_process *p, uint32_t n)
{
	while (n--)
		dml_written_unwatch(&p->written, p->area[n].addr,
				    p->area[n].end);
}

static int watch(struct log_process *p)
{
	uint32_t n;
	int err = 0;

	for (n = 0; n < p->base.nr && !err; n += !err)
		err = dml_written_watch(&p->written, p->area[n].addr,
					p->area[n].end);
	if (err) {
		unwatch(p, n);
		return err;
	}
	err = take_protected(p, 0, UINT64_MAX); /* protects all */
	if (!err)
		return 0;
	unwatch(p, n);
	return dml_error(err, "memory was unmapped meanwhile");
	return err;
}

static int begin_bits(struct log_process *p)
{
	int err = dml_soft_dirty_begin(&p->soft_dirty);

	if (err)
		return err;
	err = take_bits(p);
	if (err)
		dml_soft_dirty_end(&p->soft_dirty);
	return err;
}

static int process_start(struct dml_log *log)
{
	struct log_process *p = to_process(log);
	int err = allocate_bits(p);

	p->starting = true;
	if (!err)
		err = p->protects ? watch(p) : begin_bits(p);
	p->starting = false;
	if (err)
		free_bits(p);
	return err;
}

static void process_stop(struct dml_log *log)
{
	struct log_process *p = to_process(log);

	if (p->protects)
		unwatch(p, p->base.nr);
	else
		dml_soft_dirty_end(&p->soft_dirty);
	free_bits(p);
}

static void process_close(struct dml_log *log)
{
	struct log_process *p = to_process(log);

	if (p->area)
		free_bits(p);
	dml_written_close(&p->written);
	dml_soft_dirty_close(&p->soft_dirty);
	free(p->area);
	free(p->base.range);
	free(p);
}

static const struct dml_log_ops process_ops = {
	.start = process_start,
	.stop = process_stop,
	.take = process_take,
	.piece = process_piece,
	.close = process_close,
};

/* Opening ----------------------------------------------------------------------- */

static int by_iova(const void *a, const void *b)
{
	const struct area *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static int by_addr(const void *a, const void *b)
{
	const struct area *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Leaves the areas in ascending order of addresses. */
static int check_addresses(struct area *a, uint32_t nr)
{
	uint32_t i;

	qsort(a, nr, sizeof(*a), by_addr);
	for (i = 0; i < nr; i++) {
		if (a[i].addr % PAGE_SIZE || a[i].end <= a[i].addr)
			return dml_error(-EINVAL,
					 "struct dmatrack_process_log: address "
					 "0x%llx is not page-aligned, or the "
					 "mapping reaches beyond the last",
					 (unsigned long long)a[i].addr);
		if (i && a[i].addr < a[i - 1].end)
			return dml_error(-EINVAL,
					 "struct dmatrack_process_log: memory "
					 "at 0x%llx is in two mappings",
					 (unsigned long long)a[i].addr);
	}
	return 0;
}

static int set_areas(struct log_process *p,
		     const struct dmatrack_process_log *from)
{
	const struct dmatrack_mapping *m = from->mappings;
	uint32_t i, nr = from->nr_mappings;
	int err;

	p->area = calloc(nr + 1ull, sizeof(*p->area));
	p->base.range = calloc(nr + 1ull, sizeof(*p->base.range));
	if (!p->area || !p->base.range)
		return dml_no_memory();
	for (i = 0; i < nr; i++) {
		p->base.range[i].iova = m[i].iova;
		p->base.range[i].last = m[i].last;
		p->area[i].iova = m[i].iova;
		p->area[i].addr = m[i].vaddr;
		p->area[i].end = m[i].vaddr + (m[i].last - m[i].iova) + 1;
	}
	p->base.nr = nr;
	if (dml_log_sort(p->base.range, nr))
		return dml_error(-EINVAL,
				 "struct dmatrack_process_log: no mappings, or "
				 "one that is not whole pages, or two that "
				 "overlap");
	err = check_addresses(p->area, nr);
	qsort(p->area, nr, sizeof(*p->area), by_iova);
	return err;
}

static int take_process_log(struct dmatrack_process_log *to,
			    const struct dmatrack_process_log *from)
{
	int err =
		DML_SIZED_TAKE(to, from, struct dmatrack_process_log, mappings);

	if (!err && to->nr_mappings && !to->mappings)
		err = dml_error(-EINVAL, "struct dmatrack_process_log: "
					 "mappings is NULL");
	if (!err && to->nr_mappings > MAX_AREAS)
		err = dml_error(-ENOSPC,
				"struct dmatrack_process_log: %u mappings, "
				"more than %u",
				to->nr_mappings, MAX_AREAS);
	if (!err && to->pid < 0)
		err = dml_error(-EINVAL,
				"struct dmatrack_process_log: pid is %d",
				(int)to->pid);
	return err;
}

static int open_process(struct log_process *p, pid_t pid)
{
	int err = -EOPNOTSUPP;

	if (pid == getpid())
		err = dml_written_open(&p->written);
	p->protects = !err;
	return err == -EOPNOTSUPP ? dml_soft_dirty_open(&p->soft_dirty, pid) :
				    err;
}

int dmatrack_open_process_log(struct dmatrack **t,
			      const struct dmatrack_process_log *process_log)
{
	struct dmatrack_process_log from;
	struct log_process *p;
	int err;

	if (dml_lacks(t, process_log))
		return -EINVAL;
	err = take_process_log(&from, process_log);
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return dml_no_memory();
	dml_log_init(&p->base, &process_ops, "process");
	p->written.uffd = p->written.pagemap = -1;
	p->soft_dirty.pagemap = p->soft_dirty.clear = -1;
	p->soft_dirty.process = -1;
	err = set_areas(p, &from);
	if (!err)
		err = open_process(p, from.pid ? from.pid : getpid());
	return dml_log_open(t, &p->base, err);
}
