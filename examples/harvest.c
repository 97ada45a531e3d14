// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Which pages has the device written? */
#include <dmatrack.h>
#include <dmatrack_engine.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>

#define IOVA 0x100000000u /* where the device sees the memory */
#define SIZE (64u << 20)

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	printf("written: %" PRIu64 " page(s) at 0x%" PRIx64 "\n", size / 4096,
	       iova);
}

int main(void)
{
	const struct dmatrack_ranges ranges = {
		.size = sizeof(ranges),
		.iova = IOVA,
		.length = SIZE,
		.page_size = 4096,
		.found = found,
	};
	void *memory = aligned_alloc(4096, SIZE);
	struct dmatrack *t;

	if (!memory || dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0) ||
	    dmatrack_map(t, IOVA, memory, SIZE,
			 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE) ||
	    dmatrack_start(t)) {
		fprintf(stderr, "harvest: %s\n", dmatrack_error());
		return 1;
	}
	/* The device: 5 bytes over the end of a page, and one byte elsewhere */
	dmatrack_engine_write(dmatrack_get_engine(t), IOVA + 3 * 4096 - 2,
			      "hello", 5);
	dmatrack_engine_write(dmatrack_get_engine(t), IOVA + 1000 * 4096, "!",
			      1);
	dmatrack_harvest_ranges(t, &ranges);
	dmatrack_close(t);
	free(memory);
	return 0;
}
