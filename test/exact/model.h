/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A model of a container by type1's rules: the right answer of each call, and the
 * pages that are dirty after it. It has one entry for each page of a window of IOVAs,
 * and no chunks, words or logs. One thread.
 *
 * A function for a call returns the call's right result: 0 or more, or -errno. It
 * changes the model only where its comment says so.
 */
#ifndef EXACT_MODEL_H
#define EXACT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_PAGE     4096ULL
#define MODEL_WINDOW   40000ULL /* pages: more than one chunk of the log */
#define MODEL_MAPPINGS 4096

/**
 * struct model_page - a page of IOVA
 * @mapping: index of its mapping, or -1
 * @dirty: bit i is set if it was written since view number i last harvested it
 * @written: pinned for writing
 * @pins: number of the device's pins
 */
struct model_page {
	int mapping;
	unsigned int dirty;
	bool written;
	unsigned int pins;
};

/* Pages [first, first + count); @prot: VFIO_DMA_MAP_FLAG_READ, _WRITE; 0: free */
struct model_mapping {
	uint64_t first;
	uint64_t count;
	unsigned int prot;
};

/* The container's own view is number 0. @tracking: bit i is set if view number i is on */
struct model {
	struct model_page page[MODEL_WINDOW];
	struct model_mapping mapping[MODEL_MAPPINGS];
	int nr; /* number of mappings */
	unsigned int tracking;
};

void model_init(struct model *m);

/* MAP_DMA; adds the mapping if the call must succeed. */
long model_map(struct model *m, uint64_t first, uint64_t count,
	       unsigned int prot);

/* UNMAP_DMA: number of bytes to unmap, or -EINVAL; model_forget() then unmaps them. */
long model_unmap(const struct model *m, uint64_t first, uint64_t count);
void model_forget(struct model *m, uint64_t first, uint64_t count);

/* Must a harvest by a view report any of the pages? */
bool model_reports(const struct model *m, unsigned int view, uint64_t first,
		   uint64_t count);
void model_clean(struct model *m, unsigned int view, uint64_t first,
		 uint64_t count);
static inline bool model_is_on(const struct model *m, unsigned int view)
{
	return m->tracking >> view & 1;
}

/*
 * The device's operations. A write that fails has written the pages before the one that
 * it failed at; a mark or a pin that fails has done nothing.
 */
long model_write(struct model *m, uint64_t at, uint64_t size);
long model_read(const struct model *m, uint64_t at, uint64_t size);
long model_mark(struct model *m, uint64_t at, uint64_t size);
long model_pin(const struct model *m, uint64_t first, uint64_t count,
	       bool write);
void model_pinned(struct model *m, uint64_t first, uint64_t count, bool write);
void model_unpinned(struct model *m, uint64_t first, uint64_t count);
bool model_has_pins(const struct model *m, uint64_t first, uint64_t count);

/* A view's first START, or a STOP */
void model_track(struct model *m, unsigned int view, bool on);

#endif
