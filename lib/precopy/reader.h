/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Reader: a copy as the only reader of a container's log. A container has one log, and
 * what is harvested is clean: where something else harvests, ends tracking or unmaps
 * memory that is copied, the copy can't be exact. That is noticed here.
 */
#ifndef DML_PRECOPY_READER_H
#define DML_PRECOPY_READER_H

#include <stdbool.h>
#include <stdint.h>

struct dmatrack;

/**
 * struct dml_reader - the one reader of a container's log
 * @t: container; NULL: not claimed
 * @started: tracking
 * @taken: what DMATRACK_GET_LOG says if nothing else took anything
 */
struct dml_reader {
	struct dmatrack *t;
	bool started;
	uint64_t taken;
};

/*
 * The container is this copy's. Return: 0; -EBUSY (it's tracking already, or another
 * copy's), or as the driver
 */
int dml_reader_claim(struct dml_reader *r, struct dmatrack *t);

/* Start tracking. Return: 0; -EBUSY (something else has, meanwhile), or as dmatrack_start() */
int dml_reader_start(struct dml_reader *r);

/* Stop tracking, if it was started; the container is free again, if it was claimed */
void dml_reader_stop(struct dml_reader *r);

/* dmatrack_harvest() */
int dml_reader_harvest(struct dml_reader *r, uint64_t iova, uint64_t size,
		       uint64_t page_size, uint64_t *bitmap);

/*
 * Has every write in a range since the start been in a harvest of @r, or is it still to
 * come? Return: 0, -ESTALE (no), or as the driver
 */
int dml_reader_check(const struct dml_reader *r, uint64_t iova, uint64_t size);

#endif
