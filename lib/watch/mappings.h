/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The mappings of a container, one after the other. */
#ifndef DML_WATCH_MAPPINGS_H
#define DML_WATCH_MAPPINGS_H

#include "dmatrack.h"

/* Call @found for each mapping of @t, in ascending order. Return: 0 or -errno, as dmatrack_mappings() */
int dml_mappings_each(struct dmatrack *t, void *to,
		      void (*found)(void *to,
				    const struct dmatrack_mapping *m));

#endif
