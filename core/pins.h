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
 * struct dmt_pins - the pins of one mapping
 * @lock: protects all members; but the bitmap of pages pinned for writing, which is
 *	  changed under it, is read without it. Held while pages are pinned
 * @count: number of pages pinned; read without @lock to skip a mapping that has none
 * @nchunks: number of chunks of the mapping
 * @table: array of tables of 256 chunks, each may be NULL; NULL before the first pin
 */
struct dmt_pins {
	struct mutex lock;
	u64 count;
	u64 nchunks;
	struct dmt_pin_chunk ***table;
};

void dmt_pins_init(struct dmt_pins *pins, u64 npages);

/* Return: whether a page was ever pinned; also true if the first pin failed */
static inline bool dmt_pins_ever(const struct dmt_pins *pins)
{
	return smp_load_acquire(&pins->table);
}

/* Free the memory of pins that are not harvested any more. Their pages stay pinned. */
void dmt_pins_fini(struct dmt_pins *pins);

/**
 * dmt_pins_add - pin pages
 * @m: mapping of the pages
 * @page: number of the first page, counted from the mapping's start
 * @npages: number of pages, all within the mapping
 * @write: whether they are pinned for writing
 * @all: whether these are all pages of the driver's call; else, if @write, dmt_pins_write()
 *	 will follow
 * @pages: out: the pages
 *
 * A page that is pinned already is counted once more. Pages that were not pinned are counted
 * as locked memory of the owner, unless the IOMMU maps @m: then they are counted already.
 * Takes @m->pins.lock; may sleep. Return: 0; or -errno with nothing pinned.
 */
int dmt_pins_add(struct dmt_mapping *m, u64 page, unsigned long npages,
		 bool write, bool all, struct page **pages);

/**
 * dmt_pins_add_page - pin one page, which is all that the driver's call pins
 * @m: mapping of the page
 * @page: number of the page, counted from the mapping's start
 * @write: whether it is pinned for writing
 * @pinned: out: the page
 *
 * As dmt_pins_add(), in fewer steps. Return: 0; or -errno with nothing pinned, and @pinned
 * unchanged.
 */
int dmt_pins_add_page(struct dmt_mapping *m, u64 page, bool write,
		      struct page **pinned);

/**
 * dmt_pins_write - count pages that were added for writing as written from now on
 * @m: mapping of the pages
 * @page: number of the first page
 * @npages: number of pages
 *
 * A separate step, because a call may pin pages of several mappings, and a later one may
 * fail: before this, dmt_pins_drop() marks only pages that other pins may have written. When
 * this returns, harvests report the pages.
 */
void dmt_pins_write(struct dmt_mapping *m, u64 page, unsigned long npages);

/**
 * dmt_pins_drop - unpin pages
 * @m: mapping of the pages
 * @page: number of the first page
 * @npages: number of pages
 *
 * Pages that were pinned for writing are marked. Return: false: a page was not pinned, and was
 * skipped
 */
bool dmt_pins_drop(struct dmt_mapping *m, u64 page, unsigned long npages);

/* The same for one page, in fewer steps */
bool dmt_pins_drop_page(struct dmt_mapping *m, u64 page);

/**
 * dmt_pins_written - find the bitmap of a chunk's pages that are pinned for writing
 * @pins: pins of a mapping
 * @chunk: number of the chunk, as in the log
 * @words: out: the bitmap, which pins and unpins change meanwhile; it stays until the mapping is
 *	   freed
 *
 * Takes no lock. Read it, and run a full barrier, before taking the log: an unpin marks first.
 * Return: a bit for each line that has set bits
 */
u64 dmt_pins_written(const struct dmt_pins *pins, u64 chunk, const u64 **words);

/**
 * dmt_pins_next - skip chunks that have never had a pinned page, by whole tables
 * @pins: pins of a mapping
 * @chunk: number of the first chunk to check
 *
 * Whether a page is pinned now is known from @pins->count and dmt_pins_written(). Return:
 * number of the first chunk at or after @chunk that has ever had a pinned page, or
 * @pins->nchunks
 */
u64 dmt_pins_next(const struct dmt_pins *pins, u64 chunk);

#endif
