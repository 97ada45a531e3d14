/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Layout: the memory that devices may write, one mapping after the other without the holes between
 * them. Pages have two numbers: that of their IOVA, and their place among all mapped pages.
 */
#ifndef CLI_WATCH_LAYOUT_H
#define CLI_WATCH_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#define LAYOUT_PAGE 4096u

/**
 * struct layout_part - a mapping
 * @first: number of its first page
 * @pages: number of its pages
 * @before: number of pages of the mappings before it
 * @vaddr: address of its memory in the program; 0: not known
 */
struct layout_part {
	uint64_t first;
	uint64_t pages;
	uint64_t before;
	uint64_t vaddr;
};

/**
 * struct layout - the mappings of a container, ascending
 * @part: the mappings that devices may write
 * @nr: number of them
 * @room: number that @part has room for
 * @pages: number of pages of all
 */
struct layout {
	struct layout_part *part;
	uint64_t nr;
	uint64_t room;
	uint64_t pages;
};

void layout_fini(struct layout *l);

/* Add a mapping behind those that are there. Return: 0 or -ENOMEM */
int layout_add(struct layout *l, uint64_t iova, uint64_t size, uint64_t vaddr);

bool layout_equal(const struct layout *a, const struct layout *b);

/* Return: the mapping of the page with this number, or else the next one; NULL: there is none */
const struct layout_part *layout_find(const struct layout *l, uint64_t page);

/* Return: the mapping of the page at @place, which is less than @l->pages */
const struct layout_part *layout_at(const struct layout *l, uint64_t place);

#endif
