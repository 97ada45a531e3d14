/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Request: a program's request for a pre-copy, checked, with defaults filled in. A request with
 * any wrong part is refused before anything is done.
 */
#ifndef DML_PRECOPY_REQUEST_H
#define DML_PRECOPY_REQUEST_H

#include <stdbool.h>

#include "dmatrack_copy.h"

/**
 * struct dml_request - a checked request
 * @p: the program's request, with defaults
 * @ops: functions of the destination; NULL for those that it lacks
 * @pages: number of pages of all regions
 * @largest: number of pages of the largest region
 */
struct dml_request {
	struct dmatrack_precopy p;
	struct dmatrack_dest_ops ops;
	uint64_t pages;
	uint64_t largest;
};

/* Return: 0, -EINVAL, -E2BIG, or as dmatrack_get_info(); with a text */
int dml_request_init(struct dml_request *q, const struct dmatrack_precopy *p);

static inline uint64_t dml_request_pages(const struct dml_request *q,
					 unsigned int region)
{
	return q->p.regions[region].size / q->p.page_size;
}

/*
 * Return: whether release() is called as soon as the destination has been given all pages. Without
 * lost() it never asks for a page again.
 */
static inline bool dml_request_releases_early(const struct dml_request *q)
{
	return q->p.release && !q->ops.lost;
}

#endif
