// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The copy of what the workload writes. */
#include <string.h>
#include <sys/mman.h>

#include "lib/util/racy_copy.h"
#include "demo.h"

#define STEP		(8ull << 20)	/* between two looks at progress */

/* The copy's pages are there beforehand: rounds are to measure copying alone. */
static void touch(struct demo_memory *m)
{
	uint64_t at;

	for (at = 0; at < m->w.size; at += WORKLOAD_PAGE) {
		if (!(at % STEP))
			cli_progress("making room for the copy: %d %%",
				     (int)(100 * at / m->w.size));
		m->copy[at] = 1;
	}
}

int demo_memory_init(struct demo_memory *m)
{
	m->copy = workload_memory_allocate(m->w.size);
	if (!m->copy) {
		cli_error("there's no memory for the copy: choose a smaller --size");
		return CLI_FAILED;
	}
	touch(m);
	return 0;
}

void demo_memory_free(struct demo_memory *m)
{
	if (m->copy)
		munmap(m->copy, m->w.size);
	workload_close(&m->w);
}

uint64_t demo_memory_copy(struct demo_memory *m, uint64_t iova, uint64_t last)
{
	uint64_t copied = 0;
	unsigned int i;

	for (i = 0; i < m->w.nmappings; i++) {
		const struct workload_mapping *map = &m->w.mapping[i];
		uint64_t from = iova > map->iova ? iova - map->iova : 0;
		uint64_t to;		/* inclusive, counted from the mapping's start */

		if (last < map->iova || from >= map->size)
			continue;
		to = last - map->iova;
		if (to >= map->size)
			to = map->size - 1;
		dml_racy_copy(m->copy + map->offset + from,
			      m->w.live + map->offset + from, to - from + 1);
		copied += to - from + 1;
	}
	return copied;
}

static void count_differences(const struct demo_memory *m,
			      struct demo_result *r, uint64_t from, uint64_t to)
{
	for (; from < to; from++) {
		if (m->w.live[from] == m->copy[from])
			continue;
		if (!r->differ++)
			r->first = from;
	}
}

void demo_memory_compare(const struct demo_memory *m, struct demo_result *r)
{
	uint64_t at, size;

	r->differ = 0;
	for (at = 0; at < m->w.size; at += size) {
		cli_progress("comparing: %d %%", (int)(100 * at / m->w.size));
		size = m->w.size - at < STEP ? m->w.size - at : STEP;
		if (memcmp(m->w.live + at, m->copy + at, size))
			count_differences(m, r, at, at + size);
	}
}
