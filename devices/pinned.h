/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pinned: the pages that a device of this process holds, in a hash table by page number.
 * Not safe for concurrent callers.
 */
#ifndef DEV_PINNED_H
#define DEV_PINNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct dev_pinned_page - a page that the device holds
 * @index: page number in the I/O address space
 * @first: number of the first page of the pin that entered it
 * @page: address in this process
 * @count: number of its pins; 0: this slot is free
 * @write: whether it was pinned for writing, at least once since it was entered
 */
struct dev_pinned_page {
	uint64_t index;
	uint64_t first;
	void *page;
	uint32_t count;
	bool write;
};

/**
 * struct dev_pinned - the pages that a device holds
 * @slots: array of @mask + 1 slots, at most three quarters in use; or NULL
 * @mask: a power of two, minus 1
 * @used: number of slots in use
 * @reserved: number of slots reserved by dev_pinned_reserve()
 */
struct dev_pinned {
	struct dev_pinned_page *slots;
	size_t mask;
	size_t used;
	size_t reserved;
};

/* Make sure of room for @n pages more. Return: 0 or -ENOMEM */
int dev_pinned_reserve(struct dev_pinned *p, size_t n);
/* Those have been added, or won't be */
void dev_pinned_unreserve(struct dev_pinned *p, size_t n);

/*
 * Count @index, of a pin that begins with @first, once more. Can't fail within what
 * was reserved.
 */
void dev_pinned_add(struct dev_pinned *p, uint64_t first, uint64_t index,
		    void *page, bool write);

/* Return: NULL if it isn't held. Valid until the next add or drop. */
struct dev_pinned_page *dev_pinned_find(const struct dev_pinned *p,
					uint64_t index);

/* Count @index, which is held, once less. */
void dev_pinned_drop(struct dev_pinned *p, uint64_t index);

/**
 * dev_pinned_first - any held page in a range
 * @p: all
 * @first: page number
 * @last: inclusive
 * @from: 0 at first; where to go on, kept by this function
 *
 * The page found may be dropped before the next call. Return: NULL: none left.
 */
struct dev_pinned_page *dev_pinned_first(const struct dev_pinned *p,
					 uint64_t first, uint64_t last,
					 size_t *from);

void dev_pinned_free(struct dev_pinned *p);

#endif
