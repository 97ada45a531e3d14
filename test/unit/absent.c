// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Absent memory: which pages count as zeros without being read and which never do; and
 * copies of sparse memory that don't touch it.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/precopy/absent.h"
#include "memdest.h"
#include "test/tap.h"

#define PAGE   4096ull
#define NPAGES 64ull
#define SIZE   (NPAGES * PAGE)

static struct dml_absent *a;

static char *map(uint64_t size, int flags, int fd)
{
	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(m != MAP_FAILED);
	return m;
}

static char *map_anonymous(uint64_t size)
{
	char *m = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	madvise(m, size, MADV_NOHUGEPAGE);
	return m;
}

static void look_anew(void)
{
	dml_absent_close(a);
	a = dml_absent_open();
	CHECK(a);
}

static void test_runs(void)
{
	char *m = map_anonymous(SIZE);
	bool absent;

	m[3 * PAGE] = 1;
	m[4 * PAGE + 5] = 0;
	look_anew();
	CHECK(dml_absent_covers(a, m, SIZE));
	CHECK(!dml_absent_covers(a, m + 8, PAGE));
	CHECK(!dml_absent_covers(a, m, PAGE + 8));
	CHECK_EQ(dml_absent_run(a, m, SIZE, &absent), 3 * PAGE);
	CHECK(absent);
	CHECK_EQ(dml_absent_run(a, m + PAGE, PAGE, &absent), PAGE);
	CHECK(absent);
	CHECK_EQ(dml_absent_run(a, m + 3 * PAGE, SIZE - 3 * PAGE, &absent),
		 2 * PAGE);
	CHECK(!absent);
	CHECK_EQ(dml_absent_run(a, m + 5 * PAGE, SIZE - 5 * PAGE, &absent),
		 SIZE - 5 * PAGE);
	CHECK(absent);
	munmap(m, SIZE);
	look_anew();
	CHECK(!dml_absent_covers(a, m, SIZE));
}

/* Pages that aren't in the page tables may still have contents. */
static void test_files(void)
{
	int fd = memfd_create("absent", MFD_CLOEXEC);
	char *shared, *private, *anonymous;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, SIZE), 0);
	shared = map(SIZE, MAP_SHARED, fd);
	private = map(SIZE, MAP_PRIVATE, fd);
	anonymous = map(SIZE, MAP_SHARED | MAP_ANONYMOUS, -1);
	look_anew();
	CHECK(!dml_absent_covers(a, shared, SIZE));
	CHECK(!dml_absent_covers(a, private, SIZE));
	CHECK(!dml_absent_covers(a, anonymous, SIZE));
	munmap(shared, SIZE);
	munmap(private, SIZE);
	munmap(anonymous, SIZE);
	close(fd);
}

/* Pages that a userfaultfd fills aren't absent. Return: false if this kernel refuses one */
static bool try_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	char *m = map_anonymous(3 * SIZE);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return false;
	reg.range.start = (uintptr_t)m + SIZE;
	reg.range.len = SIZE;
	CHECK_EQ(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	look_anew();
	CHECK(dml_absent_covers(a, m, SIZE));
	CHECK(!dml_absent_covers(a, m + SIZE, SIZE));
	CHECK(!dml_absent_covers(a, m, 2 * SIZE));
	CHECK(dml_absent_covers(a, m + 2 * SIZE, SIZE));
	close(fd);
	munmap(m, 3 * SIZE);
	return true;
}

static bool has_userfaultfd;

static void test_userfaultfd(void)
{
	has_userfaultfd = try_userfaultfd();
}

static unsigned int written(const char *m, uint64_t npages)
{
	unsigned char *in = malloc(npages);
	unsigned int n = 0;
	uint64_t i;

	CHECK_EQ(mincore((void *)m, npages * PAGE, in), 0);
	for (i = 0; i < npages; i++)
		n += in[i] & 1;
	free(in);
	return n;
}

static int stop(void *opaque)
{
	return 0;
}

static int precopy(struct memdest *d, void *memory, uint32_t page_size,
		   struct dmatrack_totals *totals)
{
	const struct dmatrack_region region = {
		.iova = 1 << 30,
		.size = 8192 * 3 * PAGE,
		.vaddr = memory,
	};
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = &region,
		.nregions = 1,
		.dest = &d->base,
		.stop = stop,
		.page_size = page_size,
	};

	return dmatrack_precopy_run(&p, totals);
}

static void test_precopy(void)
{
	static const uint64_t pages[] = { 0, 77, 8191, 8192, 16384, 24575 };
	char *m = map_anonymous(8192 * 3 * PAGE);
	struct dmatrack_totals totals;
	struct memdest d;
	uint32_t page_size;
	uint64_t i;

	for (i = 0; i < 6; i++)
		m[pages[i] * PAGE + 9] = 1;
	for (page_size = 4096; page_size <= 2 << 20; page_size *= 8) {
		memdest_init(&d);
		CHECK_EQ(precopy(&d, m, page_size, &totals), 0);
		CHECK_EQ(totals.sent + totals.zero, totals.pages);
		CHECK_EQ(totals.bytes, totals.sent * page_size);
		if (page_size == PAGE) {
			CHECK_EQ(totals.sent, 6);
			CHECK_EQ(written(m, 8192 * 3), 6);
		}
		CHECK(memdest_exact(&d));
		memdest_free(&d);
	}
	munmap(m, 8192 * 3 * PAGE);
}

/* Pages that are lost in the first round have to be cleared, absent or not. */
static void test_lost(void)
{
	char *m = map_anonymous(8192 * 3 * PAGE);
	struct dmatrack_totals totals;
	struct memdest d;
	uint64_t i, seed;

	for (i = 0; i < 8192 * 3; i += 1 + i % 700)
		m[i * PAGE] = 1;
	for (seed = 0; seed < 4; seed++) {
		memdest_init(&d);
		d.rng = seed;
		d.chance = 5;
		d.error = -EAGAIN;
		CHECK_EQ(precopy(&d, m, 8192, &totals), 0);
		CHECK(totals.resumed);
		CHECK(memdest_exact(&d));
		memdest_free(&d);
		madvise(m, 100 * PAGE, MADV_DONTNEED);
	}
	munmap(m, 8192 * 3 * PAGE);
}

int main(void)
{
	TEST(test_runs, "memory that was never touched is absent");
	TEST(test_files,
	     "pages of files and of shared memory are never absent");
	TEST(test_userfaultfd, "nor are pages that userfaultfd fills");
	if (!has_userfaultfd)
		SKIP("with a userfaultfd", "not allowed here");
	TEST(test_precopy, "a sparse memory is copied without touching it");
	TEST(test_lost,
	     "absent pages that a lost destination may hold are cleared");
	dml_absent_close(a);
	return tap_done();
}
