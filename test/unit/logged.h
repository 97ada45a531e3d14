/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A log that a test plays, as a container: its pages, which are numbered from BASE on */
#ifndef DMT_TEST_LOGGED_H
#define DMT_TEST_LOGGED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dmatrack.h"
#include "test/tap.h"

#define PAGE	 4096ull
#define BASE	 (1ull << 30)
#define NONE	 (~0u)
#define COUNT(a) ((unsigned int)(sizeof(a) / sizeof((a)[0])))

static struct dmatrack *t;

/* Harvest pages [@from, @from + @n); exactly [@at, @at + @len) and @other are dirty. */
static void check_dirty(unsigned int from, unsigned int n, unsigned int at,
			unsigned int len, unsigned int other)
{
	uint64_t bits[64];
	unsigned int i;

	memset(bits, 0xff, sizeof(bits));
	CHECK_EQ(dmatrack_harvest(t, BASE + from * PAGE, n * PAGE, PAGE, bits),
		 0);
	for (i = 0; i < n; i++) {
		unsigned int page = from + i;
		bool want = (page >= at && page - at < len) || page == other;

		if ((bits[i / 64] >> i % 64 & 1) != want)
			printf("# page %u\n", page);
		CHECK_EQ(bits[i / 64] >> i % 64 & 1, want);
	}
}

#define CHECK_DIRTY(at, len, other) check_dirty(0, 1200, at, len, other)
#define CHECK_CLEAN()		    CHECK_DIRTY(0, 0, NONE)

/* What a range's function gets */
static struct dmatrack_range found[8];
static unsigned int nr_found;

static void note(void *opaque, uint64_t iova, uint64_t size)
{
	if (nr_found < COUNT(found))
		found[nr_found] =
			(struct dmatrack_range){ iova, iova + size - 1 };
	nr_found++;
}

static void list(uint64_t iova, uint64_t length)
{
	const struct dmatrack_ranges q = {
		.size = sizeof(q),
		.iova = iova,
		.length = length,
		.page_size = PAGE,
		.found = note,
	};

	nr_found = 0;
	CHECK_EQ(dmatrack_harvest_ranges(t, &q), 0);
}

#endif
