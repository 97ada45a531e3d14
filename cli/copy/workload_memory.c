// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The memory that devices write to, and its mappings.
 *
 * The mappings have differing sizes, each an odd number of pages except the last one's,
 * and follow each other, with a hole before the last one: so harvests cross mappings,
 * a hole, and words of bitmaps.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "workload.h"

#define ALIGN (2ull << 20) /* a huge page */
#define STEP  (8ull << 20) /* bytes between two reports of progress */

unsigned char *workload_memory_allocate(uint64_t size)
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
	madvise(p + pad, size, MADV_HUGEPAGE); /* if possible */
	return p + pad;
}

/*
 * All pages differ. Each value is written to four words, so that the memory compresses
 * about as well as real memory.
 */
static void fill(struct workload *w, uint64_t size)
{
	uint64_t *word = (uint64_t *)w->live, i, n = size / sizeof(*word);

	for (i = 0; i < n; i++) {
		if (!(i * sizeof(*word) % STEP))
			cli_progress("filling memory: %d %%",
				     (int)(100 * i / n));
		word[i] = (i / 4 + 1) * 0x9e3779b97f4a7c15ull;
	}
}

static bool machine_has(uint64_t size, unsigned int copies)
{
	return size / (uint64_t)sysconf(_SC_PAGESIZE) * copies <
	       (uint64_t)sysconf(_SC_PHYS_PAGES);
}

int workload_memory_fill(struct workload *w)
{
	uint64_t filled = w->o->filled < w->o->size ? w->o->filled : w->o->size;
	char text[CLI_TEXT];

	w->size = w->o->size;
	if (machine_has(w->size, w->copies))
		w->live = workload_memory_allocate(w->size);
	if (!w->live) {
		cli_error("there's no memory for %s%s: choose a smaller --size",
			  w->copies > 1 ? "twice " : "",
			  cli_text_size(text, w->size));
		return CLI_FAILED;
	}
	fill(w, filled);
	return 0;
}

void workload_memory_free(struct workload *w)
{
	if (w->live)
		munmap(w->live, w->size);
	w->live = NULL;
}

/* Mapping i of n has about 2(i + 1)/(n(n + 1)) of the pages, and an odd number. */
static uint64_t share(uint64_t pages, unsigned int i, unsigned int n)
{
	return (pages / (n * (n + 1ull) / 2) * (i + 1)) | 1;
}

static int refuse_more(const char *option, uint64_t size, uint64_t all)
{
	char more[CLI_TEXT], less[CLI_TEXT];

	return cli_error_usage("--%s: %s is more than the memory, --size %s",
			       option, cli_text_size(more, size),
			       cli_text_size(less, all));
}

int workload_memory_layout(struct workload *w)
{
	const struct workload_options *o = w->o;
	uint64_t pages = o->size / WORKLOAD_PAGE, iova = o->iova, offset = 0;
	unsigned int i, n = (unsigned int)o->mappings;

	if (o->hot != WORKLOAD_AUTO && o->hot > o->size)
		return refuse_more("hot", o->hot, o->size);
	if (o->filled != WORKLOAD_AUTO && o->filled > o->size)
		return refuse_more("filled", o->filled, o->size);
	/* share() rounds up by a page a mapping at the most */
	if (pages < (n > 1 ? n * (n + 1ull) : 1))
		return cli_error_usage(
			"--size: too small for %u mappings; choose fewer --mappings",
			n);
	w->hole = n > 1 ? o->hole : 0;
	if (__builtin_add_overflow(o->size + w->hole - 1, iova, &w->last))
		return cli_error_usage(
			"--iova: the memory would go beyond the last IOVA");
	for (i = 0; i < n; i++) {
		uint64_t size = share(pages, i, n) * WORKLOAD_PAGE;

		if (i == n - 1) {
			size = o->size - offset;
			iova += w->hole;
		}
		w->mapping[i] = (struct workload_mapping){ iova, size, offset };
		iova += size;
		offset += size;
	}
	w->nmappings = n;
	return 0;
}

uint64_t workload_memory_iova(const struct workload *w, uint64_t offset)
{
	unsigned int i = w->nmappings - 1;

	while (w->mapping[i].offset > offset)
		i--;
	return w->mapping[i].iova + (offset - w->mapping[i].offset);
}

uint64_t workload_memory_hot(const struct workload *w)
{
	return w->o->hot < w->size ? w->o->hot : w->size;
}
