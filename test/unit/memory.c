// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Engine memory that is accessed by functions: accesses, marks, and failures */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "test/tap.h"

#define PAGE   4096ull
#define NPAGES 64
#define IOVA   0x100000ull
#define RW     (DMATRACK_READ | DMATRACK_WRITE)

/**
 * struct store - the memory
 * @bytes: its contents
 * @most: the most bytes that a call copies
 * @error: result of a call that doesn't copy; 0: calls copy
 * @calls: number of calls
 */
static struct store {
	char bytes[NPAGES * PAGE];
	size_t most;
	long error;
	int calls;
} store;

static struct dmatrack *t;
static struct dmatrack_engine *e;

static long store_read(void *opaque, uint64_t offset, void *buf, size_t size)
{
	struct store *s = opaque;
	size_t n = size < s->most ? size : s->most;

	s->calls++;
	if (s->error)
		return s->error;
	memcpy(buf, s->bytes + offset, n);
	return (long)n;
}

static long store_write(void *opaque, uint64_t offset, const void *buf,
			size_t size)
{
	struct store *s = opaque;
	size_t n = size < s->most ? size : s->most;

	s->calls++;
	if (s->error)
		return s->error;
	memcpy(s->bytes + offset, buf, n);
	return (long)n;
}

static const struct dmatrack_memory memory = {
	.size = sizeof(memory),
	.opaque = &store,
	.read = store_read,
	.write = store_write,
};

static void begin(void)
{
	memset(&store, 0, sizeof(store));
	store.most = sizeof(store.bytes);
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	e = dmatrack_get_engine(t);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, sizeof(store.bytes), RW, &memory),
		 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

static uint64_t harvest(void)
{
	uint64_t word = 0;

	CHECK_EQ(dmatrack_harvest(t, IOVA, NPAGES * PAGE, PAGE, &word), 0);
	return word;
}

static void test_access(void)
{
	char got[2 * PAGE], data[2 * PAGE];

	begin();
	memset(data, 7, sizeof(data));
	CHECK_EQ(dmatrack_engine_write(e, IOVA + 3 * PAGE - 1, data, PAGE + 2),
		 0);
	CHECK(!memcmp(store.bytes + 3 * PAGE - 1, data, PAGE + 2));
	CHECK(!store.bytes[3 * PAGE - 2] && !store.bytes[4 * PAGE + 1]);
	CHECK_EQ(harvest(), 0x1c);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(dmatrack_engine_read(e, IOVA + 3 * PAGE - 1, got, PAGE + 2),
		 0);
	CHECK(!memcmp(got, data, PAGE + 2));
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, IOVA + 63 * PAGE, 1), 0);
	CHECK_EQ(harvest(), 1ull << 63);
	dmatrack_close(t);
}

/* An access that goes on into a mapping with an address, and back */
static void test_across(void)
{
	static char beside[PAGE] __attribute__((aligned(4096)));
	char data[2 * PAGE];
	uint64_t word = 0;

	begin();
	CHECK_EQ(dmatrack_map(t, IOVA + NPAGES * PAGE, beside, PAGE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	memset(data, 9, sizeof(data));
	CHECK_EQ(dmatrack_engine_write(e, IOVA + 63 * PAGE, data, 2 * PAGE), 0);
	CHECK(!memcmp(store.bytes + 63 * PAGE, data, PAGE));
	CHECK(!memcmp(beside, data, PAGE));
	CHECK_EQ(harvest(), 1ull << 63);
	CHECK_EQ(dmatrack_harvest(t, IOVA + 64 * PAGE, PAGE, PAGE, &word), 0);
	CHECK_EQ(word, 1);
	dmatrack_close(t);
}

/* Only the pages written are marked. */
static void test_failed(void)
{
	char data[4 * PAGE];

	begin();
	memset(data, 5, sizeof(data));
	store.most = PAGE + 1;
	CHECK_EQ(dmatrack_engine_write(e, IOVA, data, sizeof(data)), -EFAULT);
	CHECK_EQ(harvest(), 3);
	store.most = 0;
	CHECK_EQ(dmatrack_engine_write(e, IOVA, data, sizeof(data)), -EFAULT);
	CHECK_EQ(harvest(), 0);
	store.error = -EHOSTDOWN;
	CHECK_EQ(dmatrack_engine_write(e, IOVA, data, 1), -EHOSTDOWN);
	CHECK(strstr(dmatrack_error(), "writing 0x1 bytes"));
	CHECK_EQ(dmatrack_engine_read(e, IOVA, data, 1), -EHOSTDOWN);
	store.error = -1000000; /* no errno */
	CHECK_EQ(dmatrack_engine_read(e, IOVA, data, 1), -EIO);
	store.error = 1000000; /* more bytes than asked for */
	CHECK_EQ(dmatrack_engine_write(e, IOVA, data, PAGE), 0);
	CHECK_EQ(harvest(), 1);
	dmatrack_close(t);
}

static void nothing(void *opaque, uint64_t iova, uint64_t size)
{
}

static void test_no_address(void)
{
	struct dmatrack_mapping m;
	void *page;

	begin();
	dmatrack_engine_on_unmap(e, nothing, NULL);
	CHECK_EQ(dmatrack_engine_pin(e, IOVA, 1, DMATRACK_READ, &page),
		 -EOPNOTSUPP);
	CHECK(strstr(dmatrack_error(), "dmatrack_engine_map()"));
	CHECK_EQ(dmatrack_engine_pin(e, IOVA, 1, RW, &page), -EOPNOTSUPP);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(dmatrack_mappings(t, 0, &m, 1), 1);
	CHECK_EQ(m.vaddr, 0);
	CHECK_EQ(m.flags & DMATRACK_MAPPED_VADDR, 0);
	dmatrack_close(t);
}

static void test_rights(void)
{
	char c = 1;

	begin();
	CHECK_EQ(dmatrack_unmap(t, IOVA, NPAGES * PAGE), 0);
	CHECK_EQ(dmatrack_engine_write(e, IOVA, &c, 1), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, PAGE, DMATRACK_READ, &memory), 0);
	CHECK_EQ(dmatrack_engine_write(e, IOVA, &c, 1), -EPERM);
	CHECK_EQ(store.calls, 0);
	CHECK_EQ(dmatrack_engine_read(e, IOVA, &c, 1), 0);
	CHECK_EQ(store.calls, 1);
	CHECK_EQ(c, 0);
	dmatrack_close(t);
}

static void test_refused(void)
{
	struct {
		struct dmatrack_memory m;
		uint64_t newer;
	} larger = { .m = memory };
	struct dmatrack_memory m = memory;
	uint64_t size = sizeof(store.bytes);

	begin();
	CHECK_EQ(dmatrack_engine_map(e, IOVA, PAGE, RW, &m), -EEXIST);
	CHECK_EQ(dmatrack_unmap(t, IOVA, size), 0);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, RW, NULL), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, 0, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, 4, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA + 1, size, RW, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size - 1, RW, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, 0, RW, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, IOVA, 1ull << 47, RW, &m), -EINVAL);
	CHECK_EQ(dmatrack_engine_map(e, -PAGE, 2 * PAGE, RW, &m), -EOVERFLOW);
	m.read = NULL;
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, RW, &m), -EINVAL);
	m = memory;
	m.size--;
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, RW, &m), -EINVAL);
	larger.m.size = sizeof(larger);
	larger.newer = 1;
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, RW, &larger.m), -E2BIG);
	larger.newer = 0;
	CHECK_EQ(dmatrack_engine_map(e, IOVA, size, RW, &larger.m), 0);
	dmatrack_close(t);
}

int main(void)
{
	TEST(test_access, "reads, writes and marks");
	TEST(test_across, "a write that ends in memory with an address");
	TEST(test_failed, "functions that fail, or copy a part");
	TEST(test_no_address, "pins are refused, and no address is reported");
	TEST(test_rights, "rights, and unmapping");
	TEST(test_refused, "invalid mappings are refused");
	return tap_done();
}
