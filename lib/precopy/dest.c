// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Destinations: the part common to all kinds. */
#include "dmatrack_copy.h"
#include "lib/util/error.h"

void dmatrack_dest_close(struct dmatrack_dest *d)
{
	const size_t end = offsetof(struct dmatrack_dest_ops, close) +
			   sizeof(d->ops->close);
	DML_KEEP_TEXT;

	if (d && d->ops && d->ops->size >= end && d->ops->close)
		d->ops->close(d);
}
