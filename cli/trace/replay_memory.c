// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The mappings' memory: address space is reserved at once, pages come when accessed.
 *
 * There are three kinds of areas: areas with a name; areas of one mapping each; and areas
 * for recorded addresses: ranges that overlapped or were adjacent in the recorded program
 * are one area, so that mappings which shared memory there share it here.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "replay.h"

/* Not canonical on x86-64, and beyond user space */
#define BAD_ADDRESS UINT64_C(0x8000000000000000)
#define NULL_SIZE \
	65536u /* bytes from address 0 on, where no program has memory */

static uint64_t page_down(uint64_t n)
{
	return n & ~(REPLAY_PAGE - 1);
}

/* Can its memory be allocated? Otherwise it gets BAD_ADDRESS. */
static bool has_memory(const struct replay_call *call)
{
	uint64_t end;

	return call->size && call->size <= REPLAY_MEMORY &&
	       !__builtin_add_overflow(call->place, call->size, &end) &&
	       end <= UINT64_MAX - REPLAY_PAGE;
}

static bool is_recorded(const struct replay_call *call)
{
	return call->verb == REPLAY_MAP && call->where == REPLAY_RECORDED &&
	       has_memory(call);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct replay_area *)a)->start;
	uint64_t y = ((const struct replay_area *)b)->start;

	return x < y ? -1 : x > y;
}

/* Merge areas that overlap or are adjacent. */
static void merge(struct replay_memory *m)
{
	struct replay_area *to = m->recorded, *from;
	uint64_t end;

	if (!m->nr_recorded)
		return;
	for (from = to + 1; from < m->recorded + m->nr_recorded; from++) {
		if (from->start > to->start + to->size) {
			*++to = *from;
			continue;
		}
		end = from->start + from->size;
		if (end > to->start + to->size)
			to->size = end - to->start;
	}
	m->nr_recorded = (uint32_t)(to - m->recorded) + 1;
}

static void add_recorded(struct replay_memory *m,
			 const struct replay_call *call)
{
	struct replay_area *area = &m->recorded[m->nr_recorded++];

	area->start = page_down(call->place);
	area->size = call->place + call->size - area->start;
}

int replay_memory_init(struct replay_memory *m, struct replay_trace *t)
{
	uint32_t i, n = 0;

	*m = (struct replay_memory){ .left = REPLAY_MEMORY };
	m->named = t->areas;
	m->nr_named = t->nr_areas;
	for (i = 0; i < t->nr_calls; i++)
		n += is_recorded(&t->calls[i]);
	m->recorded = calloc(n + 1, sizeof(*m->recorded));
	if (!m->recorded) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	for (i = 0; i < t->nr_calls; i++) {
		if (is_recorded(&t->calls[i]))
			add_recorded(m, &t->calls[i]);
	}
	qsort(m->recorded, m->nr_recorded, sizeof(*m->recorded), compare);
	merge(m);
	return 0;
}

static void free_areas(struct replay_area *area, uint32_t n)
{
	for (; n; n--, area++) {
		if (area->memory)
			munmap(area->memory, area->size);
	}
}

void replay_memory_free(struct replay_memory *m)
{
	free_areas(m->named, m->nr_named);
	free_areas(m->recorded, m->nr_recorded);
	free_areas(m->own, m->nr_own);
	free(m->recorded);
	free(m->own);
}

static bool allocate(struct replay_memory *m, struct replay_area *area)
{
	void *p;

	if (area->memory)
		return true;
	area->size = page_down(area->size + REPLAY_PAGE - 1);
	if (area->size > m->left)
		return false;
	p = mmap(NULL, area->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	m->left -= area->size;
	area->memory = p;
	return true;
}

static struct replay_area *find_recorded(struct replay_memory *m, uint64_t at)
{
	uint32_t low = 0, high = m->nr_recorded;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (m->recorded[middle].start <= at)
			low = middle;
		else
			high = middle;
	}
	return &m->recorded[low];
}

static struct replay_area *new_own(struct replay_memory *m, uint64_t size)
{
	uint32_t n = m->max_own ? 2 * m->max_own : 64;
	struct replay_area *own = m->own;

	if (m->nr_own == m->max_own) {
		own = reallocarray(own, n, sizeof(*own));
		if (!own)
			return NULL;
		m->own = own;
		m->max_own = n;
	}
	own += m->nr_own++;
	*own = (struct replay_area){ .size = size };
	return own;
}

static struct replay_area *
find(struct replay_memory *m, const struct replay_call *call, uint64_t *offset)
{
	struct replay_area *area;

	*offset = 0;
	if (call->where == REPLAY_NAMED) {
		*offset = call->place;
		return &m->named[call->area];
	}
	if (call->where == REPLAY_ANYWHERE)
		return new_own(m, call->size);
	area = find_recorded(m, call->place);
	*offset = call->place - area->start;
	return area;
}

/* Addresses that are reserved, without memory */
static void *unmapped(struct replay_memory *m, uint64_t size)
{
	struct replay_area *area = new_own(m, size);

	if (!area || !allocate(m, area) ||
	    mprotect(area->memory, area->size, PROT_NONE))
		return NULL;
	return area->memory;
}

static void *memory_of(struct replay_memory *m, const struct replay_call *call)
{
	struct replay_area *area;
	uint64_t offset;

	if (!has_memory(call))
		return replay_memory_wrong(m, REPLAY_POINTER_BAD, 0);
	area = find(m, call, &offset);
	return area && allocate(m, area) ? area->memory + offset : NULL;
}

int replay_memory_of(struct replay_memory *m, const struct replay_call *call,
		     const char *trace, void **memory)
{
	if (call->pointer != REPLAY_POINTER_GOOD) {
		*memory = replay_memory_wrong(m, call->pointer, call->size);
		if (*memory || call->pointer == REPLAY_POINTER_NULL)
			return 0;
	} else {
		*memory = memory_of(m, call);
		if (*memory)
			return 0;
	}
	cli_error("%s:%u: no room for %#llx bytes of memory", trace, call->line,
		  (unsigned long long)call->size);
	return CLI_FAILED;
}

void *replay_memory_wrong(struct replay_memory *m, enum replay_pointer pointer,
			  uint64_t size)
{
	switch (pointer) {
	case REPLAY_POINTER_UNMAPPED:
		if (size <= REPLAY_MEMORY)
			return unmapped(m, size ? size : 1);
		break;
	case REPLAY_POINTER_NULL:
		if (size <= NULL_SIZE)
			return NULL;
		break;
	default:
		break;
	}
	return (void *)(uintptr_t)BAD_ADDRESS;
}
