/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Reader: a copy as the only reader of a container's own log, or of a view. A harvest clears it: if
 * another program harvests, stops tracking or unmaps memory that is copied, the copy can't be exact. That is
 * detected here.
 */
#ifndef DML_PRECOPY_READER_H
#define DML_PRECOPY_READER_H

#include <stdbool.h>
#include <stdint.h>

struct dmatrack;

/**
 * struct dml_reader - the one reader of a container's log
 * @t: container; NULL: not claimed
 * @started: whether it started tracking
 * @taken: number of calls that DMATRACK_GET_LOG reports if no other reader made one
 */
struct dml_reader {
	struct dmatrack *t;
	bool started;
	uint64_t taken;
};

/*
 * Reserve the container for this copy. Return: 0; -EBUSY (it's tracking already, or reserved
 * for another copy), or as the driver
 */
int dml_reader_claim(struct dml_reader *r, struct dmatrack *t);

/* Start tracking. Return: 0; -EBUSY (another program did, meanwhile), or as dmatrack_start() */
int dml_reader_start(struct dml_reader *r);

/* Undo dml_reader_start() and dml_reader_claim(), as far as they were done. */
void dml_reader_stop(struct dml_reader *r);

/* As dmatrack_harvest() */
int dml_reader_harvest(struct dml_reader *r, uint64_t iova, uint64_t size,
		       uint64_t page_size, uint64_t *bitmap);

/*
 * Check that every write in a range since the start was in a harvest of @r, or will be in a
 * later one. Return: 0; -ESTALE: a write may be in none; or an error of the driver
 */
int dml_reader_check(const struct dml_reader *r, uint64_t iova, uint64_t size);

#endif
