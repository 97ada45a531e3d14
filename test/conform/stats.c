// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* How much a container has: DMATRACK_GET_STATS, and a view's fdinfo. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conform.h"

static struct dmatrack_get_stats stats(void)
{
	struct dmatrack_get_stats get = { .argsz = sizeof(get) };

	ASSERT_OK(call(DMATRACK_GET_STATS, &get));
	return get;
}

CASE(stats_counts, EMULATED)
{
	const u64 chunk = 32768 * PAGE;
	u64 views = !!bed.watcher, word;
	struct dmatrack_get_stats s = stats();

	EXPECT(!s.mappings && !s.mapped && !s.pinned && !s.log_memory &&
	       !s.harvests);
	EXPECT_EQ(s.views, views);
	mapped(BASE, 64);
	ASSERT_OK(map(BASE + GiB, reserve(2 * chunk), 2 * chunk, MAP_RW));
	ASSERT_OK(pin(BASE, 3, PIN_R));
	ASSERT_OK(pin(BASE + 2 * PAGE, 2, PIN_W));
	s = stats();
	EXPECT_EQ(s.mappings, 2);
	EXPECT_EQ(s.mapped, 64 * PAGE + 2 * chunk);
	EXPECT_EQ(s.pinned, 4);
	ASSERT_OK(start());
	EXPECT_EQ(stats().views, views + 1);
	EXPECT_EQ(stats().log_memory, 0);
	EXPECT_OK(dev_mark(bed.d, BASE + GiB + 5 * PAGE, PAGE));
	EXPECT_EQ(stats().log_memory, 4096);
	EXPECT_OK(harvest(BASE, 64 * PAGE, PAGE, &word, 8));
	EXPECT_EQ(harvest(BASE, 64 * PAGE, PAGE / 2, &word, 8), -EINVAL);
	EXPECT_EQ(stats().harvests, 1);
	EXPECT_OK(stop());
	if (!views)
		EXPECT_EQ(stats().log_memory, 0);
	EXPECT_EQ(stats().views, views);
	EXPECT_OK(unpin(BASE, 4));
	EXPECT_EQ(stats().pinned, 1);
	EXPECT_OK(unpin(BASE + 2 * PAGE, 1));
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(stats().mappings, 1);
}

/* Whether all counts as written, and whether dirty bits are read */
CASE(stats_unseen, IOMMU | UNSEEN)
{
	EXPECT_EQ(stats().flags, DMATRACK_STATS_EVERYTHING);
}

CASE(stats_dirty_bits, IOMMU | DIRTY_BITS)
{
	EXPECT_EQ(stats().flags, DMATRACK_STATS_DIRTY_BITS);
}

CASE(stats_scope_of_groups, SEVERAL | DIRTY_BITS)
{
	struct dev_device *seen, *unseen;

	added(EMULATED, 0);
	EXPECT_EQ(stats().flags, 0);
	seen = added(IOMMU, 0);
	EXPECT_EQ(stats().flags, DMATRACK_STATS_DIRTY_BITS);
	unseen = added(IOMMU, 2);
	EXPECT_EQ(stats().flags,
		  DMATRACK_STATS_DIRTY_BITS | DMATRACK_STATS_EVERYTHING);
	remove_device(seen);
	EXPECT_EQ(stats().flags, DMATRACK_STATS_EVERYTHING);
	remove_device(unseen);
	EXPECT_EQ(stats().flags, 0);
}

CASE(stats_arguments, ANY)
{
	struct dmatrack_get_stats get = { 0 };
	unsigned int i;

	for (get.argsz = 0; get.argsz < sizeof(get); get.argsz++)
		EXPECT_EQ(call(DMATRACK_GET_STATS, &get), -EINVAL);
	for (i = 0; i < 32; i++) {
		get.flags = 1u << i;
		EXPECT_EQ(call(DMATRACK_GET_STATS, &get), -EINVAL);
	}
	for (i = 0; i < BAD_POINTERS; i++)
		EXPECT_EQ(call(DMATRACK_GET_STATS, bad_pointer((int)i)),
			  -EFAULT);
	get = (struct dmatrack_get_stats){ .argsz = sizeof(get) };
	EXPECT_EQ(call(DMATRACK_GET_STATS, readonly(&get, sizeof(get))),
		  -EFAULT);
}

/* The number that a view's fdinfo has for @name; -1: there is no such line */
static long fdinfo(int fd, const char *name)
{
	char path[64], line[256];
	size_t n = strlen(name);
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ':')
			value = strtol(line + n + 1, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

CASE(stats_fdinfo, KERNEL | ANY)
{
	struct dmatrack_view_open open = { .argsz = sizeof(open) };
	int fd = (int)call(DMATRACK_OPEN_VIEW, &open);

	ASSERT(fd >= 0);
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_EQ(fdinfo(fd, "dmatrack-on"), 1);
	EXPECT_EQ(fdinfo(fd, "dmatrack-taken"), 0);
	EXPECT_EQ(fdinfo(fd, "dmatrack-unread"), 0);
	EXPECT_EQ(fdinfo(fd, "dmatrack-dirty-bits"),
		  !!(stats().flags & DMATRACK_STATS_DIRTY_BITS));
	EXPECT_EQ(fdinfo(fd, "dmatrack-everything"),
		  !!(stats().flags & DMATRACK_STATS_EVERYTHING));
	EXPECT_EQ(fdinfo(fd, "dmatrack-mappings"), 1);
	EXPECT_EQ(fdinfo(fd, "dmatrack-mapped"), 64 * PAGE);
	EXPECT_EQ(fdinfo(fd, "dmatrack-pinned"), 0);
	EXPECT_EQ(fdinfo(fd, "dmatrack-views"), 2 + !!bed.watcher);
	EXPECT_EQ(fdinfo(fd, "dmatrack-harvests"), 0);
	EXPECT(fdinfo(fd, "dmatrack-log-memory") >= 0);
	EXPECT_EQ(fdinfo(fd, "dmatrack-closed"), -1);
	conform_close();
	EXPECT_EQ(fdinfo(fd, "dmatrack-closed"), 1);
	EXPECT_EQ(fdinfo(fd, "dmatrack-on"), -1);
	close(fd);
}
