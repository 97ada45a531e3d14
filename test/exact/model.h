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
 * @dirty: written since it was last harvested
 * @written: pinned for writing
 * @pins: number of the device's pins
 */
struct model_page {
	int mapping;
	bool dirty;
	bool written;
	unsigned int pins;
};

/* Pages [first, first + count); @prot: VFIO_DMA_MAP_FLAG_READ, _WRITE; 0: free */
struct model_mapping {
	uint64_t first;
	uint64_t count;
	unsigned int prot;
};

struct model {
	struct model_page page[MODEL_WINDOW];
	struct model_mapping mapping[MODEL_MAPPINGS];
	int nr; /* number of mappings */
	bool tracking;
};

void model_init(struct model *m);

/* MAP_DMA; adds the mapping if the call must succeed. */
long model_map(struct model *m, uint64_t first, uint64_t count,
	       unsigned int prot);

/* UNMAP_DMA: number of bytes to unmap, or -EINVAL; model_forget() then unmaps them. */
long model_unmap(const struct model *m, uint64_t first, uint64_t count);
void model_forget(struct model *m, uint64_t first, uint64_t count);

/* Must a harvest report any of the pages? */
bool model_reports(const struct model *m, uint64_t first, uint64_t count);
void model_clean(struct model *m, uint64_t first, uint64_t count);

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

/* The first START, or a STOP */
void model_track(struct model *m, bool on);

#endif
