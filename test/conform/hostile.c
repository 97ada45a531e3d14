// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Drivers at fault: they don't unpin what they are told to, or not in time. A page
 * that a driver holds is never given back to the system: the unmap fails, and
 * changes nothing.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

static void on_unmap_of(struct dev_device *d, unsigned int how,
			unsigned int flags)
{
	const struct tdev_on_unmap on = {
		.how = how,
		.msec = 100,
		.flags = flags,
	};

	ASSERT_OK(dev_on_unmap(d, &on));
}

static void on_unmap(unsigned int how, unsigned int flags)
{
	on_unmap_of(bed.d, how, flags);
}

static void behave(void)
{
	on_unmap(TDEV_UNMAP_RELEASE, 0);
}

static struct tdev_stats stats(void)
{
	struct tdev_stats st = { .argsz = sizeof(st) };

	ASSERT_OK(dev_stats(bed.d, &st));
	return st;
}

static u64 pinned(void)
{
	return stats().pinned;
}

/* Two mappings of 64 pages, of which the second has 2 pages pinned */
static void two_mappings(void)
{
	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 70 * PAGE, 2, PIN_W));
	ASSERT_OK(dma_write(BASE + 3 * PAGE, 1));
}

/* Mappings, pins and dirty pages are as before. */
static void expect_untouched(void)
{
	EXPECT_EQ(pinned(), 2);
	EXPECT_OK(dma_write(BASE + 100 * PAGE, 1));
	EXPECT_OK(dev_pinned_write(bed.d, BASE + 71 * PAGE, "abc", 4));
	EXPECT_DIRTY(BASE, 128, "3 70-71 100");
	EXPECT_DIRTY(BASE, 128, "70-71");
}

static void expect_unmaps(void)
{
	u64 words[2] = { 0, 0 }, unmapped;

	behave();
	EXPECT_OK(unmap_bitmap(BASE, 128 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 128 * PAGE);
	EXPECT_EQ(words[0], 0);
	EXPECT_EQ(words[1], 3 << 6);
	EXPECT_EQ(pinned(), 0);
}

CASE(hostile_ignores, EMULATED)
{
	long before = avail(), locked_before = locked();
	u64 unmapped;

	two_mappings();
	on_unmap(TDEV_UNMAP_IGNORE, 0);
	EXPECT_EQ(unmap_flags(0, BASE, 128 * PAGE, &unmapped), -EBUSY);
	EXPECT_EQ(unmapped,
		  128 * PAGE); /* the size that was asked for is left there */
	EXPECT_EQ(avail(), before - 2);
	EXPECT_EQ(locked(), locked_before + 8);
	expect_untouched();
	expect_unmaps();
	EXPECT_EQ(avail(), before);
	EXPECT_EQ(locked(), locked_before);
}

CASE(hostile_ignores_bitmap, EMULATED)
{
	u64 words[2];

	two_mappings();
	on_unmap(TDEV_UNMAP_IGNORE, 0);
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, words, 16, NULL),
		  -EBUSY);
	expect_untouched();
	expect_unmaps();
}

CASE(hostile_ignores_all, EMULATED)
{
	two_mappings();
	on_unmap(TDEV_UNMAP_IGNORE, 0);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, NULL), -EBUSY);
	expect_untouched();
	EXPECT_EQ(unmap(BASE, 64 * PAGE),
		  64 * PAGE); /* this mapping has no pins */
	behave();
	EXPECT_EQ(unmap(BASE + 64 * PAGE, 64 * PAGE), 64 * PAGE);
}

/* A pin over two mappings; the driver finds it by the pin's first page alone. */
CASE(hostile_by_first, EMULATED)
{
	mapped(BASE, 256);
	mapped(BASE + 256 * PAGE, 256);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE, 512, PIN_W));
	on_unmap(TDEV_UNMAP_BY_FIRST, 0);
	EXPECT_EQ(unmap(BASE + 256 * PAGE, 256 * PAGE), -EBUSY);
	EXPECT_EQ(pinned(), 512);
	EXPECT_DIRTY(BASE, 512, "0-511");
	EXPECT_EQ(unmap(BASE, 256 * PAGE), 256 * PAGE);
	EXPECT_EQ(pinned(), 0);
	EXPECT_EQ(unmap(BASE + 256 * PAGE, 256 * PAGE), 256 * PAGE);
}

/* The callback pins again, and is refused: a mapping that is being unmapped takes no pins. */
CASE(hostile_pins_again, EMULATED)
{
	two_mappings();
	on_unmap(TDEV_UNMAP_REPIN, 0);
	EXPECT_EQ(unmap(BASE + 64 * PAGE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(pinned(), 0);
	EXPECT_OK(pin(BASE, 1, PIN_W));
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
}

/* The unmap waits for a driver that unpins late. */
CASE(hostile_late, EMULATED)
{
	u64 words[2] = { 0, 0 }, unmapped;

	two_mappings();
	on_unmap(TDEV_UNMAP_LATE, 0);
	EXPECT_OK(unmap_bitmap(BASE, 128 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 128 * PAGE);
	EXPECT_EQ(words[0], 1 << 3);
	EXPECT_EQ(words[1], 3 << 6);
	EXPECT_EQ(pinned(), 0);
	EXPECT_EQ(unpin(BASE + 70 * PAGE, 2), -EINVAL);
}

/* While an unmap waits for a driver, other calls and the devices go on. */
CASE(hostile_killed, EMULATED | KERNEL)
{
	int status;
	pid_t pid;

	two_mappings();
	on_unmap(TDEV_UNMAP_IGNORE, 0);
	pid = fork();
	if (!pid) {
		for (;;)
			unmap(BASE, 128 * PAGE);
	}
	ASSERT(pid > 0);
	while (!stats().unmaps)
		EXPECT_EQ(avail(), 65533);
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status));
	expect_untouched();
	expect_unmaps();
}

/* The device closes, the container goes, and the driver never unpins. */
CASE(hostile_keeps, EMULATED)
{
	long before = bed.engine ? 0 : locked();
	char *mem = mapped(BASE, 8);

	ASSERT_OK(pin(BASE + PAGE, 3, PIN_W));
	on_unmap(TDEV_UNMAP_IGNORE, TDEV_KEEP);
	conform_close();
	if (!bed.engine)
		EXPECT_EQ(locked(), before + 12);
	mem[PAGE] = 1;
	EXPECT_EQ(mem[PAGE], 1);
}

/* The IOMMU's mappings stay as well. */
CASE(hostile_iommu, SEVERAL)
{
	struct dev_device *d = add(EMULATED, 0), *pci = add(IOMMU, 0);
	char *mem = mapped(BASE, 16);

	ASSERT_OK(dev_pin(d, BASE + 5 * PAGE, 2, PIN_W));
	on_unmap_of(d, TDEV_UNMAP_IGNORE, 0);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), -EBUSY);
	EXPECT_OK(write_by(pci, BASE + 5 * PAGE, 8));
	EXPECT(mem[5 * PAGE]);
	remove_device(pci);
	EXPECT_OK(dev_pinned_write(d, BASE + 6 * PAGE, "abc", 4));
	EXPECT(!strcmp(mem + 6 * PAGE, "abc"));
	EXPECT_EQ(unmap(BASE, 16 * PAGE), -EBUSY);
	on_unmap_of(d, TDEV_UNMAP_RELEASE, 0);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 16 * PAGE);
}

/* Another process's memory ----------------------------------------------------- */

#define OTHER_PAGES (64 * MiB / PAGE)
#define OTHERS	    0x11
#define OWNERS	    0x22
#define DEVICES	    0x5a

/* The number of the other process's pages that differ from what it wrote */
static unsigned int count_foreign(const unsigned char *mem)
{
	unsigned int n = 0;
	u64 i;

	for (i = 0; i < OTHER_PAGES; i++)
		n += mem[i * PAGE + 100] != OTHERS;
	return n;
}

/* Send @n to the test, then wait for its byte. */
static void say_and_wait(int in, int out, unsigned int n)
{
	if (write(out, &n, sizeof(n)) != sizeof(n) || read(in, &n, 1) != 1)
		_exit(1);
}

/*
 * Take memory at the test's first byte; report at the second how many pages were written
 * to from outside. The page tables exist before, so that none of them gets a page that
 * the device writes to. Small pages on the owner's processor are the pages that the owner
 * freed last.
 */
static void other_process(int in, int out)
{
	unsigned char *mem = memory(OTHER_PAGES * PAGE);
	u64 i;

	madvise(mem, OTHER_PAGES * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < OTHER_PAGES; i += 2 * MiB / PAGE)
		mem[i * PAGE] = OTHERS;
	say_and_wait(in, out, 0);
	memset(mem, OTHERS, OTHER_PAGES * PAGE);
	say_and_wait(in, out, 0);
	say_and_wait(in, out, count_foreign(mem));
	_exit(0);
}

/* The next number from the other process */
static unsigned int hear(int from)
{
	unsigned int n;

	ASSERT_EQ(read(from, &n, sizeof(n)), sizeof(n));
	return n;
}

/*
 * A driver finds a pin by its first page alone, so it doesn't unpin the pages that are
 * unmapped. The owner frees them all the same: no other process must get them while the
 * device can write there.
 */
CASE(hostile_foreign_memory, EMULATED | KERNEL)
{
	char *b, *data = memory(256 * PAGE);
	int to[2], from[2];
	cpu_set_t one;
	pid_t pid;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	ASSERT_OK(sched_setaffinity(0, sizeof(one), &one));
	ASSERT_OK(pipe(to) | pipe(from));
	pid = fork();
	if (!pid)
		other_process(to[0], from[1]);
	ASSERT(pid > 0);
	hear(from[0]);
	/* All pages of this process are resident: it takes no more of them. */
	ASSERT_OK(mlockall(MCL_CURRENT));

	memset(data, DEVICES, 256 * PAGE);
	mapped(BASE, 256);
	b = mapped(BASE + 256 * PAGE, 256);
	/*
	 * Small pages, which munmap() frees. They are resident before the pin: the pin would
	 * allocate them from the kernel's own pages, which no process gets.
	 */
	madvise(b, 256 * PAGE, MADV_NOHUGEPAGE);
	memset(b, OWNERS, 256 * PAGE);
	ASSERT_OK(pin(BASE, 512, PIN_W));
	on_unmap(TDEV_UNMAP_BY_FIRST, 0);
	EXPECT_EQ(unmap(BASE + 256 * PAGE, 256 * PAGE), -EBUSY);
	munmap(b, 256 * PAGE);
	ASSERT_EQ(write(to[1], "", 1), 1);
	hear(from[0]);
	EXPECT_OK(dev_pinned_write(bed.d, BASE + 256 * PAGE, data, 256 * PAGE));
	ASSERT_EQ(write(to[1], "", 1), 1);
	EXPECT_EQ(hear(from[0]), 0);
	ASSERT_EQ(write(to[1], "", 1), 1);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	behave();
	EXPECT_EQ(unmap(BASE, 512 * PAGE), 512 * PAGE);
}
