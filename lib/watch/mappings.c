// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The mappings of a container: see mappings.h. */
#include "mappings.h"

#define LIST 256u /* mappings at a time */

int dml_mappings_each(struct dmatrack *t, void *to,
		      void (*found)(void *to, const struct dmatrack_mapping *m))
{
	struct dmatrack_mapping m[LIST];
	uint64_t iova = 0;
	int n, i;

	do {
		n = dmatrack_mappings(t, iova, m, LIST);
		for (i = 0; i < n; i++)
			found(to, &m[i]);
		iova = n > 0 ? m[n - 1].last + 1 : 0;
	} while (n == (int)LIST && iova);
	return n < 0 ? n : 0;
}
