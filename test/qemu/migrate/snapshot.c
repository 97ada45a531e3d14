// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Images of a QEMU that runs, by 'dmatrack snapshot --pid'. While QEMU stands still, its memory is written to a
 * second file (--dump), too: the image must be the same, but for the memory that the mediated device writes
 * to, as its threads don't stand still. Images are made one on the other.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "migrate.h"

#define PAGE	    4096u
#define REGION	    0x01000000u /* of the guest: the device writes to it */
#define REGION_SIZE 0x00800000u
#define DUMP	    "/tmp/snapshot-dump"

/* Return: whether the device doesn't write to the page */
static bool is_still(uint64_t iova)
{
	return iova < REGION || iova >= REGION + REGION_SIZE;
}

static unsigned long compare_region(struct dmatrack_image *image,
				    const struct dmatrack_region *r, FILE *dump,
				    unsigned long *all)
{
	static char a[PAGE], b[PAGE];
	unsigned long bad = 0;
	uint64_t at;

	for (at = 0; at < r->size; at += PAGE) {
		NEED(fread(a, PAGE, 1, dump) == 1);
		NEED(!dmatrack_image_read(image, r->iova + at, b, PAGE));
		bad += is_still(r->iova + at) && memcmp(a, b, PAGE) != 0;
		*all += is_still(r->iova + at);
	}
	return bad;
}

#define IMAGES 1000u

/* Open image @i, each of which has the one before as its base; number 1 ends an earlier chain. */
static struct dmatrack_image *open_next(unsigned int i)
{
	static struct dmatrack_image *image[IMAGES];
	static unsigned int n;
	char name[64];

	while (i == 1 && n)
		dmatrack_image_close(image[--n]);
	NEED(i == n + 1 && n < IMAGES);
	snprintf(name, sizeof(name), "/tmp/snapshot-%u", i);
	NEED(!dmatrack_image_open(&image[n], name));
	NEED(!n || !dmatrack_image_attach(image[n], image[n - 1]));
	return image[n++];
}

/**
 * snapshot_take - make an image of a QEMU, and compare it
 * @pid: the QEMU
 * @i: number of the image, from 1 on
 *
 * Return: number of pages that differ.
 */
unsigned long snapshot_take(pid_t pid, unsigned int i)
{
	const struct dmatrack_region *r;
	struct dmatrack_image *image;
	unsigned long bad = 0, all = 0;
	char command[256], base[64] = "";
	unsigned int n, j;
	FILE *dump;

	if (i > 1)
		snprintf(base, sizeof(base),
			 "--incremental-from /tmp/snapshot-%u", i - 1);
	snprintf(command, sizeof(command),
		 "dmatrack snapshot --quiet --json --pid %d --downtime 1000 "
		 "--dump " DUMP " %s /tmp/snapshot-%u >/tmp/snapshot.log 2>&1",
		 (int)pid, base, i);
	unlink(DUMP);
	if (system(command)) {
		NEED(!system(
			"cut -c 1-1000 /tmp/snapshot.log | sed 's/^/# /'"));
		return 1;
	}
	image = open_next(i);
	dump = fopen(DUMP, "r");
	NEED(dump);
	n = dmatrack_image_regions(image, &r);
	for (j = 0; j < n; j++)
		bad += compare_region(image, &r[j], dump, &all);
	fclose(dump);
	printf("# image %u: %u regions, %lu pages, %lu wrong\n", i, n, all,
	       bad);
	return all ? bad : 1;
}
