// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Destinations: the part common to all kinds. */
#include <string.h>

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

int dmatrack_dest_describe(struct dmatrack_dest *d, const char *text)
{
	const size_t end = offsetof(struct dmatrack_dest_ops, describe) +
			   sizeof(d->ops->describe);

	if (dml_lacks(d, text))
		return -EINVAL;
	if (strlen(text) > DMATRACK_DESCRIPTION_MAX)
		return dml_error(
			-EINVAL,
			"a description of %zu bytes, more than the maximum of %u",
			strlen(text), DMATRACK_DESCRIPTION_MAX);
	if (d->ops->size < end || !d->ops->describe)
		return dml_error(-EOPNOTSUPP,
				 "the destination keeps no description");
	return dml_error_foreign(d->ops->describe(d, text), "describe()");
}
