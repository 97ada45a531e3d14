// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * onlooker PID
 *
 * Track the DMA of another program without its help: take its container by
 * pidfd_getfd(), start, harvest, stop. The program is one of DPDK's: its container
 * is of type 1 (not v2), its devices don't pin, and what is mapped are its huge
 * pages, each at the IOVA that is its address.
 *
 * Prints TAP. On the stock driver, START on such a container is refused.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmatrack.h"
#include "test/taken.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE 4096ull
#define MARGIN \
	(64ull << 20) /* bytes harvested before and behind the mappings, too */
#define MAX_REGIONS 4096

struct region {
	uint64_t first, end;
};

static struct region regions[MAX_REGIONS];
static unsigned int nr_regions;
static struct dmatrack *t;
static const char *pid;

static void take_container(void)
{
	CHECK_EQ(taken_open(&t, (pid_t)atoi(pid)), 0);
}

/* Mappings -------------------------------------------------------------------- */

static void find_regions(void)
{
	char line[PATH_MAX + 100], path[64];
	unsigned long first, end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "/rtemap_") ||
		    sscanf(line, "%lx-%lx", &first, &end) != 2)
			continue;
		CHECK(nr_regions < MAX_REGIONS);
		regions[nr_regions++] = (struct region){ first, end };
	}
	fclose(f);
	CHECK(nr_regions);
}

static bool is_mapped(uint64_t at)
{
	unsigned int i;

	for (i = 0; i < nr_regions; i++)
		if (at >= regions[i].first && at < regions[i].end)
			return true;
	return false;
}

/*
 * The driver lists the same mappings. It also tells their addresses, since this process
 * may read the program's memory.
 */
static void list_mappings(void)
{
	struct dmatrack_mapping m[10];
	uint64_t from = 0, bytes = 0, want = 0;
	unsigned int j;
	int i, n;

	do {
		n = dmatrack_mappings(t, from, m, 10);
		CHECK(n >= 0);
		for (i = 0; i < n; i++) {
			CHECK(is_mapped(m[i].iova) && is_mapped(m[i].last));
			CHECK_EQ(m[i].vaddr, m[i].iova);
			CHECK_EQ(m[i].flags,
				 DMATRACK_MAPPED_VADDR | DMATRACK_MAPPED_IOMMU);
			bytes += m[i].last - m[i].iova + 1;
			from = m[i].last + 1;
		}
	} while (n == 10);
	for (j = 0; j < nr_regions; j++)
		want += regions[j].end - regions[j].first;
	CHECK_EQ(bytes, want);
}

/* Tracking ---------------------------------------------------------------------- */

static void start(void)
{
	CHECK_EQ(dmatrack_start(t), 0);
}

/* GET_INFO doesn't offer tracking, and START is refused. */
static void start_refused(void)
{
	struct dmatrack_container_info *info;

	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK_EQ(info->dirty_page_sizes, 0);
	dmatrack_info_free(info);
	CHECK_EQ(dmatrack_start(t), -EACCES);
}

/* The program's memory is dirty; holes in it and addresses around it are clean. */
static void harvest_all(void)
{
	uint64_t from = regions[0].first - MARGIN;
	uint64_t size = regions[nr_regions - 1].end + MARGIN - from, n;
	uint64_t *bitmap = malloc(dmatrack_bitmap_size(size, PAGE));
	uint64_t wrong = 0, dirty = 0;

	CHECK(bitmap);
	memset(bitmap, 0x55, dmatrack_bitmap_size(size, PAGE));
	CHECK_EQ(dmatrack_harvest(t, from, size, PAGE, bitmap), 0);
	for (n = 0; n < size / PAGE; n++) {
		bool bit = bitmap[n / 64] >> (n % 64) & 1;

		dirty += bit;
		wrong += bit != is_mapped(from + n * PAGE);
	}
	free(bitmap);
	printf("# %u mappings: %llu of %llu pages are dirty, %llu wrongly so\n",
	       nr_regions, (unsigned long long)dirty,
	       (unsigned long long)(size / PAGE), (unsigned long long)wrong);
	CHECK_EQ(wrong, 0);
}

static void stop(void)
{
	uint64_t word;

	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(dmatrack_harvest(t, regions[0].first, PAGE, PAGE, &word),
		 -EINVAL);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: onlooker PID\n");
		return 2;
	}
	pid = argv[1];
	TEST(take_container, "another program's container");
	TEST(find_regions, "the program's mappings");
	if (tap_failed)
		return tap_done();
	if (!strcmp(dmatrack_driver(t), "stock")) {
		TEST(start_refused,
		     "tracking a v1 container: the stock driver refuses");
		return tap_done();
	}
	TEST(list_mappings, "the driver lists the same mappings");
	TEST(start, "tracking started");
	TEST(harvest_all,
	     "exactly the memory that its devices may write is dirty");
	TEST(harvest_all, "it is dirty again in the next harvest");
	TEST(stop, "tracking stopped");
	dmatrack_close(t);
	return tap_done();
}
