// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's application side, and the device that the engine has in tests: each
 * part is compared with the simplest correct implementation.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#include "dmatrack.h"
#include "lib/util/clock.h"
#include "devices/device.h"
#include "devices/pinned.h"
#include "devices/runner.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGE 4096ULL

static uint64_t rng = 1;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&rng, n);
}

/* Bitmaps */

static bool bit(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

static bool slow_run(const uint64_t *bitmap, uint64_t nbits, uint64_t *pos,
		     uint64_t *len)
{
	while (*pos < nbits && !bit(bitmap, *pos))
		++*pos;
	for (*len = 0; *pos + *len < nbits && bit(bitmap, *pos + *len);)
		++*len;
	return *len;
}

/* Fill with runs of zeros and ones, some of them long, and random bits at the end. */
static void random_bitmap(uint64_t *bitmap, uint64_t words)
{
	uint64_t nbits = words * 64, i = 0, n;
	bool set = below(2);

	memset(bitmap, 0, words * 8);
	while (i < nbits) {
		n = 1 + below(1ULL << below(12));
		for (; n && i < nbits; n--, i++)
			bitmap[i / 64] |= (uint64_t)set << (i % 64);
		set = !set;
	}
}

static void check_runs(const uint64_t *bitmap, uint64_t nbits, uint64_t from)
{
	uint64_t pos = from, len = 0, want = from, want_len = 0;
	bool more;

	do {
		pos += len;
		want += want_len;
		more = slow_run(bitmap, nbits, &want, &want_len);
		CHECK_EQ(dmatrack_next_run(bitmap, nbits, &pos, &len), more);
		if (more) {
			CHECK_EQ(pos, want);
			CHECK_EQ(len, want_len);
		}
	} while (more);
}

static void test_runs(void)
{
	static uint64_t bitmap[300];
	int i;

	for (i = 0; i < 3000; i++) {
		uint64_t words = 1 + below(300), nbits = words * 64 - below(64);
		uint64_t *exact = malloc(words * 8); /* for ASan */

		random_bitmap(bitmap, words);
		memcpy(exact, bitmap, words * 8);
		check_runs(exact, nbits, 0);
		check_runs(exact, nbits, below(nbits + 1));
		free(exact);
	}
}

static void test_runs_edges(void)
{
	uint64_t word = ~0ULL, pos = 0, len;

	CHECK(!dmatrack_next_run(NULL, 0, &pos, &len));
	pos = 64;
	CHECK(!dmatrack_next_run(&word, 64, &pos, &len));
	pos = 63;
	CHECK(dmatrack_next_run(&word, 64, &pos, &len));
	CHECK_EQ(pos, 63);
	CHECK_EQ(len, 1);
	pos = ~0ULL;
	CHECK(!dmatrack_next_run(&word, 64, &pos, &len));
}

static void test_bitmap_size(void)
{
	CHECK_EQ(dmatrack_bitmap_size(0, PAGE), 0);
	CHECK_EQ(dmatrack_bitmap_size(1, PAGE), 8);
	CHECK_EQ(dmatrack_bitmap_size(64 * PAGE, PAGE), 8);
	CHECK_EQ(dmatrack_bitmap_size(64 * PAGE + 1, PAGE), 16);
	CHECK_EQ(dmatrack_bitmap_size(~0ULL, PAGE), 1ULL << 49);
	CHECK_EQ(dmatrack_bitmap_size(PAGE, 0), 0);
}

static void set_bit(uint64_t *bitmap, uint64_t i)
{
	bitmap[i / 64] |= 1ULL << (i % 64);
}

/* Words that are just long enough, for ASan */
static void check_merge(const uint64_t *from, uint64_t nbits, uint64_t at)
{
	size_t size = dmatrack_bitmap_size(at + nbits, 1), i;
	size_t from_size = dmatrack_bitmap_size(nbits, 1);
	uint64_t *to = malloc(size), *want = malloc(size);
	uint64_t *exact = malloc(from_size), count = 0;

	memcpy(exact, from, from_size);
	for (i = 0; i < size / 8; i++)
		to[i] = want[i] = dml_random_next(&rng) & dml_random_next(&rng);
	for (i = 0; i < nbits; i++) {
		count += bit(from, i);
		if (bit(from, i))
			set_bit(want, at + i);
	}
	dmatrack_bitmap_merge(to, at, exact, nbits);
	CHECK(!memcmp(to, want, size));
	CHECK_EQ(dmatrack_bitmap_count(exact, nbits), count);
	free(to);
	free(want);
	free(exact);
}

static void test_merge(void)
{
	static uint64_t bitmap[300];
	int i;

	for (i = 0; i < 2000; i++) {
		uint64_t words = 1 + below(300);

		random_bitmap(bitmap, words);
		check_merge(bitmap, words * 64 - below(64), below(200));
		check_merge(bitmap, words * 64 - below(64), 64 * below(4));
		check_merge(bitmap, below(130) % (words * 64), below(200));
	}
	dmatrack_bitmap_merge(NULL, 64, NULL, 0);
	CHECK_EQ(dmatrack_bitmap_count(NULL, 0), 0);
}

/* Pinned pages, compared with an array */

#define INDEXES 4096

static unsigned int held(const struct dev_pinned *p, uint64_t index)
{
	struct dev_pinned_page *page = dev_pinned_find(p, index);

	if (page)
		CHECK_EQ(page->index, index);
	return page ? page->count : 0;
}

static void drop_range(struct dev_pinned *p, uint16_t *model, uint64_t first,
		       uint64_t last)
{
	struct dev_pinned_page *page;
	size_t from = 0;
	uint64_t i;

	while ((page = dev_pinned_first(p, first, last, &from))) {
		CHECK(page->index >= first && page->index <= last);
		CHECK(model[page->index]);
		model[page->index]--;
		dev_pinned_drop(p, page->index);
	}
	for (i = first; i <= last && i < INDEXES; i++)
		CHECK_EQ(model[i], 0);
}

static void test_pinned(void)
{
	static uint16_t model[INDEXES];
	struct dev_pinned p = { 0 };
	uint64_t index, i;
	int round;

	for (round = 0; round < 100000; round++) {
		index = below(INDEXES);
		if (below(5) < 3) {
			CHECK_EQ(dev_pinned_reserve(&p, 1), 0);
			dev_pinned_add(&p, index, index, NULL, false);
			dev_pinned_unreserve(&p, 1);
			model[index]++;
		} else if (model[index]) {
			dev_pinned_drop(&p, index);
			model[index]--;
		} else if (!below(1000)) {
			drop_range(&p, model, index,
				   below(2) ? ~0ULL : index + below(300));
		}
		CHECK_EQ(held(&p, index), model[index]);
	}
	for (i = 0; i < INDEXES; i++)
		CHECK_EQ(held(&p, i), model[i]);
	drop_range(&p, model, 0, ~0ULL);
	CHECK_EQ(p.used, 0);
	dev_pinned_free(&p);
}

/* Runs, on an array as memory */

#define REGION (64 * 1024)
#define FIRST  0x7000ULL

static unsigned char region[REGION];
static uint64_t writes, same, zeros, outside;
static bool want_pin, fail_writes;

/* Called by one thread alone */
static int note_write(void *opaque, uint64_t iova, const void *data,
		      size_t size, bool pin, uint64_t *ns)
{
	const unsigned char *byte = data;
	size_t i;

	(void)opaque;
	if (fail_writes)
		return -EFAULT;
	if (iova < FIRST || iova - FIRST > REGION ||
	    size > REGION - (iova - FIRST) || pin != want_pin) {
		outside++;
		return 0;
	}
	for (i = 0; i < size; i++) {
		same += region[iova - FIRST + i] == byte[i];
		zeros += !byte[i];
		region[iova - FIRST + i] = byte[i];
	}
	writes++;
	*ns = 1 << 21;
	return 0;
}

static const struct tdev_run a_run = {
	.threads = 1,
	.size = 700,
	.iova = FIRST,
	.length = REGION,
	.count = 5000,
	.seed = 3,
};

static void run_to_end(struct tdev_run spec, struct tdev_stats *stats)
{
	struct dev_runner *r = dev_runner_new(note_write, NULL);

	CHECK(r);
	memset(region, 0, sizeof(region));
	writes = same = zeros = outside = 0;
	want_pin = spec.flags & TDEV_RUN_PIN;
	CHECK_EQ(dev_runner_start(r, &spec), 0);
	dev_runner_wait(r);
	memset(stats, 0, sizeof(*stats));
	dev_runner_stats(r, stats);
	dev_runner_free(r);
}

static void test_run(unsigned int flags)
{
	struct tdev_run spec = a_run;
	struct tdev_stats stats;

	spec.flags = flags;
	run_to_end(spec, &stats);
	CHECK_EQ(outside, 0);
	CHECK_EQ(zeros, 0);
	if (!flags) /* else a pass may skip bytes that the next one writes */
		CHECK_EQ(same, 0);
	CHECK_EQ(writes, spec.count);
	CHECK_EQ(stats.ops, spec.count);
	CHECK_EQ(stats.failed, 0);
	CHECK_EQ(stats.running, 0);
	CHECK_EQ(stats.histogram[21], spec.count);
	CHECK_EQ(stats.ns_total, spec.count << 21);
	CHECK_EQ(stats.ns_max, 1 << 21);
	CHECK_EQ(stats.stalls, spec.count);
	CHECK_EQ(stats.ns_stalled, stats.ns_total);
	if (!(flags & TDEV_RUN_VARY))
		CHECK_EQ(stats.bytes, spec.count * spec.size);
}

static void test_run_ascending(void)
{
	test_run(0);
	test_run(TDEV_RUN_VARY);
}

static void test_run_random(void)
{
	test_run(TDEV_RUN_RANDOM);
	test_run(TDEV_RUN_RANDOM | TDEV_RUN_VARY | TDEV_RUN_PIN);
}

static void test_run_repeats(void)
{
	static unsigned char before[REGION];
	struct tdev_run spec = a_run;
	struct tdev_stats stats;

	spec.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY;
	run_to_end(spec, &stats);
	memcpy(before, region, sizeof(region));
	run_to_end(spec, &stats);
	CHECK(!memcmp(before, region, sizeof(region)));
	spec.seed++;
	run_to_end(spec, &stats);
	CHECK(memcmp(before, region, sizeof(region)));
}

static void test_run_counts(void)
{
	struct tdev_run spec = a_run;
	struct tdev_stats stats;

	spec.threads = 7;
	spec.count = 1000;
	fail_writes = true;
	run_to_end(spec, &stats);
	fail_writes = false;
	CHECK_EQ(stats.ops, 0);
	CHECK_EQ(stats.failed, 1000);

	spec = a_run;
	spec.count = 3;
	spec.size = 65536;
	spec.length = 65536;
	run_to_end(spec, &stats);
	CHECK_EQ(outside, 0);
	CHECK_EQ(writes, 3);
}

static void test_run_rate(void)
{
	struct tdev_run spec = a_run;
	struct tdev_stats stats;
	uint64_t began = dml_clock_now();

	spec.count = 100;
	spec.rate = 1000;
	run_to_end(spec, &stats);
	CHECK_EQ(stats.ops, 100);
	CHECK(dml_clock_now() - began >= 98 * 1000000ULL);
}

static void test_run_halt(void)
{
	struct dev_runner *r = dev_runner_new(note_write, NULL);
	struct tdev_run spec = a_run;
	struct tdev_stats stats = { 0 };
	uint64_t before;

	spec.count = 0;
	CHECK_EQ(dev_runner_start(r, &spec), 0);
	CHECK_EQ(dev_runner_start(r, &spec), -EBUSY);
	dev_runner_halt(r);
	dev_runner_stats(r, &stats);
	CHECK_EQ(stats.running, 0);
	before = stats.ops;
	dev_runner_stats(r, &stats);
	CHECK_EQ(stats.ops, before);

	spec.rate = 1; /* halting doesn't wait for the next turn */
	spec.threads = 64;
	CHECK_EQ(dev_runner_start(r, &spec), 0);
	dev_runner_halt(r);
	dev_runner_halt(r);
	dev_runner_wait(r);
	CHECK_EQ(dev_runner_start(r, &spec), 0);
	dev_runner_free(r);
}

static void refuse(const struct tdev_run *spec)
{
	struct dev_runner *r = dev_runner_new(note_write, NULL);

	CHECK_EQ(dev_runner_start(r, spec), -EINVAL);
	dev_runner_free(r);
}

static void test_run_arguments(void)
{
	struct tdev_run bad;

#define REFUSE(member, value) (bad = a_run, bad.member = (value), refuse(&bad))
	REFUSE(flags, 8);
	REFUSE(threads, 0);
	REFUSE(threads, 65);
	REFUSE(size, 0);
	REFUSE(size, 65537);
	REFUSE(length, 0);
	REFUSE(length, 699);
	REFUSE(iova, ~0ULL - REGION + 2);
	bad = a_run;
	bad.threads = 2;
	bad.length = 1399;
	refuse(&bad);
}

/* The engine's device */

static struct dmatrack *t;
static struct dev_device *d;
static unsigned char *memory;
static uint64_t bitmap[1];

#define NPAGES 64
#define IOVA   0x100000ULL

static void set_up(void)
{
	memory = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(dev_open(&d, t), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, NPAGES * PAGE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

static void tear_down(void)
{
	dev_close(d);
	dmatrack_close(t);
	munmap(memory, NPAGES * PAGE);
}

static uint64_t harvest(void)
{
	bitmap[0] = 0x5555;
	CHECK_EQ(dmatrack_harvest(t, IOVA, NPAGES * PAGE, PAGE, bitmap), 0);
	return bitmap[0];
}

static struct tdev_stats device_stats(void)
{
	struct tdev_stats stats;

	CHECK_EQ(dev_stats(d, &stats), 0);
	return stats;
}

static void test_device_write(void)
{
	char data[8] = "written", back[8];

	set_up();
	CHECK(!strcmp(dmatrack_driver(t), "engine"));
	CHECK(!strcmp(dev_kind(d), "engine"));
	CHECK_EQ(dmatrack_device_fd(t), -1);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(dev_write(d, IOVA + PAGE - 4, data, 8), 0);
	CHECK(!memcmp(memory + PAGE - 4, data, 8));
	CHECK_EQ(dev_read(d, IOVA + PAGE - 4, back, 8), 0);
	CHECK(!memcmp(back, data, 8));
	CHECK_EQ(harvest(), 3);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(dev_mark(d, IOVA + 5 * PAGE, 1), 0);
	CHECK_EQ(harvest(), 1 << 5);
	CHECK_EQ(dev_write(d, IOVA, data, 0), -EINVAL);
	CHECK_EQ(dev_write(d, IOVA, data, TDEV_SIZE_MAX + 1), -EINVAL);
	CHECK_EQ(dev_write(d, 0, data, 1), -EINVAL);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(dmatrack_harvest(t, IOVA, PAGE, PAGE, bitmap), -EINVAL);
	tear_down();
}

static void test_device_pins(void)
{
	const unsigned int rw = TDEV_PIN_READ | TDEV_PIN_WRITE;

	set_up();
	CHECK_EQ(dev_pin(d, IOVA, 1, 0), -EINVAL);
	CHECK_EQ(dev_pin(d, IOVA, 1, 4), -EINVAL);
	CHECK_EQ(dev_pin(d, IOVA + 1, 1, rw), -EINVAL);
	CHECK_EQ(dev_pin(d, IOVA, 0, rw), -EINVAL);
	CHECK_EQ(dev_pin(d, IOVA, NPAGES + 1, rw), -EINVAL);
	CHECK_EQ(device_stats().pinned, 0);

	CHECK_EQ(dev_pin(d, IOVA + PAGE, 2, rw), 0);
	CHECK_EQ(dev_pin(d, IOVA + 2 * PAGE, 2, TDEV_PIN_READ), 0);
	CHECK_EQ(device_stats().pinned, 4);
	CHECK_EQ(harvest(), 6);
	CHECK_EQ(dev_pinned_write(d, IOVA + 2 * PAGE - 1, "xy", 2), 0);
	CHECK(!memcmp(memory + 2 * PAGE - 1, "xy", 2));
	CHECK_EQ(dev_pinned_write(d, IOVA + 3 * PAGE - 1, "xy", 2), -EINVAL);
	CHECK_EQ(dev_pinned_write(d, IOVA + PAGE - 1, "xy", 2), -EINVAL);
	CHECK_EQ(harvest(), 6);

	CHECK_EQ(dev_unpin(d, IOVA, 2), -EINVAL);
	CHECK_EQ(dev_unpin(d, IOVA + PAGE, 3), 0);
	CHECK_EQ(device_stats().pinned, 1);
	CHECK_EQ(dev_unpin(d, IOVA + PAGE, 1), -EINVAL);
	harvest();
	CHECK_EQ(dev_unpin(d, IOVA + 2 * PAGE, 1), 0);
	harvest();
	CHECK_EQ(harvest(), 0);
	tear_down();
}

static void test_device_unmap(void)
{
	const unsigned int w = TDEV_PIN_WRITE;
	int i;

	set_up();
	for (i = 0; i < 3; i++)
		CHECK_EQ(dev_pin(d, IOVA + i * PAGE, NPAGES / 2, w), 0);
	CHECK_EQ(dmatrack_unmap(t, IOVA, NPAGES * PAGE), 0);
	CHECK_EQ(device_stats().pinned, 0);
	CHECK_EQ(device_stats().unmaps, 1);
	CHECK_EQ(dev_pin(d, IOVA, 1, w), -EINVAL);
	CHECK_EQ(dev_unpin(d, IOVA, 1), -EINVAL);
	tear_down();
}

static void test_device_run(void)
{
	struct tdev_run run = {
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY | TDEV_RUN_PIN,
		.threads = 4,
		.size = 65536,
		.iova = IOVA - PAGE,
		.length = (NPAGES + 2) * PAGE,
		.count = 2000,
	};
	struct tdev_stats stats;

	set_up();
	CHECK_EQ(dev_run(d, &run), 0);
	CHECK_EQ(dev_pin(d, IOVA, 3, TDEV_PIN_WRITE), 0);
	CHECK_EQ(dmatrack_unmap(t, IOVA, NPAGES * PAGE), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, NPAGES * PAGE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dev_wait(d), 0);
	stats = device_stats();
	CHECK_EQ(stats.ops + stats.failed, 2000);
	CHECK_EQ(stats.pinned, 0);
	tear_down();
}

static void test_open_vfio(void)
{
	CHECK_EQ(dmatrack_open_vfio(&t, "", VFIO_TYPE1v2_IOMMU), -EINVAL);
	CHECK_EQ(dmatrack_open_vfio(&t, "../0000:00:00.0", VFIO_TYPE1v2_IOMMU),
		 -EINVAL);
	CHECK_EQ(dmatrack_open_vfio(&t, "0000:00:00.0/", VFIO_TYPE1v2_IOMMU),
		 -EINVAL);
	CHECK_EQ(dmatrack_open_vfio(&t, "ffff:ff:1f.7", 99), -EINVAL);
	CHECK_EQ(dmatrack_open_vfio(&t, "ffff:ff:1f.7", VFIO_TYPE1v2_IOMMU),
		 -ENODEV);
	CHECK_EQ(dmatrack_open_engine(&t, 99, 0), -EINVAL);
}

int main(void)
{
	TEST(test_runs, "next_run equals a search bit by bit");
	TEST(test_runs_edges, "next_run at the ends of a bitmap");
	TEST(test_bitmap_size, "bitmap_size rounds up to words");
	TEST(test_merge, "merge equals a merge bit by bit");
	TEST(test_pinned, "the table of pinned pages equals an array");
	TEST(test_run_ascending, "a run in ascending order changes each byte");
	TEST(test_run_random, "a run in random order stays in its region");
	TEST(test_run_repeats, "a run depends on its seed alone");
	TEST(test_run_counts, "a run's count is exact, failures included");
	TEST(test_run_rate, "a run keeps to its rate");
	TEST(test_run_halt, "a halted run has ended");
	TEST(test_run_arguments, "invalid arguments of a run are refused");
	TEST(test_device_write, "engine device: write, read, mark");
	TEST(test_device_pins, "engine device: pins are remembered");
	TEST(test_device_unmap, "engine device: an unmap removes its pins");
	TEST(test_device_run, "engine device: a run with pins, and an unmap");
	TEST(test_open_vfio, "open: invalid names, missing devices");
	return tap_done();
}
