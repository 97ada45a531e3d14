/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A container as type1's rules have it: what each call must answer, and which
 * pages are dirty after it. One entry for each page of a window of IOVAs; the
 * model knows nothing of chunks, words and logs. One thread.
 *
 * A function that answers for a call returns what the call must return: 0 or
 * more, or -errno. It changes the model only where it says so.
 */
#ifndef EXACT_MODEL_H
#define EXACT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_PAGE	4096ULL
#define MODEL_WINDOW	40000ULL	/* pages: more than one chunk of the log */
#define MODEL_MAPPINGS	4096

/**
 * struct model_page - a page of IOVA
 * @mapping: index of its mapping, or -1
 * @dirty: written since it was last harvested
 * @written: pinned for writing
 * @pins: how often the device has it pinned
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
	int nr;			/* of mappings */
	bool tracking;
};

void model_init(struct model *m);

/* MAP_DMA; if it succeeds, the mapping is there afterwards. */
long model_map(struct model *m, uint64_t first, uint64_t count,
	       unsigned int prot);

/* UNMAP_DMA: bytes to be unmapped, or -EINVAL; model_forget() then unmaps them. */
long model_unmap(const struct model *m, uint64_t first, uint64_t count);
void model_forget(struct model *m, uint64_t first, uint64_t count);

/* Is any of the pages reported by a harvest? */
bool model_reports(const struct model *m, uint64_t first, uint64_t count);
void model_clean(struct model *m, uint64_t first, uint64_t count);

/*
 * The device. A write that fails has written the pages before the one that it
 * failed at; a mark or a pin that fails has done nothing.
 */
long model_write(struct model *m, uint64_t at, uint64_t size);
long model_read(const struct model *m, uint64_t at, uint64_t size);
long model_mark(struct model *m, uint64_t at, uint64_t size);
long model_pin(const struct model *m, uint64_t first, uint64_t count,
	       bool write);
void model_pinned(struct model *m, uint64_t first, uint64_t count, bool write);
void model_unpinned(struct model *m, uint64_t first, uint64_t count);
bool model_has_pins(const struct model *m, uint64_t first, uint64_t count);

/* START that is no repetition, and STOP */
void model_track(struct model *m, bool on);

#endif
