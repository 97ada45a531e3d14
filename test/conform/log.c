// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Can a reader of the log have missed dirty pages? DMATRACK_GET_LOG tells, which the
 * stock driver doesn't know; pre-copy must notice it with every driver.
 */
#include "conform.h"
#include "dmatrack_copy.h"

#define LAST(npages) (BASE + (npages)*PAGE - 1)

static long get_log(u64 iova, u64 last, struct dmatrack_get_log *get)
{
	*get = (struct dmatrack_get_log){
		.argsz = sizeof(*get),
		.iova = iova,
		.last = last,
	};
	return call(DMATRACK_GET_LOG, get);
}

static u64 taken(void)
{
	struct dmatrack_get_log get;

	ASSERT_OK(get_log(0, ~0ull, &get));
	return get.taken;
}

static u64 unread(u64 first, u64 npages)
{
	struct dmatrack_get_log get;

	ASSERT_OK(get_log(BASE + first * PAGE, LAST(first + npages), &get));
	return get.unread;
}

static unsigned int log_flags(void)
{
	struct dmatrack_get_log get;

	ASSERT_OK(get_log(0, ~0ull, &get));
	return get.flags;
}

CASE(log_taken, ANY)
{
	struct dmatrack_dirty_range r[4];
	u64 words[1], n = taken();

	mapped(BASE, 64);
	EXPECT_EQ(log_flags(), 0);
	ASSERT_OK(start());
	EXPECT_EQ(log_flags(), DMATRACK_LOG_TRACKING);
	ASSERT_OK(start());
	EXPECT_EQ(taken() - n, 0);
	ASSERT_OK(harvest(BASE, 64 * PAGE, PAGE, words, 8));
	ASSERT_OK(harvest(BASE + 128 * PAGE, 64 * PAGE, PAGE, words, 8));
	EXPECT_EQ(taken() - n, 2);
	ASSERT_OK(ranges(BASE, LAST(64), PAGE, r, 4, NULL));
	EXPECT_EQ(taken() - n, 3);
	n = taken();
	EXPECT_EQ(harvest(BASE, 64 * PAGE, PAGE, NULL, 8), -EFAULT);
	EXPECT_EQ(harvest(BASE, 64 * PAGE, PAGE / 2, words, 8), -EINVAL);
	EXPECT_EQ(taken() - n, 0);
	ASSERT_OK(stop());
	EXPECT_EQ(log_flags(), 0);
	EXPECT_EQ(taken() - n, 1);
	ASSERT_OK(stop()); /* this took nothing */
	EXPECT_EQ(taken() - n, 1);
}

CASE(log_unread, ANY)
{
	char *mem = memory(64 * PAGE);
	u64 words[1], before;

	mapped(BASE, 16);
	mapped(BASE + 16 * PAGE, 16);
	ASSERT_OK(map(BASE + 32 * PAGE, mem, 16 * PAGE, MAP_R));
	mapped(BASE + 48 * PAGE, 16);
	EXPECT_EQ(unmap(BASE + 48 * PAGE, 16 * PAGE), 16 * PAGE);
	ASSERT_OK(start());
	EXPECT_EQ(unread(0, 64), 0); /* unmaps before START don't count */

	/* read-only; with its bitmap; no mapping there; refused: none of these loses pages */
	EXPECT_EQ(unmap(BASE + 32 * PAGE, 16 * PAGE), 16 * PAGE);
	ASSERT_OK(unmap_bitmap(BASE, 16 * PAGE, PAGE, words, 8, NULL));
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 0);
	EXPECT_EQ(unmap(BASE + 16 * PAGE, 8 * PAGE), -EINVAL);
	EXPECT_EQ(unread(0, 64), 0);

	EXPECT_EQ(unmap(BASE + 16 * PAGE, 16 * PAGE), 16 * PAGE);
	EXPECT_EQ(unread(0, 16), 0);
	EXPECT_EQ(unread(32, 32), 0);
	before = unread(31, 1);
	EXPECT(before);
	EXPECT_EQ(unread(0, 17), before);
	mapped(BASE + 16 * PAGE, 16);
	EXPECT_EQ(unread(16, 1), before);
	EXPECT_EQ(unmap(BASE + 16 * PAGE, 16 * PAGE), 16 * PAGE);
	EXPECT(unread(16, 1) != before && unread(16, 1));
	ASSERT_OK(stop());
	ASSERT_OK(start());
	EXPECT_EQ(unread(0, 64), 0);
}

/* More unmaps than the record has room for: none may be forgotten. */
CASE(log_unread_many, EMULATED)
{
	u64 n;

	ASSERT_OK(start());
	for (n = 0; n < 400; n++) {
		mapped(BASE + n * 3 * PAGE, 1);
		EXPECT_EQ(unmap(BASE + n * 3 * PAGE, PAGE), PAGE);
		EXPECT(unread(n * 3, 1));
	}
	for (n = 0; n < 400; n++)
		EXPECT(unread(n * 3, 1));
	EXPECT_EQ(unread(1200, 1000), 0);
}

CASE(log_arguments, ANY)
{
	struct dmatrack_get_log get, good;
	unsigned int argsz, n;

	ASSERT_OK(get_log(0, ~0ull, &good));
	for (argsz = 0; argsz < sizeof(good); argsz++) {
		get = good;
		get.flags = 0;
		get.argsz = argsz;
		EXPECT_EQ(call(DMATRACK_GET_LOG, &get), -EINVAL);
	}
	for (n = 0; n < 32; n++) {
		get = good;
		get.flags = 1u << n;
		EXPECT_EQ(call(DMATRACK_GET_LOG, &get), -EINVAL);
	}
	EXPECT_EQ(get_log(1, 0, &get), -EINVAL);
	EXPECT_OK(get_log(1, 1, &get));
	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(DMATRACK_GET_LOG, bad_pointer(n)), -EFAULT);
	EXPECT_EQ(call(DMATRACK_GET_LOG, readonly(&good, sizeof(good))),
		  -EFAULT);
}

/* Pre-copy ------------------------------------------------------------------------ */

#define PAGES 64

enum meddling { NONE, REMAP, HARVEST, SECOND };

/**
 * struct copied - a copy of a mapping at BASE
 * @dest: a destination that copies nothing; its first write meddles
 * @memory: the memory mapped
 * @how: the kind of meddling
 * @second: result of a second copy
 */
static struct copied {
	struct dmatrack_dest dest;
	char *memory;
	enum meddling how;
	int second;
} copied;

static int precopy(void);

static int dest_begin(struct dmatrack_dest *d,
		      const struct dmatrack_region *regions, unsigned int n,
		      uint32_t page_size)
{
	return 0;
}

static int dest_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	enum meddling how = copied.how;
	u64 words[1];

	copied.how = NONE;
	switch (how) {
	case REMAP:
		ASSERT_EQ(unmap(BASE, PAGES * PAGE), PAGES * PAGE);
		ASSERT_OK(map(BASE, copied.memory, PAGES * PAGE, MAP_RW));
		break;
	case HARVEST:
		ASSERT_OK(harvest(BASE, PAGES * PAGE, PAGE, words, 8));
		break;
	case SECOND:
		copied.second = precopy();
		break;
	case NONE:
		break;
	}
	return 0;
}

static int dest_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return 0;
}

static int dest_finish(struct dmatrack_dest *d)
{
	return 0;
}

static const struct dmatrack_dest_ops dest_ops = {
	.size = sizeof(dest_ops),
	.begin = dest_begin,
	.write = dest_write,
	.zero = dest_zero,
	.finish = dest_finish,
};

static int stop_nothing(void *opaque)
{
	return 0;
}

static int precopy(void)
{
	struct dmatrack_region region = {
		.iova = BASE,
		.size = PAGES * PAGE,
		.vaddr = copied.memory,
	};
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.containers = &bed.t,
		.ncontainers = 1,
		.regions = &region,
		.nregions = 1,
		.dest = &copied.dest,
		.stop = stop_nothing,
	};

	return dmatrack_precopy_run(&p, NULL);
}

static int precopy_meddled(enum meddling how)
{
	copied = (struct copied){
		.dest.ops = &dest_ops,
		.memory = copied.memory,
		.how = how,
	};
	return precopy();
}

CASE(precopy_meddled, ANY)
{
	copied.memory = mapped(BASE, PAGES);
	memset(copied.memory, 1, PAGES * PAGE);
	EXPECT_OK(precopy_meddled(NONE));
	EXPECT_EQ(precopy_meddled(REMAP), -ESTALE);
	EXPECT_EQ(precopy_meddled(HARVEST), -ESTALE);
	EXPECT_OK(precopy_meddled(SECOND));
	EXPECT_EQ(copied.second, -EBUSY);
	ASSERT_OK(start());
	EXPECT_EQ(precopy_meddled(NONE), -EBUSY);
	ASSERT_OK(stop());
	EXPECT_OK(precopy_meddled(NONE));
}
