/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Declarations shared by the files of the comparison with the model. */
#ifndef EXACT_RUN_H
#define EXACT_RUN_H

#include <linux/vfio.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "exact.h"
#include "model.h"
#include "lib/util/random.h"
#include "uapi/dmatrack.h"

#define PAGE	    MODEL_PAGE
#define WINDOW	    MODEL_WINDOW

#define EXACT_VIEWS 4

/**
 * struct exact - a comparison under way
 * @s: the container and the calls
 * @m: the model
 * @view: views of the container: its own, and others, NULL where none is open
 * @rng: state of the random numbers
 * @mem: memory for the window's pages
 * @edge: end of a buffer of WINDOW bits; no memory follows
 * @answer: a buffer of WINDOW bits and a word, for any answer
 * @call: description of the call under way, for messages
 * @why: out: the difference found; empty while all answers are right
 */
struct exact {
	const struct exact_setup *s;
	struct model m;
	struct dmatrack *view[EXACT_VIEWS];
	uint64_t rng;
	char *mem;
	char *edge;
	unsigned char *answer;
	const char *call;
	char *why;
};

static inline uint64_t any(struct exact *x, uint64_t below)
{
	return dml_random_below(&x->rng, below);
}

static inline uint64_t iova_of(const struct exact *x, uint64_t page)
{
	return x->s->base + page * PAGE;
}

static inline long call(struct exact *x, unsigned long cmd, const void *arg)
{
	return dmatrack_ioctl(x->s->t, cmd, (unsigned long)arg);
}

/* A call on one of the views, or on the container */
static inline long view_call(struct exact *x, unsigned int view,
			     unsigned long cmd, const void *arg)
{
	return dmatrack_ioctl(x->view[view], cmd, (unsigned long)arg);
}

/* Bytes of a bitmap: whole 64-bit words */
static inline uint64_t bitmap_bytes(uint64_t nbits)
{
	return (nbits + 63) / 64 * 8;
}

/* Return: whether @got equals @want; if not, writes the difference to @why. */
bool exact_is(struct exact *x, const char *what, long got, long want);

/* A random page, and a number of pages from there: mostly small, up to @max */
void exact_pages(struct exact *x, uint64_t max, uint64_t *first,
		 uint64_t *count);
/* The same, or a whole mapping. Return: false if a mapping is wanted and there is none */
bool exact_range(struct exact *x, uint64_t *first, uint64_t *count);

/* UNMAP_DMA and DIRTY_PAGES with the structures that follow them */
struct exact_unmap {
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
};
struct exact_harvest {
	struct vfio_iommu_type1_dirty_bitmap dirty;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};
struct vfio_iommu_type1_dma_map exact_map_arg(const struct exact *x,
					      uint64_t first, uint64_t count,
					      unsigned int prot);
void exact_unmap_arg(const struct exact *x, struct exact_unmap *arg,
		     uint64_t first, uint64_t count, void *bitmap);
void exact_harvest_arg(const struct exact *x, struct exact_harvest *arg,
		       uint64_t first, uint64_t count, uint64_t per_bit,
		       void *bitmap);
struct dmatrack_get_ranges exact_ranges_arg(const struct exact *x,
					    uint64_t first, uint64_t count,
					    uint64_t per_bit, void *to,
					    uint64_t room);

/* A call that must be refused, whatever the container holds */
void exact_refused(struct exact *x);

#endif
