/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Request: what a program wants of pre-copy, checked, with what it left to us
 * filled in. Nothing is done with a request that isn't right in every part.
 */
#ifndef DML_PRECOPY_REQUEST_H
#define DML_PRECOPY_REQUEST_H

#include "dmatrack_copy.h"

/**
 * struct dml_request - a checked request
 * @p: what was asked for, with defaults
 * @ops: of the destination; what it doesn't have is NULL
 * @pages: of all regions
 * @largest: pages of the largest region
 */
struct dml_request {
	struct dmatrack_precopy p;
	struct dmatrack_dest_ops ops;
	uint64_t pages;
	uint64_t largest;
};

/* Return: 0, -EINVAL, -E2BIG, or what asking a container did; dmatrack_error() says more */
int dml_request_init(struct dml_request *q, const struct dmatrack_precopy *p);

static inline uint64_t dml_request_pages(const struct dml_request *q,
					 unsigned int region)
{
	return q->p.regions[region].size / q->p.page_size;
}

#endif
