// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * wide FILE: an image of the first and the last page of all IOVAs, which are 2^64 bytes
 * from end to end.
 */
#include <stdio.h>
#include <string.h>

#include "dmatrack_copy.h"

#define PAGE 4096ull

int main(int argc, char **argv)
{
	const struct dmatrack_region regions[] = {
		{ .iova = 0, .size = PAGE },
		{ .iova = -PAGE, .size = PAGE },
	};
	struct dmatrack_dest *d;
	char page[PAGE];
	int err;

	if (argc != 2)
		return 2;
	err = dmatrack_image_create(&d, argv[1], 0);
	if (!err) {
		memset(page, 1, sizeof(page));
		err = d->ops->begin(d, regions, 2, PAGE)	  ?:
			      d->ops->write(d, 0, page, PAGE)	  ?:
			      d->ops->write(d, -PAGE, page, PAGE) ?:
			      d->ops->finish(d);
		dmatrack_dest_close(d);
	}
	if (err)
		fprintf(stderr, "wide: %s\n", dmatrack_error());
	return err ? 1 : 0;
}
