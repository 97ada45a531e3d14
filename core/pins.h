/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pins: pages of one mapping that device drivers hold.
 *
 * A page pinned for writing may be written at any time until it is unpinned;
 * a harvest reports it without a mark having been made.
 */
#ifndef DMT_CORE_PINS_H
#define DMT_CORE_PINS_H

#include "host.h"

struct dmt_pin_chunk;

/**
 * struct dmt_pins - of one mapping
 * @lock: of everything but the bitmap of pages pinned for writing, which is
 *	  changed under it and read without; held while pages are pinned
 * @count: pages pinned; read without @lock to skip a mapping that has none
 * @nchunks: that the mapping has
 * @table: NULL before the first pin; then tables of 256 chunks, or NULL
 */
struct dmt_pins {
	struct mutex lock;
	u64 count;
	u64 nchunks;
	struct dmt_pin_chunk ***table;
};

void dmt_pins_init(struct dmt_pins *pins, u64 npages);

/* Has a page ever been pinned, or nearly so? */
static inline bool dmt_pins_ever(const struct dmt_pins *pins)
{
	return smp_load_acquire(&pins->table);
}

/* Free one that is no longer harvested. Pages that it has stay pinned. */
void dmt_pins_fini(struct dmt_pins *pins);

/**
 * dmt_pins_add - pin pages
 * @m: the mapping that they are in
 * @page: first, counted from the mapping's start
 * @npages: all within the mapping
 * @write: for writing
 * @all: that's all; else, if it's for writing, dmt_pins_write() will follow
 * @pages: out
 *
 * A page that is pinned already is counted once more. New ones go against the
 * owner's locked memory, unless the IOMMU maps @m: then all of it does anyway.
 * Takes @m->pins.lock; may sleep. Return: 0, or -errno with nothing pinned.
 */
int dmt_pins_add(struct dmt_mapping *m, u64 page, unsigned long npages,
		 bool write, bool all, struct page **pages);

/**
 * dmt_pins_write - pages that were added for writing may be written from now on
 * @m: the mapping that they are in
 * @page: first
 * @npages: how many
 *
 * A step of its own, for pins over several mappings of which a later one may
 * fail: until this, dmt_pins_drop() marks only what others wrote. Harvests
 * report the pages before this returns.
 */
void dmt_pins_write(struct dmt_mapping *m, u64 page, unsigned long npages);

/**
 * dmt_pins_drop - unpin pages
 * @m: the mapping that they are in
 * @page: first
 * @npages: how many
 *
 * What was pinned for writing is marked. Return: false if one was not pinned:
 * it's passed over.
 */
bool dmt_pins_drop(struct dmt_mapping *m, u64 page, unsigned long npages);

/**
 * dmt_pins_read - which pages of a chunk are pinned for writing
 * @pins: of a mapping
 * @chunk: which, in the log's counting
 * @words: out: DMT_CHUNK_WORDS, of which those of the lines returned are valid
 *
 * Lock-free against pins and unpins. Read this before taking the log: an unpin
 * marks first. Return: a bit for each line that holds something.
 */
u64 dmt_pins_read(const struct dmt_pins *pins, u64 chunk, u64 *words);

/**
 * dmt_pins_next - skip what has never been pinned without looking at each chunk
 * @pins: of a mapping
 * @chunk: from here on
 *
 * Whether a page is pinned now is told by @pins->count and dmt_pins_read(). Return:
 * the first chunk at or after @chunk that has ever had a page pinned, or
 * @pins->nchunks.
 */
u64 dmt_pins_next(const struct dmt_pins *pins, u64 chunk);

#endif
