// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Device operations at their edges, and at the moment when something else goes
 * on: an unmap while a write is under way, an unpin while another pin fails, a
 * mark while one of its mappings goes.
 *
 * Moments are made, not waited for: the engine allocates by posix_memalign(), and one
 * that checks pointers pins by madvise() and copies by process_vm_writev(). This
 * program replaces these functions, and they call a test's function at that moment.
 * Nothing may wait for ever; if it does, an alarm ends the program.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dmatrack_engine.h"
#include "engine/host.h"
#include "test/tap.h"

#define PAGE  4096ULL
#define PAGES (4 * DMT_CHUNK_PAGES)
#define BASE  (1ULL << 32)

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);
#else
#define __lsan_do_recoverable_leak_check() 0
#endif

static struct dmatrack_engine *e;
static char *memory;
static uint64_t *answer; /* on a page of its own */

/* Moments -------------------------------------------------------------------- */

/* Each function is called once, in the thread that reaches its moment. */
static __thread void (*at_alloc)(void);
static __thread void (*at_pin)(void *addr);
static __thread void (*at_copy)(void *to);

int posix_memalign(void **mem, size_t align, size_t size)
{
	void (*fn)(void) = at_alloc;

	at_alloc = NULL;
	if (fn)
		fn();
	*mem = memalign(align, size);
	return *mem ? 0 : ENOMEM;
}

static bool pin_fails;

int madvise(void *addr, size_t size, int advice)
{
	void (*fn)(void *addr) = at_pin;

	if (fn)
		fn(addr);
	if (pin_fails) {
		errno = EFAULT;
		return -1;
	}
	return syscall(SYS_madvise, addr, size, advice);
}

ssize_t process_vm_writev(pid_t pid, const struct iovec *local,
			  unsigned long nlocal, const struct iovec *remote,
			  unsigned long nremote, unsigned long flags)
{
	void (*fn)(void *to) = at_copy;

	at_copy = NULL;
	if (fn)
		fn(remote->iov_base);
	return syscall(SYS_process_vm_writev, pid, local, nlocal, remote,
		       nremote, flags);
}

/* Calls ------------------------------------------------------------------------ */

static long call(unsigned long cmd, void *arg)
{
	return dmatrack_engine_ioctl(e, cmd, (unsigned long)arg);
}

static uint64_t iova_of(uint64_t page)
{
	return BASE + page * PAGE;
}

static void map_at(uint64_t iova, uint64_t page, uint64_t n, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.iova = iova,
		.size = n * PAGE,
		.vaddr = (unsigned long)memory + page * PAGE,
	};

	CHECK_EQ(call(VFIO_IOMMU_MAP_DMA, &map), 0);
}

static void map(uint64_t page, uint64_t n)
{
	map_at(iova_of(page), page, n, 3);
}

/* Unmap with a bitmap of up to 64 pages, in answer[0]. */
static long unmap(uint64_t page, uint64_t n)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} args = {
		.unmap.argsz = sizeof(args),
		.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.unmap.iova = iova_of(page),
		.unmap.size = n * PAGE,
		.b.pgsize = PAGE,
		.b.size = (n + 63) / 64 * 8,
		.b.data = (void *)answer,
	};

	return call(VFIO_IOMMU_UNMAP_DMA, &args);
}

static long tracking(uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = flag,
	};

	return call(VFIO_IOMMU_DIRTY_PAGES, &d);
}

/* Harvest up to 64 pages. Return: the first word of the answer */
static uint64_t harvest(uint64_t page, uint64_t n)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} args = {
		.d.argsz = sizeof(args),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova_of(page),
		.get.size = n * PAGE,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = (n + 63) / 64 * 8,
		.get.bitmap.data = (void *)answer,
	};

	CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &args), 0);
	return answer[0];
}

static int pin(uint64_t page, unsigned long n, unsigned int prot)
{
	static void *pages[64];

	return dmatrack_engine_pin(e, iova_of(page), n, prot, pages);
}

static int unpin(uint64_t page, unsigned long n)
{
	return dmatrack_engine_unpin(e, iova_of(page), n);
}

static struct dmt_mapping *mapping(uint64_t page)
{
	struct dmt_mapping *m;

	rcu_read_lock();
	m = dmt_space_find(&e->c.space, iova_of(page));
	rcu_read_unlock();
	return m;
}

static void keep(void *opaque, uint64_t iova, uint64_t size)
{
	(void)opaque;
	(void)iova;
	(void)size;
}

static void setup(unsigned int flags)
{
	mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
	CHECK_EQ(dmatrack_engine_create(&e, VFIO_TYPE1v2_IOMMU, flags), 0);
	dmatrack_engine_on_unmap(e, keep, NULL);
	CHECK_EQ(tracking(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	alarm(60);
}

static void teardown(void)
{
	alarm(0);
	dmatrack_engine_destroy(e);
}

/* Edges ------------------------------------------------------------------------ */

/* Ranges that no driver should unpin are refused quickly. */
static void unpin_odd(void)
{
	setup(0);
	map(0, 4);
	CHECK_EQ(pin(0, 4, 3), 0);
	CHECK_EQ(dmatrack_engine_unpin(e, iova_of(4) - 100, 2), -EINVAL);
	CHECK_EQ(dmatrack_engine_unpin(e, iova_of(0) + 1, 1), -EINVAL);
	CHECK_EQ(unpin(0, 0), -EINVAL);
	CHECK_EQ(unpin(0, 1UL << 52), -EINVAL);
	CHECK_EQ(unpin(0, ~0UL), -EINVAL);
	CHECK_EQ(mapping(0)->pins.count, 4);
	CHECK_EQ(unpin(0, 4), 0);
	CHECK_EQ(unpin(0, 4), -EINVAL);
	teardown();
}

/* An unpin across a hole unpins the pages before and behind it. */
static void unpin_hole(void)
{
	setup(0);
	map(0, 2);
	map(5, 1);
	map(8, 2);
	CHECK_EQ(pin(0, 2, 3), 0);
	CHECK_EQ(pin(8, 2, 3), 0);
	CHECK_EQ(unpin(0, 10), -EINVAL);
	CHECK_EQ(mapping(0)->pins.count, 0);
	CHECK_EQ(mapping(8)->pins.count, 0);
	CHECK_EQ(harvest(0, 10), 0x303);
	CHECK_EQ(harvest(0, 10), 0);
	teardown();
}

/* A range that passes 2^64-1 must not wrap around to IOVA 0. */
static void beyond_the_end(void)
{
	static char data[2 * PAGE];
	void *pages[2];

	setup(0);
	map_at(0, 0, 1, 3);
	map_at(-PAGE, 1, 1, 3);
	memset(memory, 1, 2 * PAGE);
	CHECK_EQ(dmatrack_engine_write(e, -PAGE, data, PAGE), 0);
	CHECK_EQ(dmatrack_engine_write(e, -PAGE, data, 2 * PAGE), -EINVAL);
	CHECK_EQ(dmatrack_engine_write(e, -1, data, 2), -EINVAL);
	CHECK_EQ(memory[0], 1);
	CHECK_EQ(dmatrack_engine_read(e, -1, data, 2), -EINVAL);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, -PAGE, PAGE), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, -PAGE, PAGE + 1), -EOVERFLOW);
	CHECK_EQ(dmatrack_engine_pin(e, -PAGE, 1, 3, pages), 0);
	CHECK_EQ(dmatrack_engine_pin(e, -PAGE, 2, 3, pages), -EOVERFLOW);
	CHECK_EQ(dmatrack_engine_pin(e, 0, 1, 3, pages), 0);
	CHECK_EQ(dmatrack_engine_unpin(e, -PAGE, 2), -EINVAL);
	CHECK_EQ(dmatrack_engine_unpin(e, -PAGE, 1), 0);
	CHECK_EQ(dmatrack_engine_unpin(e, 0, 1), 0);
	teardown();
}

/*
 * A driver pins some pages for reading, of which one can't be written. A driver that
 * writes must still be able to pin the others.
 */
static void pin_among_unwritable(void)
{
	setup(DMATRACK_ENGINE_CHECKED);
	map(0, 8);
	mprotect(memory + 3 * PAGE, PAGE, PROT_READ);
	CHECK_EQ(pin(0, 8, 3), -EFAULT);
	CHECK_EQ(mapping(0)->pins.count, 0);
	CHECK_EQ(pin(0, 8, DMT_READ), 0);
	CHECK_EQ(pin(1, 1, 3), 0);
	CHECK_EQ(pin(3, 1, 3), -EFAULT);
	CHECK_EQ(pin(2, 2, 3), -EFAULT);
	CHECK_EQ(pin(4, 4, 3), 0);
	CHECK_EQ(harvest(0, 8), 0xf2);
	CHECK_EQ(unpin(1, 1), 0);
	CHECK_EQ(unpin(4, 4), 0);
	CHECK_EQ(unpin(0, 8), 0);
	CHECK_EQ(unpin(0, 8), -EINVAL);
	CHECK_EQ(harvest(0, 8), 0xf2);
	CHECK_EQ(harvest(0, 8), 0);
	teardown();
}

/* A page pinned once for reading and once for writing, and unpinned twice */
static void pin_both(void)
{
	setup(0);
	map(0, 2);
	CHECK_EQ(pin(0, 2, DMT_READ), 0);
	CHECK_EQ(harvest(0, 2), 0);
	CHECK_EQ(pin(1, 1, DMT_WRITE), 0);
	CHECK_EQ(harvest(0, 2), 2);
	CHECK_EQ(harvest(0, 2), 2);
	CHECK_EQ(unpin(0, 2), 0);
	harvest(0, 2); /* either pin may be the one taken back */
	CHECK_EQ(unpin(1, 1), 0);
	CHECK_EQ(harvest(0, 2), 2);
	CHECK_EQ(harvest(0, 2), 0);
	teardown();
}

/* Another driver meanwhile ------------------------------------------------------- */

static void unpin_now(void *addr)
{
	if (addr != memory + 8 * PAGE)
		return; /* the pin is still in the first mapping */
	at_pin = NULL;
	pin_fails = true;
	CHECK_EQ(unpin(5, 3), 0);
}

/*
 * A pin over two mappings fails in the second, at the moment when another driver
 * unpins pages in the first, which it wrote to. The pin that failed was their last
 * pin, so its end must mark them.
 */
static void pin_unwound(void)
{
	setup(DMATRACK_ENGINE_CHECKED);
	map(0, 8);
	map(8, 8);
	CHECK_EQ(pin(5, 3, 3), 0);
	CHECK_EQ(harvest(0, 16), 0xe0);
	at_pin = unpin_now;
	pin_fails = false;
	CHECK_EQ(pin(4, 8, 3), -EFAULT);
	CHECK(pin_fails);
	pin_fails = false;
	CHECK_EQ(mapping(0)->pins.count, 0);
	CHECK_EQ(harvest(0, 16), 0xe0);
	CHECK_EQ(harvest(0, 16), 0);
	CHECK_EQ(unpin(5, 3), -EINVAL);
	teardown();
}

static void *unmap_thread(void *arg)
{
	(void)arg;
	return (void *)unmap(8, 8);
}

static pthread_t unmapper;

/* Start an unmap, and wait until it has ended or waits at the gate. */
static void unmap_now(void)
{
	if (pthread_create(&unmapper, NULL, unmap_thread, NULL))
		abort();
	while (!READ_ONCE(e->c.gate.waiting) && mapping(8))
		sched_yield();
}

/*
 * A mark over three mappings finds all of them, and the middle one is unmapped before
 * the mark is made. The marks in the other two must be right.
 */
static void mark_while_one_goes(void)
{
	long ret;

	setup(0);
	map(0, 8);
	map(8, 8);
	map_at(iova_of(16), 16, DMT_CHUNK_PAGES * 2, 3);
	/* a small one needs no memory: let the first have more pages */
	CHECK_EQ(unmap(0, 8), 0);
	map_at(iova_of(0) - 100 * PAGE, 300, 108, 3);
	at_alloc = unmap_now;
	CHECK_EQ(dmatrack_engine_mark_dirty(e, iova_of(7), 10 * PAGE), 0);
	CHECK(!at_alloc);
	pthread_join(unmapper, (void **)&ret);
	CHECK_EQ(ret, 0);
	CHECK_EQ(harvest(0, 18), 1 << 7 | 1 << 16);
	teardown();
}

static void unmap_at_copy(void *to)
{
	CHECK(to == memory + 9 * PAGE);
	unmap_now();
	CHECK(mapping(8)); /* the unmap waits for this write */
	CHECK_EQ(READ_ONCE(mapping(8)->leaving), 1);
	/* and no other operation is let in */
	CHECK_EQ(dmatrack_engine_write(e, iova_of(8), "", 1), -EINVAL);
	CHECK_EQ(pin(8, 1, 3), -EINVAL);
}

/* An unmap waits for a write under way, and reports it in its bitmap. */
static void unmap_while_writing(void)
{
	long ret;

	setup(DMATRACK_ENGINE_CHECKED);
	map(0, 8);
	map(8, 8);
	at_copy = unmap_at_copy;
	CHECK_EQ(dmatrack_engine_write(e, iova_of(9), "abc", 3), 0);
	CHECK(!at_copy);
	pthread_join(unmapper, (void **)&ret);
	CHECK_EQ(ret, 0);
	CHECK_EQ(answer[0], 2);
	CHECK(!mapping(8));
	CHECK(!memcmp(memory + 9 * PAGE, "abc", 3));
	teardown();
}

static uint64_t seen;

static void harvest_at_copy(void *to)
{
	CHECK(to == memory + 9 * PAGE);
	seen = harvest(0, 16);
}

/* A harvest doesn't wait for a write that is held up, and the write isn't lost. */
static void harvest_while_writing(void)
{
	setup(DMATRACK_ENGINE_CHECKED);
	map(0, 8);
	map(8, 8);
	CHECK_EQ(dmatrack_engine_write(e, iova_of(1), "abc", 3), 0);
	at_copy = harvest_at_copy;
	CHECK_EQ(dmatrack_engine_write(e, iova_of(9), "abc", 3), 0);
	CHECK_EQ(seen, 2);
	CHECK_EQ(harvest(0, 16), 1 << 9);
	teardown();
}

static void devices_at_copy(void *to)
{
	CHECK(to == answer);
	CHECK_EQ(dmatrack_engine_write(e, iova_of(3), "abc", 3), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, iova_of(4), 2 * PAGE), 0);
	CHECK_EQ(pin(6, 4, 3), 0);
	CHECK_EQ(unpin(7, 3), 0);
	CHECK_EQ(dmatrack_engine_read(e, iova_of(3), &seen, 3), 0);
}

/* Devices don't wait for a harvest that is held up in the user's buffer. */
static void devices_while_harvesting(void)
{
	setup(DMATRACK_ENGINE_CHECKED);
	map(0, 8);
	map(8, 8);
	CHECK_EQ(dmatrack_engine_write(e, iova_of(1), "abc", 3), 0);
	at_copy = devices_at_copy;
	CHECK_EQ(harvest(0, 16), 2);
	CHECK(!at_copy);
	CHECK_EQ(harvest(0, 16), 0x3f8);
	CHECK_EQ(harvest(0, 16), 0x040);
	CHECK_EQ(unpin(6, 1), 0);
	teardown();
}

/* A driver's callback at an unmap: operations that work then, and those that don't */
static bool told;

static void while_leaving(void *opaque, uint64_t iova, uint64_t size)
{
	(void)opaque;
	CHECK_EQ(iova, iova_of(8));
	CHECK_EQ(size, 8 * PAGE);
	told = true;
	CHECK_EQ(dmatrack_engine_write(e, iova_of(8), "", 1), -EINVAL);
	CHECK_EQ(dmatrack_engine_read(e, iova_of(8), &seen, 1), -EINVAL);
	CHECK_EQ(pin(8, 1, 3), -EINVAL);
	CHECK_EQ(pin(6, 4, 3), -EINVAL); /* pages 6 and 7 are unpinned again */
	CHECK_EQ(mapping(0)->pins.count, 0);
	/* the piece in the mapping before is written */
	CHECK_EQ(dmatrack_engine_write(e, iova_of(8) - 1, "ab", 2), -EINVAL);
	/* a mark marks all pages or none */
	CHECK_EQ(dmatrack_engine_mark_dirty(e, iova_of(6), 11 * PAGE), -EINVAL);
	CHECK_EQ(unpin(10, 2), 0);
}

static void told_of_an_unmap(void)
{
	setup(0);
	map(0, 8);
	map(8, 8);
	map(16, 8);
	CHECK_EQ(pin(10, 2, 3), 0);
	CHECK_EQ(harvest(0, 24), 0xc00);
	dmatrack_engine_on_unmap(e, while_leaving, NULL);
	CHECK_EQ(unmap(8, 8), 0);
	CHECK(told);
	CHECK_EQ(answer[0], 0xc);
	CHECK_EQ(harvest(0, 24), 1 << 7);
	teardown();
}

/* If a driver's callback unpins nothing, the unmap fails and changes nothing. */
static void told_in_vain(void)
{
	setup(0);
	map(0, 8);
	CHECK_EQ(pin(1, 3, 3), 0);
	CHECK_EQ(pin(2, 4, 3), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, iova_of(7), 1), 0);
	CHECK_EQ(unmap(0, 8), -EBUSY);
	CHECK(mapping(0));
	CHECK_EQ(mapping(0)->pins.count, 5);
	CHECK_EQ(harvest(0, 8), 0xbe);
	CHECK_EQ(unpin(1, 3), 0);
	CHECK_EQ(unmap(0, 8), -EBUSY);
	CHECK_EQ(unpin(2, 4), 0);
	CHECK_EQ(unmap(0, 8), 0);
	CHECK_EQ(answer[0], 0x3e);
	CHECK(!mapping(0));
	map(0, 8);
	CHECK_EQ(harvest(0, 8), 0);
	CHECK_EQ(unpin(1, 3), -EINVAL);
	teardown();
}

/* All at once at clean chunks ------------------------------------------------------- */

#define MARKERS 3

static pthread_barrier_t barrier;

static void *marker(void *arg)
{
	unsigned long id = (unsigned long)arg, chunk;

	for (chunk = 0; chunk < 1000; chunk++) {
		pthread_barrier_wait(&barrier);
		if (dmatrack_engine_mark_dirty(
			    e, (chunk * DMT_CHUNK_PAGES + id * 9 + 3) * PAGE,
			    1))
			abort();
	}
	return NULL;
}

/* A marker that comes second has to free the bitmap that it allocated. */
static void markers_at_once(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = 3,
		.vaddr = PAGE,
		.size = 1000 * DMT_CHUNK_PAGES * PAGE,
	};
	pthread_t thread[MARKERS];
	unsigned long i;

	setup(0);
	CHECK_EQ(call(VFIO_IOMMU_MAP_DMA, &map), 0);
	pthread_barrier_init(&barrier, NULL, MARKERS);
	for (i = 0; i < MARKERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, marker, (void *)i));
	for (i = 0; i < MARKERS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < 1000; i++) {
		struct {
			struct vfio_iommu_type1_dirty_bitmap d;
			struct vfio_iommu_type1_dirty_bitmap_get get;
		} args = {
			.d.argsz = sizeof(args),
			.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
			.get.iova = i * DMT_CHUNK_PAGES * PAGE,
			.get.size = 64 * PAGE,
			.get.bitmap.pgsize = PAGE,
			.get.bitmap.size = 8,
			.get.bitmap.data = (void *)answer,
		};

		CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &args), 0);
		CHECK_EQ(answer[0], 1 << 3 | 1 << 12 | 1 << 21);
	}
	teardown();
	CHECK_EQ(__lsan_do_recoverable_leak_check(), 0);
}

int main(void)
{
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	answer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || answer == MAP_FAILED)
		return 1;
	TEST(unpin_odd, "an unpin of an impossible range is refused");
	TEST(unpin_hole, "an unpin across a hole");
	TEST(beyond_the_end, "no range wraps around at the last IOVA");
	TEST(pin_among_unwritable, "a write pin among read-only pages");
	TEST(pin_both, "pins for reading and for writing");
	TEST(pin_unwound, "a pin fails as another driver unpins");
	TEST(mark_while_one_goes,
	     "a mark over mappings, one of which is unmapped");
	TEST(unmap_while_writing, "an unmap waits for a write under way");
	TEST(harvest_while_writing, "a harvest doesn't wait for a write");
	TEST(devices_while_harvesting, "devices don't wait for a harvest");
	TEST(told_of_an_unmap, "calls of a driver while its range is unmapped");
	TEST(told_in_vain, "an unmap fails if a driver keeps its pins");
	if (tap_failed)
		SKIP("marks at once at clean chunks leak nothing",
		     "what failed above left things behind");
	else
		TEST(markers_at_once,
		     "marks at once at clean chunks leak nothing");
	return tap_done();
}
