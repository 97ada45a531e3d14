// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * iommufd [--mock]
 *
 * Containers on page tables of an iommufd: what devices write is reported exactly, whatever the
 * page tables' entries are, and however a call ends.
 *
 * The iommufd is played by this program, or, with --mock, it is the kernel's, with the mock of an
 * IOMMU that a kernel with CONFIG_IOMMUFD_TEST has: see mock_*() for what is asked of it. In both,
 * calls pass through ioctl() below, which has some of them fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "lib/container/iommufd_abi.h"
#include "uapi/dmatrack.h"
#define TAP_OWN_ARGUMENTS
#include "test/says.h"
#include "test/tap.h"

#define PAGE  4096ull
#define BASE  (1ull << 30)
#define PAGES 1024u /* IOVAs from BASE on that are used */
#define HUGE  256u  /* pages of a large entry */
#define RW    (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)
#define FIRST (16ull << 20) /* IOVAs that can be mapped, as the mock's */
#define LAST  ((1ull << 31) - 1)
#define HOLE  (BASE + 900 * PAGE) /* a page that can't */

static bool mock;
static bool large;  /* memory that is contiguous has large entries */
static int fd = -1; /* the iommufd */
static uint32_t ioas, hwpt, plain_hwpt; /* IDs; @plain_hwpt has no dirty bits */
static struct dmatrack *t;
static char *memory, *huge_memory;
static void *nowhere; /* memory that can't be written */

/* Calls of @fail_cmd fail with @fail_errno */
static unsigned long fail_cmd;
static int fail_errno;
static unsigned int unmaps, track_ends; /* numbers of such calls */

/* Played ---------------------------------------------------------------------- */

/* What is mapped in one call. @entry: pages of one entry of the page tables */
static struct area {
	uint64_t iova, last;
	unsigned int entry;
} areas[16];
static unsigned int nr_areas;
static bool tracking, small_pages, entry_dirty[PAGES];

static struct area *area_at(uint64_t iova)
{
	unsigned int i;

	for (i = 0; i < nr_areas; i++)
		if (iova >= areas[i].iova && iova <= areas[i].last)
			return &areas[i];
	return NULL;
}

/* Return: number of the first page of the entry that maps @iova, counted from BASE */
static unsigned int entry_of(const struct area *a, uint64_t iova)
{
	return (unsigned int)((iova - BASE) / PAGE) / a->entry * a->entry;
}

static int played_ranges(struct iommufd_get_ranges *get)
{
	const struct dmatrack_range all[] = {
		{ FIRST, HOLE - 1 },
		{ HOLE + PAGE, LAST },
	};
	unsigned int room = get->nr;

	if (get->ioas != ioas)
		return -ENOENT;
	get->nr = 2;
	get->alignment = PAGE;
	if (room < 2)
		return -EMSGSIZE;
	memcpy((void *)(uintptr_t)get->ranges, all, sizeof(all));
	return 0;
}

static int played_map(const struct iommufd_map *map)
{
	uint64_t last = map->iova + map->length - 1, at;
	const char *vaddr = (void *)(uintptr_t)map->vaddr;

	CHECK(map->flags & IOMMUFD_MAP_FIXED && map->ioas == ioas);
	for (at = map->iova; at < last; at += PAGE)
		if (area_at(at))
			return -EEXIST;
	memset(entry_dirty + (map->iova - BASE) / PAGE, 0, map->length / PAGE);
	areas[nr_areas++] = (struct area){
		map->iova,
		last,
		large && vaddr == huge_memory && !small_pages ? HUGE : 1,
	};
	return 0;
}

/* Whole areas only */
static int played_unmap(struct iommufd_unmap *unmap)
{
	uint64_t last = unmap->iova + unmap->length - 1, bytes = 0;
	unsigned int i = 0;

	while (i < nr_areas) {
		struct area *a = &areas[i];

		if (a->last < unmap->iova || a->iova > last) {
			i++;
			continue;
		}
		if (a->iova < unmap->iova || a->last > last)
			return -ENOENT;
		bytes += a->last - a->iova + 1;
		*a = areas[--nr_areas];
	}
	unmap->length = bytes;
	return bytes ? 0 : -ENOENT;
}

/*
 * As the kernel does it: up to the first hole; the bit of an entry is cleared, and the part of it
 * that is asked for reported, if it can be. test_alone() has the same of the mock.
 */
static int played_dirty(const struct iommufd_get_dirty *get)
{
	uint64_t *bits = (uint64_t *)(uintptr_t)get->bits, at;
	uint64_t n = 0;
	bool dirty[PAGES];

	if (get->hwpt == plain_hwpt)
		return -EOPNOTSUPP;
	if (get->hwpt != hwpt)
		return -ENOENT;
	memcpy(dirty, entry_dirty, sizeof(dirty));
	for (at = get->iova; n < get->length / PAGE; n++, at += PAGE) {
		const struct area *a = area_at(at);

		if (!a || !tracking)
			break;
		if (!dirty[entry_of(a, at)])
			continue;
		if (bits != nowhere)
			bits[n / 64] |= 1ull << n % 64;
		if (!(get->flags & IOMMUFD_KEEP_BITS))
			entry_dirty[entry_of(a, at)] = false;
	}
	return 0;
}

static int played_track(const struct iommufd_track *track)
{
	CHECK_EQ(track->hwpt, hwpt);
	tracking = track->flags & IOMMUFD_TRACK_ON;
	if (tracking)
		memset(entry_dirty, 0, sizeof(entry_dirty));
	return 0;
}

static int played_option(const struct iommufd_option *option)
{
	CHECK(option->option == IOMMUFD_HUGE_PAGES && option->object == ioas);
	if (nr_areas)
		return -EINVAL;
	small_pages = !option->value;
	return 0;
}

static int played(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case IOMMUFD_GET_RANGES:
		return played_ranges(arg);
	case IOMMUFD_MAP:
		return played_map(arg);
	case IOMMUFD_UNMAP:
		return played_unmap(arg);
	case IOMMUFD_OPTION:
		return played_option(arg);
	case IOMMUFD_TRACK:
		return played_track(arg);
	case IOMMUFD_GET_DIRTY:
		return played_dirty(arg);
	default:
		return -ENOTTY;
	}
}

int ioctl(int to, unsigned long cmd, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	if (cmd == fail_cmd) {
		errno = fail_errno;
		return -1;
	}
	unmaps += cmd == IOMMUFD_UNMAP;
	if (cmd == IOMMUFD_TRACK)
		track_ends += !((struct iommufd_track *)arg)->flags;
	if (mock)
		return (int)syscall(SYS_ioctl, to, cmd, arg);
	ret = played(cmd, arg);
	errno = ret < 0 ? -ret : errno;
	return ret < 0 ? -1 : ret;
}

/* The kernel's mock ----------------------------------------------------------- */

/* Its pages have half the processor's size. */
#define MOCK_PAGE (PAGE / 2)

/* A call of tests. @last: 0 */
struct mock_call {
	__u32 size;
	__u32 op;
	__u32 id;
	__u32 reserved;
	union {
		/* IOVAs that can't be mapped any more. @id: the IOAS */
		struct {
			__aligned_u64 start;
			__aligned_u64 length;
		} reserve;
		/* A new device, attached to a HWPT, or to an IOAS by a new HWPT: @id */
		struct {
			__u32 out_mock;
			__u32 out_hwpt;
			__u32 out_device;
			__u32 flags;
		} device;
		/* Set dirty bits. @id: the HWPT; @bits: a bit for each mock page */
		struct {
			__u32 flags;
			__aligned_u64 iova;
			__aligned_u64 length;
			__aligned_u64 page_size;
			__aligned_u64 bits;
			__aligned_u64 out_count;
		} dirty;
	};
	__u32 last;
};
#define MOCK	      IOMMUFD_CALL(32)
#define MOCK_RESERVE  1
#define MOCK_DEVICE   12
#define MOCK_DIRTY    13
#define MOCK_NO_DIRTY (1U << 0) /* the device's IOMMU keeps no dirty bits */
#define MOCK_LARGE    (1U << 1) /* it has large entries */

static void mock_call(struct mock_call *call)
{
	int ret;

	call->size = sizeof(*call);
	ret = ioctl(fd, MOCK, call) < 0 ? -errno : 0;
	if (ret)
		printf("# call %u of the mock\n", call->op);
	CHECK_EQ(ret, 0);
}

/* Return: a device, attached to the page tables or the address space @id */
static struct mock_call mock_device(uint32_t id, unsigned int flags)
{
	struct mock_call call = { .op = MOCK_DEVICE, .id = id };

	call.device.flags = flags;
	mock_call(&call);
	return call;
}

static int mock_hwpt(uint32_t device, uint32_t *id)
{
	struct iommufd_alloc_hwpt alloc = {
		.size = sizeof(alloc),
		.flags = IOMMUFD_DIRTY_BITS,
		.device = device,
		.ioas = ioas,
	};
	int ret = ioctl(fd, IOMMUFD_ALLOC_HWPT, &alloc);

	*id = alloc.hwpt;
	return ret < 0 ? -errno : 0;
}

static void mock_open(void)
{
	struct iommufd_alloc_ioas alloc = { .size = sizeof(alloc) };
	struct mock_call reserve = { .op = MOCK_RESERVE };
	struct mock_call device;
	uint32_t none;

	fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, IOMMUFD_ALLOC_IOAS, &alloc), 0);
	ioas = alloc.ioas;
	device = mock_device(ioas, large ? MOCK_LARGE : 0);
	CHECK_EQ(mock_hwpt(device.device.out_device, &hwpt), 0);
	mock_device(hwpt, large ? MOCK_LARGE : 0);
	device = mock_device(ioas, MOCK_NO_DIRTY);
	plain_hwpt = device.device.out_hwpt;
	CHECK_EQ(mock_hwpt(device.device.out_device, &none), -EOPNOTSUPP);
	reserve.id = ioas;
	reserve.reserve.start = HOLE;
	reserve.reserve.length = PAGE;
	mock_call(&reserve);
}

static void mock_write(uint64_t iova)
{
	struct mock_call call = { .op = MOCK_DIRTY, .id = hwpt };
	uint64_t bit = 1;

	call.dirty.iova = iova / PAGE * PAGE;
	call.dirty.length = PAGE;
	call.dirty.page_size = MOCK_PAGE;
	call.dirty.bits = (uintptr_t)&bit;
	mock_call(&call);
	CHECK_EQ(call.dirty.out_count, 1);
}

/* Building blocks ------------------------------------------------------------- */

static void played_write(uint64_t iova)
{
	const struct area *a = area_at(iova);

	CHECK(a);
	if (tracking)
		entry_dirty[entry_of(a, iova)] = true;
}

/* A device writes to page @n. The mock has no devices that write while nothing tracks. */
static void dma(unsigned int n)
{
	if (mock)
		mock_write(BASE + n * PAGE);
	else
		played_write(BASE + n * PAGE);
}

static struct dmatrack_iommufd from(void)
{
	return (struct dmatrack_iommufd){
		.size = sizeof(struct dmatrack_iommufd),
		.iommufd = fd,
		.ioas = ioas,
		.hwpt = hwpt,
	};
}

/* An iommufd as new, and a container on it */
static void set_up(bool with_large)
{
	struct dmatrack_iommufd f;

	large = with_large;
	fail_cmd = 0;
	if (t)
		dmatrack_close(t);
	t = NULL;
	if (fd >= 0)
		close(fd);
	nr_areas = 0;
	tracking = small_pages = false;
	memset(entry_dirty, 0, sizeof(entry_dirty));
	if (mock) {
		mock_open();
	} else {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		ioas = 1;
		hwpt = 2;
		plain_hwpt = 3;
	}
	f = from();
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), 0);
}

static void begin(void)
{
	set_up(false);
}

static void begin_large(void)
{
	set_up(true);
}

/* Map @n pages at page @at. */
static void map(unsigned int at, unsigned int n)
{
	CHECK_EQ(dmatrack_map(t, BASE + at * PAGE, memory + at * PAGE, n * PAGE,
			      RW),
		 0);
}

/* Are exactly the pages [@first, @first + @n) and @one dirty among @pages from page @at on? */
static void check_dirty(unsigned int at, unsigned int pages, unsigned int first,
			unsigned int n, unsigned int one)
{
	uint64_t bits[PAGES / 64];
	unsigned int i;

	memset(bits, 0x55, sizeof(bits));
	CHECK_EQ(dmatrack_harvest(t, BASE + at * PAGE, pages * PAGE, PAGE,
				  bits),
		 0);
	for (i = 0; i < pages; i++) {
		unsigned int page = at + i;
		bool want = (page >= first && page < first + n) || page == one;

		if ((bits[i / 64] >> i % 64 & 1) != want)
			printf("# page %u\n", page);
		CHECK_EQ(bits[i / 64] >> i % 64 & 1, want);
	}
}

#define NONE			   PAGES
#define CHECK_DIRTY(first, n, one) check_dirty(0, PAGES, first, n, one)
#define CHECK_CLEAN()		   CHECK_DIRTY(NONE, 0, NONE)

/* Tests ------------------------------------------------------------------------- */

static void test_harvest(void)
{
	begin();
	CHECK(!strcmp(dmatrack_driver(t), "iommufd"));
	map(0, 64);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_CLEAN();
	dma(3);
	dma(40);
	dma(41);
	CHECK_DIRTY(40, 2, 3);
	CHECK_CLEAN();
	dma(3);
	CHECK_EQ(dmatrack_start(t), 0); /* it's on: the log stays */
	CHECK_DIRTY(NONE, 0, 3);
	dma(5);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_CLEAN();
	dma(6);
	CHECK_DIRTY(NONE, 0, 6);
}

static void test_not_tracking(void)
{
	uint64_t bits[PAGES / 64];

	begin();
	map(0, 64);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
	CHECK(says("not tracking"));
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dmatrack_harvest(t, BASE + 1, PAGE, PAGE, bits), -EINVAL);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(track_ends > 0, 1);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
}

/* Mappings with holes between them */
static void begin_pieces(void)
{
	begin();
	map(1, 3);
	map(4, 1);
	map(10, 5);
	map(200, 100);
	CHECK_EQ(dmatrack_start(t), 0);
}

/* The kernel reads up to a hole; a harvest goes on behind it. */
static void test_holes(void)
{
	begin_pieces();
	dma(1);
	dma(250);
	dma(251);
	CHECK_DIRTY(250, 2, 1);
	dma(4);
	dma(12);
	CHECK_DIRTY(12, 1, 4);
}

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	char *text = opaque;

	sprintf(text + strlen(text), "%u+%u ",
		(unsigned int)((iova - BASE) / PAGE),
		(unsigned int)(size / PAGE));
}

static void check_ranges(const char *want)
{
	char text[200] = "";
	const struct dmatrack_ranges r = {
		.size = sizeof(r),
		.iova = BASE,
		.length = PAGES * PAGE,
		.page_size = PAGE,
		.opaque = text,
		.found = found,
	};

	CHECK_EQ(dmatrack_harvest_ranges(t, &r), 0);
	if (strcmp(text, want))
		printf("# found: %s\n", text);
	CHECK(!strcmp(text, want));
}

static void test_ranges(void)
{
	begin_pieces();
	dma(3);
	dma(4);
	dma(14);
	dma(299);
	check_ranges("3+2 14+1 299+1 ");
	check_ranges("");
}

static void test_part(void)
{
	begin();
	map(0, 128);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(9);
	dma(10);
	dma(70);
	check_dirty(10, 20, 10, 1, NONE);
	CHECK_DIRTY(9, 1, 70);
	CHECK_CLEAN();
}

static void test_coarse(void)
{
	uint64_t bits = 0;

	begin();
	map(0, 64);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(17);
	dma(63);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, 16 * PAGE, &bits), 0);
	CHECK_EQ(bits, 0xa);
	CHECK_CLEAN();
}

/* A part of an entry is asked for, and its bit cleared: the rest must stay dirty. */
static void test_large_entries(void)
{
	begin_large();
	CHECK_EQ(dmatrack_map(t, BASE, huge_memory, 2 * HUGE * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(HUGE + 5);
	check_dirty(HUGE + 64, 64, HUGE + 64, 64, NONE);
	check_dirty(0, HUGE + 64, HUGE, 64, NONE);
	check_dirty(HUGE + 64, HUGE - 64, HUGE + 128, HUGE - 128, NONE);
	CHECK_CLEAN();
}

/* Open the container again, with these flags. */
static int begin_with(unsigned int flags)
{
	struct dmatrack_iommufd f = from();

	dmatrack_close(t);
	t = NULL;
	f.flags = flags;
	return dmatrack_open_iommufd(&t, &f);
}

static void test_small_pages(void)
{
	struct dmatrack_iommufd f;
	struct dmatrack *other;

	begin_large();
	CHECK_EQ(begin_with(DMATRACK_IOMMUFD_SMALL_PAGES), 0);
	CHECK_EQ(dmatrack_map(t, BASE, huge_memory, 2 * HUGE * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(HUGE + 5);
	CHECK_DIRTY(NONE, 0, HUGE + 5);
	begin();
	map(0, 64);
	f = from();
	f.flags = DMATRACK_IOMMUFD_SMALL_PAGES;
	CHECK_EQ(dmatrack_open_iommufd(&other, &f), -EINVAL);
	CHECK(says("mapped already"));
}

/* A child has a copy of the container; the page tables are its parent's. */
static void test_fork(void)
{
	int status;
	pid_t pid;

	begin();
	map(0, 64);
	CHECK_EQ(dmatrack_start(t), 0);
	unmaps = track_ends = 0;
	pid = fork();
	if (!pid) {
		if (dmatrack_map(t, BASE + 100 * PAGE, memory, PAGE, RW) !=
		    -EPERM)
			_exit(1);
		dmatrack_close(t);
		_exit(unmaps || track_ends);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	dma(5);
	CHECK_DIRTY(NONE, 0, 5);
}

static void test_map_while_tracking(void)
{
	begin();
	CHECK_EQ(dmatrack_start(t), 0);
	map(0, 64);
	dma(5);
	CHECK_DIRTY(NONE, 0, 5);
	dma(6);
	CHECK_EQ(dmatrack_unmap(t, BASE, 64 * PAGE), 0);
	CHECK_CLEAN();
	map(0, 64);
	CHECK_CLEAN();
}

static void test_unmap_bitmap(void)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} u = { .unmap.argsz = sizeof(u) };
	uint64_t bits[2] = { 0, 0 };

	begin();
	map(0, 128);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1);
	dma(127);
	u.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	u.unmap.iova = BASE;
	u.unmap.size = 128 * PAGE;
	u.bitmap.pgsize = PAGE;
	u.bitmap.size = sizeof(bits);
	u.bitmap.data = NULL;
	CHECK_EQ(dmatrack_ioctl(t, VFIO_IOMMU_UNMAP_DMA, (uintptr_t)&u),
		 -EFAULT);
	dma(2); /* it's still mapped */
	u.bitmap.data = (void *)bits;
	unmaps = 0;
	CHECK_EQ(dmatrack_ioctl(t, VFIO_IOMMU_UNMAP_DMA, (uintptr_t)&u), 0);
	CHECK_EQ(unmaps, 1);
	CHECK_EQ(bits[0], 6);
	CHECK_EQ(bits[1], 1ull << 63);
}

/* A buffer that can't be written: nothing is lost. */
static void test_bad_buffer(void)
{
	begin();
	map(0, 64);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(2);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, nowhere), -EFAULT);
	CHECK_DIRTY(NONE, 0, 2);
}

/* Bits that can't be read: all may be dirty. */
static void test_unreadable(void)
{
	begin();
	map(0, 64);
	map(100, 10);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(2);
	fail_cmd = IOMMUFD_GET_DIRTY;
	fail_errno = EIO;
	check_dirty(0, 64, 0, 64, NONE);
	fail_cmd = 0;
	dma(101);
	CHECK_DIRTY(101, 1, 2);
}

/* A call that the kernel refuses changes nothing. */
static void test_refused(void)
{
	begin();
	map(0, 64);
	fail_cmd = IOMMUFD_TRACK;
	fail_errno = ENOMEM;
	CHECK_EQ(dmatrack_start(t), -ENOMEM);
	fail_cmd = IOMMUFD_MAP;
	CHECK_EQ(dmatrack_map(t, BASE + 100 * PAGE, memory, PAGE, RW), -ENOMEM);
	fail_cmd = 0;
	CHECK_EQ(dmatrack_map(t, BASE, memory, PAGE, RW), -EEXIST);
	CHECK_EQ(dmatrack_map(t, HOLE - PAGE, memory, 2 * PAGE, RW), -EINVAL);
	CHECK(says("can't be mapped"));
	CHECK_EQ(dmatrack_map(t, HOLE + PAGE, memory, 2 * PAGE, RW), 0);
	CHECK_EQ(dmatrack_unmap(t, BASE, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(63);
	CHECK_DIRTY(NONE, 0, 63);
}

/* What an iommufd reads by itself from page @at on. @bits: whole pages */
static void read_alone(unsigned int at, unsigned int pages, unsigned int flags,
		       void *bits)
{
	const struct iommufd_get_dirty get = {
		.size = sizeof(get),
		.hwpt = hwpt,
		.flags = flags,
		.iova = BASE + at * PAGE,
		.length = pages * PAGE,
		.page_size = PAGE,
		.bits = (uintptr_t)bits,
	};

	CHECK_EQ(ioctl(fd, IOMMUFD_GET_DIRTY, &get), 0);
}

/*
 * The reasons for what the library does, and rows of doc/comparison.md: by itself an iommufd
 * reports clean what is behind a hole, or while it doesn't track, and loses what it can't write.
 */
static void test_alone(void)
{
	uint64_t *bits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	begin();
	map(0, 4);
	map(10, 4);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1);
	dma(11);
	read_alone(0, 16, IOMMUFD_KEEP_BITS, bits);
	CHECK_EQ(bits[0], 1 << 1);
	read_alone(0, 4, 0, nowhere);
	CHECK_DIRTY(NONE, 0, 11);
	dma(2);
	CHECK_EQ(dmatrack_stop(t), 0);
	bits[0] = 0;
	read_alone(0, 4, IOMMUFD_KEEP_BITS, bits);
	CHECK_EQ(bits[0], 0);
	munmap(bits, PAGE);
}

/* And it loses the rest of an entry that is read in part. */
static void test_alone_large(void)
{
	uint64_t *bits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	begin_large();
	CHECK_EQ(dmatrack_map(t, BASE, huge_memory, 2 * HUGE * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(HUGE + 5);
	read_alone(HUGE + 64, 64, 0, bits);
	CHECK_EQ(bits[0], ~0ull);
	CHECK_CLEAN();
	munmap(bits, PAGE);
}

static void test_info(void)
{
	struct dmatrack_container_info *info;
	struct dmatrack_mapping m[2];

	begin();
	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK_EQ(info->nr_ranges, 2);
	CHECK_EQ(info->ranges[0].iova, FIRST);
	CHECK_EQ(info->ranges[0].last, HOLE - 1);
	CHECK_EQ(info->ranges[1].iova, HOLE + PAGE);
	CHECK_EQ(info->ranges[1].last, LAST);
	CHECK_EQ(info->dirty_page_sizes & -info->dirty_page_sizes, PAGE);
	CHECK(info->flags & DMATRACK_INFO_NOTHING_LOST);
	CHECK(!strcmp(info->driver, "iommufd"));
	dmatrack_info_free(info);
	map(7, 3);
	CHECK_EQ(dmatrack_mappings(t, 0, m, 2), 1);
	CHECK_EQ(m[0].iova, BASE + 7 * PAGE);
	CHECK(m[0].flags & DMATRACK_MAPPED_IOMMU);
}

/* Devices in this process write to the same container. */
static void test_emulated(void)
{
	begin();
	map(0, 64);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1);
	CHECK_EQ(dmatrack_engine_write(dmatrack_get_engine(t), BASE + 2 * PAGE,
				       "x", 1),
		 0);
	CHECK_EQ(memory[2 * PAGE], 'x');
	CHECK_DIRTY(1, 2, NONE);
	CHECK_CLEAN();
}

/* What the library has mapped goes, and tracking ends; the iommufd stays. */
static void test_close(void)
{
	struct iommufd_unmap unmap = {
		.size = sizeof(unmap),
		.iova = BASE,
		.length = PAGES * PAGE,
	};

	begin();
	map(0, 64);
	map(100, 5);
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1);
	track_ends = 0;
	dmatrack_close(t);
	t = NULL;
	CHECK_EQ(track_ends, 1);
	unmap.ioas = ioas;
	CHECK_EQ(ioctl(fd, IOMMUFD_UNMAP, &unmap), -1);
	CHECK_EQ(errno, ENOENT);
	begin();
	map(0, 64);
}

static int open_with(int iommufd, uint32_t space, uint32_t tables)
{
	const struct dmatrack_iommufd f = {
		.size = sizeof(f),
		.iommufd = iommufd,
		.ioas = space,
		.hwpt = tables,
	};
	struct dmatrack *none = NULL;
	int ret = dmatrack_open_iommufd(&none, &f);

	CHECK(ret && !none);
	return ret;
}

static void test_open_errors(void)
{
	int file;

	begin();
	CHECK_EQ(open_with(fd, 999, hwpt), -ENOENT);
	CHECK(says("no address space with ID 999"));
	CHECK_EQ(open_with(fd, ioas, 999), -ENOENT);
	CHECK(says("no page tables with ID 999"));
	CHECK_EQ(open_with(fd, ioas, plain_hwpt), -EOPNOTSUPP);
	CHECK(says("have no dirty bits"));
	CHECK_EQ(open_with(-1, ioas, hwpt), -EBADF);
	file = memfd_create("file", MFD_CLOEXEC);
	CHECK_EQ(open_with(file, ioas, hwpt), -EINVAL);
	CHECK(says("isn't an iommufd"));
	close(file);
	fail_cmd = IOMMUFD_GET_DIRTY; /* Linux 6.6 */
	fail_errno = ENOTTY;
	CHECK_EQ(open_with(fd, ioas, hwpt), -EOPNOTSUPP);
	CHECK(says("older than Linux 6.7"));
	fail_cmd = IOMMUFD_GET_RANGES; /* another device */
	CHECK_EQ(open_with(fd, ioas, hwpt), -EINVAL);
	CHECK(says("isn't an iommufd"));
	fail_cmd = 0;
}

static void test_device_errors(void)
{
	struct dmatrack_iommufd f = { .size = sizeof(f) };
	bool there = !access("/dev/iommu", F_OK);

	f.device = "/dev/vfio/devices/vfio999";
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), there ? -ENODEV : -ENOENT);
	CHECK(says(there ? "VFIO_DEVICE_CDEV" : "no /dev/iommu"));
	f.device = "eth0";
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), there ? -EINVAL : -ENOENT);
	f.device = "/dev/null";
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), there ? -EINVAL : -ENOENT);
	f.device = "ffff:ff:1f.7";
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), there ? -ENODEV : -ENOENT);
	f.hwpt = 1;
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), -EINVAL);
	CHECK(says("must be 0"));
	f.flags = 2;
	CHECK_EQ(dmatrack_open_iommufd(&t, &f), -EINVAL);
	CHECK(says("unknown flags"));
}

/* Memory whose entries are large. The mock needs memory that is contiguous. */
static bool make_huge_memory(void)
{
	size_t size = 2 * HUGE * PAGE;
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | (mock ? MAP_HUGETLB : 0),
			 -1, 0);

	if (mem == MAP_FAILED)
		return false;
	huge_memory = mem;
	return true;
}

int main(int argc, char **argv)
{
	mock = argc > 1 && !strcmp(argv[1], "--mock");
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	nowhere =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
	TEST(test_harvest, "what devices write is harvested, and nothing else");
	TEST(test_not_tracking, "a harvest without tracking is refused");
	TEST(test_holes, "over mappings and holes");
	TEST(test_ranges, "as ranges");
	TEST(test_part, "a part of a mapping");
	TEST(test_coarse, "by pages larger than the page tables'");
	if (make_huge_memory()) {
		TEST(test_large_entries, "a part of a large entry");
		TEST(test_small_pages, "no large entries");
		TEST(test_alone_large,
		     "without the library: the rest of a large entry");
	} else {
		SKIP("large entries", "no huge pages");
	}
	TEST(test_fork, "a child changes nothing");
	TEST(test_map_while_tracking, "mappings made while tracking");
	TEST(test_unmap_bitmap, "unmapping has the last word");
	TEST(test_bad_buffer, "a bad buffer loses nothing");
	TEST(test_unreadable, "bits that can't be read count as dirty");
	TEST(test_refused, "refused calls change nothing");
	TEST(test_alone, "without the library: holes, and a bad buffer");
	TEST(test_info, "limits and mappings");
	TEST(test_emulated, "devices of the process, in the same container");
	TEST(test_close, "closing removes what the container mapped");
	TEST(test_open_errors, "unsuitable descriptors and IDs");
	TEST(test_device_errors, "unsuitable devices");
	if (t)
		dmatrack_close(t);
	return tap_done();
}
