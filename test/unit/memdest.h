/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A destination in memory that counts calls, fails on order, and loses data.
 *
 * When it fails with -EAGAIN it behaves as badly as it may: it overwrites the range of
 * the call, and any ranges written since its last lost(), with garbage. lost() reports
 * the latter, but not the range of the failed call.
 */
#ifndef DMT_TEST_MEMDEST_H
#define DMT_TEST_MEMDEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dmatrack_copy.h"
#include "lib/util/random.h"

#define MEMDEST_REGIONS 4
#define MEMDEST_LOG	64

struct memdest {
	struct dmatrack_dest base;
	struct dmatrack_region regions[MEMDEST_REGIONS];
	unsigned char *mem[MEMDEST_REGIONS];
	unsigned int n;
	uint32_t page_size;
	uint64_t rng;
	/* counts of calls, bytes and errors */
	uint64_t calls, begun, writes, zeros, rounds, finished, lost, closed;
	uint64_t bytes, zeroed, largest, wrong;
	/* orders: call @at, or one in @chance, fails with @error */
	uint64_t chance, at;
	int error;
	/* ranges written since the last lost() */
	uint64_t log_iova[MEMDEST_LOG], log_size[MEMDEST_LOG];
	unsigned int logged;
	/* called within each write, before data is copied */
	void (*on_write)(void *opaque, uint64_t size);
	void *opaque;
};

static inline unsigned char *memdest_at(struct memdest *d, uint64_t iova,
					uint64_t size)
{
	unsigned int i;

	for (i = 0; i < d->n; i++) {
		const struct dmatrack_region *r = &d->regions[i];

		if (iova >= r->iova && iova - r->iova < r->size &&
		    size <= r->size - (iova - r->iova) && size &&
		    !((iova | size) % d->page_size))
			return d->mem[i] + (iova - r->iova);
	}
	d->wrong++;
	return NULL;
}

static inline void memdest_spoil(struct memdest *d, uint64_t iova,
				 uint64_t size)
{
	unsigned char *at = memdest_at(d, iova, size);

	if (at)
		memset(at, (int)dml_random_below(&d->rng, 256), size);
}

/* Return: the error with which this call must fail, or 0 */
static inline int memdest_break(struct memdest *d)
{
	d->calls++;
	if ((d->chance && !dml_random_below(&d->rng, d->chance)) ||
	    d->calls == d->at)
		return d->error;
	return 0;
}

static inline int memdest_begin(struct dmatrack_dest *base,
				const struct dmatrack_region *regions,
				unsigned int n, uint32_t page_size)
{
	struct memdest *d = (struct memdest *)base;
	unsigned int i;
	int ret = memdest_break(d);

	if (ret)
		return ret;
	d->begun++;
	d->n = n;
	d->page_size = page_size;
	memcpy(d->regions, regions, n * sizeof(*regions));
	for (i = 0; i < n; i++)
		d->mem[i] = calloc(1, regions[i].size);
	return 0;
}

static inline int memdest_put(struct memdest *d, uint64_t iova,
			      const void *data, uint64_t size)
{
	unsigned char *at = memdest_at(d, iova, size);
	int ret = memdest_break(d);

	if (!at)
		return -EINVAL;
	if (ret) {
		memdest_spoil(d, iova, size);
		return ret;
	}
	if (d->logged < MEMDEST_LOG) {
		d->log_iova[d->logged] = iova;
		d->log_size[d->logged++] = size;
	}
	if (data)
		memcpy(at, data, size);
	else
		memset(at, 0, size);
	return 0;
}

static inline int memdest_write(struct dmatrack_dest *base, uint64_t iova,
				const void *data, size_t size)
{
	struct memdest *d = (struct memdest *)base;
	int ret;

	if (d->on_write)
		d->on_write(d->opaque, size);
	ret = memdest_put(d, iova, data, size);
	if (ret)
		return ret;
	d->writes++;
	d->bytes += size;
	if (size > d->largest)
		d->largest = size;
	return 0;
}

static inline int memdest_zero(struct dmatrack_dest *base, uint64_t iova,
			       uint64_t size)
{
	struct memdest *d = (struct memdest *)base;
	int ret = memdest_put(d, iova, NULL, size);

	if (ret)
		return ret;
	d->zeros++;
	d->zeroed += size;
	return 0;
}

static inline int memdest_round(struct dmatrack_dest *base)
{
	struct memdest *d = (struct memdest *)base;
	int ret = memdest_break(d);

	d->rounds += !ret;
	return ret;
}

static inline int memdest_finish(struct dmatrack_dest *base)
{
	struct memdest *d = (struct memdest *)base;
	int ret = memdest_break(d);

	d->finished += !ret;
	return ret;
}

static inline int memdest_lost(struct dmatrack_dest *base,
			       void (*again)(void *opaque, uint64_t iova,
					     uint64_t size),
			       void *opaque)
{
	struct memdest *d = (struct memdest *)base;
	int ret = memdest_break(d);
	unsigned int i;

	if (ret)
		return ret;
	d->lost++;
	for (i = 0; i < d->logged; i++) {
		if (dml_random_below(&d->rng, 3))
			continue;
		memdest_spoil(d, d->log_iova[i], d->log_size[i]);
		/* a range that isn't whole pages */
		again(opaque, d->log_iova[i] + 1, d->log_size[i] - 2);
	}
	again(opaque, 1, 1);
	for (i = 0; i < d->n; i++) { /* a random page, sent or not */
		uint64_t page =
			dml_random_below(&d->rng,
					 d->regions[i].size / d->page_size) *
			d->page_size;

		memdest_spoil(d, d->regions[i].iova + page, d->page_size);
		again(opaque, d->regions[i].iova + page, d->page_size);
	}
	d->logged = 0;
	return 0;
}

static inline void memdest_close(struct dmatrack_dest *base)
{
	struct memdest *d = (struct memdest *)base;

	d->closed++;
}

static const struct dmatrack_dest_ops memdest_ops = {
	.size = sizeof(memdest_ops),
	.begin = memdest_begin,
	.write = memdest_write,
	.zero = memdest_zero,
	.round = memdest_round,
	.finish = memdest_finish,
	.lost = memdest_lost,
	.close = memdest_close,
};

static inline void memdest_init(struct memdest *d)
{
	*d = (struct memdest){ .base.ops = &memdest_ops, .rng = 7 };
}

static inline void memdest_free(struct memdest *d)
{
	unsigned int i;

	for (i = 0; i < d->n; i++)
		free(d->mem[i]);
	d->n = 0;
}

/* Return: whether the copy equals the regions' memory */
static inline bool memdest_exact(const struct memdest *d)
{
	unsigned int i;

	for (i = 0; i < d->n; i++) {
		if (memcmp(d->mem[i], d->regions[i].vaddr, d->regions[i].size))
			return false;
	}
	return d->n && !d->wrong;
}

#endif
