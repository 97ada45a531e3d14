// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Absent memory: which pages count as zeros without being read and which never do; and
 * copies of sparse memory that don't touch it. All of it by the kernel's scan of page tables, if
 * it has one, and then by reading pagemap: a seccomp filter makes the kernel an older one.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/precopy/absent.h"
#include "lib/precopy/precopy.h"
#include "memdest.h"
#include "test/tap.h"
#include "test/zero_page.h"

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

/* The kernel, from now on */

#define PAGEMAP_SCAN 0xc0606610u /* of <linux/fs.h>, since Linux 6.7 */

static bool has_scan;

static bool find_scan(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool has = ioctl(fd, PAGEMAP_SCAN, NULL) && errno == EFAULT;

	close(fd);
	return has;
}

/* System call @call fails with @error if its second argument is @second, or if that is 0. */
static void refuse(unsigned int call, unsigned int second, unsigned int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | (second ? BPF_JEQ : BPF_JGE) | BPF_K, second,
			 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Descriptors from @limit on can't be opened until allow_files(). */
static void limit_files(int limit)
{
	struct rlimit r;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = (rlim_t)limit;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static void allow_files(void)
{
	struct rlimit r;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = r.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
}

/* Pages ------------------------------------------------------------------------ */

/* Whether the run from @at on, of at most @size bytes, has @want bytes and is as @absent says */
static bool run_is(const char *at, uint64_t size, uint64_t want, bool absent)
{
	bool is;
	uint64_t n = dml_absent_run(a, at, size, &is);

	if (n != want || is != absent)
		printf("# %s run of 0x%llx bytes, not %s one of 0x%llx\n",
		       is ? "an absent" : "a present", (unsigned long long)n,
		       absent ? "an absent" : "a present",
		       (unsigned long long)want);
	return n == want && is == absent;
}

static void test_runs(void)
{
	char *m = map_anonymous(SIZE);

	m[3 * PAGE] = 1;
	m[4 * PAGE + 5] = 0;
	look_anew();
	CHECK(run_is(m + 8, PAGE, PAGE, false));
	CHECK(run_is(m, PAGE + 8, PAGE + 8, false));
	CHECK(run_is(m, SIZE, 3 * PAGE, true));
	CHECK(run_is(m + PAGE, PAGE, PAGE, true));
	CHECK(run_is(m + 3 * PAGE, SIZE - 3 * PAGE, 2 * PAGE, false));
	CHECK(run_is(m + 5 * PAGE, SIZE - 5 * PAGE, SIZE - 5 * PAGE, true));
	munmap(m, SIZE);
	look_anew();
	CHECK(run_is(m, SIZE, SIZE, false));
}

/* More runs than are found at once */
static void test_alternating(void)
{
	const uint64_t n = 6000;
	char *m = map_anonymous(n * PAGE);
	uint64_t i;

	for (i = 0; i < n; i += 2)
		m[i * PAGE] = 1;
	look_anew();
	for (i = 0; i < n; i++)
		CHECK(run_is(m + i * PAGE, (n - i) * PAGE, PAGE, i % 2));
	CHECK(run_is(m, n * PAGE, PAGE, false));
	munmap(m, n * PAGE);
}

/* Pages that were only read are the zero page, if the kernel has one. */
static void test_zero_pages(void)
{
	bool told = has_scan && has_zero_page();
	char *m = map_anonymous(SIZE);

	CHECK_EQ(((volatile char *)m)[3 * PAGE], 0);
	m[4 * PAGE] = 1;
	look_anew();
	CHECK(run_is(m, SIZE, (told ? 4 : 3) * PAGE, true));
	CHECK(run_is(m + 4 * PAGE, SIZE - 4 * PAGE, PAGE, false));
	munmap(m, SIZE);
}

/* Pages that aren't in the page tables may still have contents. */
static void test_files(void)
{
	int fd = memfd_create("absent", MFD_CLOEXEC);
	char *m = map_anonymous(5 * SIZE);
	int i;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, SIZE), 0);
	CHECK(mmap(m, SIZE, PROT_READ, MAP_FIXED | MAP_SHARED, fd, 0) == m);
	CHECK(mmap(m + 2 * SIZE, SIZE, PROT_READ, MAP_FIXED | MAP_PRIVATE, fd,
		   0) == m + 2 * SIZE);
	CHECK(mmap(m + 4 * SIZE, SIZE, PROT_READ,
		   MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1,
		   0) == m + 4 * SIZE);
	look_anew();
	for (i = 0; i < 5; i++)
		CHECK(run_is(m + i * SIZE, (5 - i) * SIZE, SIZE, i % 2));
	munmap(m, 5 * SIZE);
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
	CHECK(run_is(m, 3 * SIZE, SIZE, true));
	CHECK(run_is(m + SIZE, 2 * SIZE, SIZE, false));
	CHECK(run_is(m + 2 * SIZE, SIZE, SIZE, true));
	look_anew();
	CHECK(run_is(m + SIZE, 2 * SIZE, SIZE, false));
	close(fd);
	munmap(m, 3 * SIZE);
	return true;
}

static bool has_userfaultfd;

static void test_userfaultfd(void)
{
	has_userfaultfd = try_userfaultfd();
}

/* smaps takes long: it's read for the first absent page. */
static void test_smaps_is_last(void)
{
	char *m = map_anonymous(SIZE), *end = m + SIZE / 2;

	memset(m, 1, 8 * PAGE);
	look_anew();
	CHECK(run_is(m, 8 * PAGE, 8 * PAGE, false));
	CHECK(mmap(end, SIZE / 2, PROT_READ,
		   MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0) == end);
	CHECK(run_is(m + 8 * PAGE, SIZE - 8 * PAGE, SIZE / 2 - 8 * PAGE, true));
	CHECK(run_is(end, SIZE / 2, SIZE / 2, false));
	munmap(m, SIZE);
}

/* If a file of /proc can't be opened, no page is absent. */
static void test_no_files(void)
{
	char *m = map_anonymous(SIZE);
	int fd;

	dml_absent_close(a);
	a = NULL;
	fd = dup(0);
	CHECK(fd >= 0);
	close(fd);
	limit_files(0);
	a = dml_absent_open();
	allow_files();
	CHECK(!a);
	limit_files(fd + 1);
	a = dml_absent_open();
	allow_files();
	CHECK(a);
	CHECK(run_is(m, SIZE, SIZE, false));
	look_anew();
	limit_files(0);
	CHECK(run_is(m, SIZE, SIZE, false));
	allow_files();
	CHECK(run_is(m, SIZE, SIZE, false));
	munmap(m, SIZE);
}

/* The search goes by what is present: a GiB without page tables is one step. */
static void test_huge(void)
{
	const uint64_t gib = 1ull << 30, size = gib << 10, n = 1000;
	char *m = map_anonymous(size);
	uint64_t i, len, pages = 0, steps = 0;
	bool absent;

	for (i = 0; i < n; i++)
		m[i * (size / n / PAGE) * PAGE] = 1;
	look_anew();
	for (i = 0; i < size; i += len) {
		len = dml_absent_run(a, m + i, size - i, &absent);
		pages += absent ? 0 : len / PAGE;
		steps++;
	}
	CHECK_EQ(pages, n);
	CHECK(steps <= size / gib + 3 * n);
	munmap(m, size);
}

/* Copies ----------------------------------------------------------------------- */

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

static int begin_nothing(struct dmatrack_dest *d,
			 const struct dmatrack_region *regions, unsigned int n,
			 uint32_t page_size)
{
	return 0;
}

static uint64_t passing_clock(void *opaque)
{
	uint64_t *now = opaque;

	return *now += DML_NSEC;
}

static unsigned int asked;

static int cancel_third(void *opaque, const struct dmatrack_round *r)
{
	return ++asked == 3 ? -ECANCELED : 0;
}

/* A search of much absent memory can be cancelled. */
static void test_cancel(void)
{
	const struct dmatrack_region region = {
		.size = 64ull << 30,
		.vaddr = map_anonymous(64ull << 30),
	};
	uint64_t now = 0;
	const struct dml_clock clock = { passing_clock, NULL, &now };
	struct memdest d = { 0 };
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = &region,
		.nregions = 1,
		.dest = &d.base,
		.stop = stop,
		.progress = cancel_third,
	};
	struct dmatrack_dest_ops ops = memdest_ops;
	struct dmatrack_totals totals;

	ops.begin = begin_nothing;
	d.base.ops = &ops;
	asked = 0;
	CHECK_EQ(dml_precopy(&p, &totals, &clock), -ECANCELED);
	CHECK_EQ(asked, 3);
	CHECK_EQ(totals.rounds, 0);
	munmap(region.vaddr, region.size);
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

static void test_precopy_no_files(void)
{
	char *m = map_anonymous(8192 * 3 * PAGE);
	struct dmatrack_totals totals;
	struct memdest d;

	m[77 * PAGE] = 1;
	memdest_init(&d);
	limit_files(0);
	CHECK_EQ(precopy(&d, m, 4096, &totals), 0);
	allow_files();
	CHECK_EQ(totals.sent, 1);
	CHECK(memdest_exact(&d));
	memdest_free(&d);
	munmap(m, 8192 * 3 * PAGE);
}

/* If pagemap can't be read, no page is absent. */
static void test_unreadable(void)
{
	char *m = map_anonymous(SIZE);

	refuse(SYS_pread64, 0, EIO);
	look_anew();
	CHECK(run_is(m, SIZE, SIZE, false));
	munmap(m, SIZE);
	test_precopy_no_files();
}

static const struct test {
	void (*run)(void);
	const char *name;
} tests[] = {
	{ test_runs, "memory that was never touched is absent" },
	{ test_alternating, "each second page is absent" },
	{ test_zero_pages, "pages that were only read" },
	{ test_files, "pages of files and of shared memory are never absent" },
	{ test_userfaultfd, "nor are pages that userfaultfd fills" },
	{ test_smaps_is_last, "smaps isn't read before a page is absent" },
	{ test_no_files, "without a file of /proc no page is absent" },
	{ test_precopy, "a sparse memory is copied without touching it" },
	{ test_cancel, "a copy of much absent memory is cancelled" },
	{ test_lost,
	  "absent pages that a lost destination may hold are cleared" },
	{ test_precopy_no_files, "a copy without files of /proc" },
};

static void test_one(const struct test *t, const char *how)
{
	char name[120];

	snprintf(name, sizeof(name), "%s: %s", how, t->name);
	TEST(t->run, name);
}

static void test_all(const char *how)
{
	size_t i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		test_one(&tests[i], how);
	if (!has_userfaultfd)
		SKIP("with a userfaultfd", "not allowed here");
}

int main(void)
{
	const char *scan = "by the kernel's scan";

	has_scan = find_scan();
	if (has_scan) {
		test_all(scan);
		TEST(test_huge, "1 TiB is searched by what is present");
		refuse(SYS_ioctl, PAGEMAP_SCAN, ENOTTY);
		has_scan = false;
	} else {
		SKIP(scan, "Linux before 6.7 has none");
	}
	test_all("by reading pagemap");
	TEST(test_unreadable, "by nothing");
	dml_absent_close(a);
	return tap_done();
}
