// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The memory that devices write, the copy, and where devices see it.
 *
 * The mappings are of differing sizes, none of them a multiple of 64 pages but
 * by chance, and follow each other, but for a hole before the last one: so
 * harvests cross mappings and holes, and words of bitmaps, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/copy.h"
#include "demo.h"

#define ALIGN		(2ull << 20)	/* a huge page */
#define STEP		(8ull << 20)	/* between two looks at progress */

static unsigned char *allocate(uint64_t size)
{
	uint64_t total = size + ALIGN, start, pad;
	unsigned char *p;

	p = mmap(NULL, total, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	start = ((uintptr_t)p + ALIGN - 1) / ALIGN * ALIGN;
	pad = start - (uintptr_t)p;
	if (pad)
		munmap(p, pad);
	if (pad < ALIGN)
		munmap(p + pad + size, ALIGN - pad);
	madvise(p + pad, size, MADV_HUGEPAGE);	/* if it can be had */
	return p + pad;
}

/* Each page differs from each other. */
static void fill(struct demo_memory *m)
{
	uint64_t *word = (uint64_t *)m->live, i, n = m->size / sizeof(*word);

	for (i = 0; i < n; i++) {
		if (!(i * sizeof(*word) % STEP))
			cli_progress("filling memory: %d %%",
				     (int)(100 * i / n));
		word[i] = (i + 1) * 0x9e3779b97f4a7c15ull;
	}
}

/* The copy's pages are there beforehand: rounds are to measure copying alone. */
static void touch(struct demo_memory *m)
{
	uint64_t at;

	for (at = 0; at < m->size; at += DEMO_PAGE) {
		if (!(at % STEP))
			cli_progress("making room for the copy: %d %%",
				     (int)(100 * at / m->size));
		m->copy[at] = 1;
	}
}

static bool machine_has(uint64_t size)
{
	return size / (uint64_t)sysconf(_SC_PAGESIZE) <
	       (uint64_t)sysconf(_SC_PHYS_PAGES);
}

int demo_memory_init(struct demo_memory *m, const struct demo_options *o)
{
	char text[CLI_TEXT];

	m->size = o->size;
	if (machine_has(2 * m->size)) {
		m->live = allocate(m->size);
		m->copy = allocate(m->size);
	}
	if (!m->live || !m->copy) {
		cli_error("there's no memory for twice %s: choose a smaller --size",
			  cli_format_size(text, m->size));
		return CLI_FAILED;
	}
	fill(m);
	touch(m);
	return 0;
}

void demo_memory_free(struct demo_memory *m)
{
	if (m->live)
		munmap(m->live, m->size);
	if (m->copy)
		munmap(m->copy, m->size);
}

/* Mapping i of n has about 2(i + 1)/(n(n + 1)) of the pages, and an odd number. */
static uint64_t share(uint64_t pages, unsigned int i, unsigned int n)
{
	return (pages / (n * (n + 1ull) / 2) * (i + 1)) | 1;
}

int demo_memory_layout(struct demo_memory *m, const struct demo_options *o)
{
	uint64_t pages = o->size / DEMO_PAGE, iova = o->iova, offset = 0, end;
	unsigned int i, n = (unsigned int)o->mappings;

	/* share() rounds up by a page a mapping at the most */
	if (pages < (n > 1 ? n * (n + 1ull) : 1))
		return cli_usage("too little memory for %u mappings", n);
	m->hole = n > 1 ? o->hole : 0;
	if (__builtin_add_overflow(o->size + m->hole - 1, iova, &end))
		return cli_usage("the memory does not fit at that --iova");
	for (i = 0; i < n; i++) {
		uint64_t size = share(pages, i, n) * DEMO_PAGE;

		if (i == n - 1) {
			size = o->size - offset;
			iova += m->hole;
		}
		m->mapping[i] = (struct demo_mapping){ iova, size, offset };
		iova += size;
		offset += size;
	}
	m->nmappings = n;
	m->last = end;
	return 0;
}

uint64_t demo_memory_copy(struct demo_memory *m, uint64_t iova, uint64_t last)
{
	uint64_t copied = 0;
	unsigned int i;

	for (i = 0; i < m->nmappings; i++) {
		const struct demo_mapping *map = &m->mapping[i];
		uint64_t from = iova > map->iova ? iova - map->iova : 0;
		uint64_t to;		/* inclusive, counted from the mapping's start */

		if (last < map->iova || from >= map->size)
			continue;
		to = last - map->iova;
		if (to >= map->size)
			to = map->size - 1;
		dmt_copy_racy(m->copy + map->offset + from,
			      m->live + map->offset + from, to - from + 1);
		copied += to - from + 1;
	}
	return copied;
}

uint64_t demo_memory_iova(const struct demo_memory *m, uint64_t offset)
{
	unsigned int i = m->nmappings - 1;

	while (m->mapping[i].offset > offset)
		i--;
	return m->mapping[i].iova + (offset - m->mapping[i].offset);
}

static void count_differences(const struct demo_memory *m,
			      struct demo_result *r, uint64_t from, uint64_t to)
{
	for (; from < to; from++) {
		if (m->live[from] == m->copy[from])
			continue;
		if (!r->differ++)
			r->first = from;
	}
}

void demo_memory_compare(const struct demo_memory *m, struct demo_result *r)
{
	uint64_t at, size;

	r->differ = 0;
	for (at = 0; at < m->size; at += size) {
		cli_progress("comparing: %d %%", (int)(100 * at / m->size));
		size = m->size - at < STEP ? m->size - at : STEP;
		if (memcmp(m->live + at, m->copy + at, size))
			count_differences(m, r, at, at + size);
	}
}
