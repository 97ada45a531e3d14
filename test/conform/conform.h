/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The conformance suite: what every type1 container must do, said once and run
 * against each: the engine, dmatrack.ko, and the stock kernel driver as oracle.
 *
 * A case is a function. It runs in a process of its own with a fresh container
 * (bed) and a device in it, so it neither cleans up nor can it harm another. A
 * check that fails prints its place, the value expected and the value found; EXPECT*
 * goes on, ASSERT* ends the case.
 *
 * Cases whose checks the stock driver can't fulfil are listed in
 * differences.c: there, on that driver, they must fail.
 *
 * In names and comments 'page' is 4096 bytes; IOVAs are in bytes.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "devices/device.h"
#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "uapi/dmatrack.h"

typedef __u64 u64; /* the engine's as well */

/* Linux 7.3 has removed it. */
#ifndef VFIO_TYPE1_NESTING_IOMMU
#define VFIO_TYPE1_NESTING_IOMMU 6
#endif

#define PAGE 4096ull
#define MiB  (1ull << 20)
#define GiB  (1ull << 30)
#define TiB  (1ull << 40)

/* The usual IOVA of mappings: within reach of a 28-bit device */
#define BASE   (64 * MiB)

#define PIN_R  TDEV_PIN_READ
#define PIN_W  TDEV_PIN_WRITE
#define MAP_R  VFIO_DMA_MAP_FLAG_READ
#define MAP_W  VFIO_DMA_MAP_FLAG_WRITE
#define MAP_RW (MAP_R | MAP_W)

/*
 * Where a case applies: a container without an IOMMU (the engine, a mediated
 * device), one with an IOMMU (vfio-pci), the engine alone, the kernel's alone.
 */
#define EMULATED (1u << 0)
#define IOMMU	 (1u << 1)
#define ANY	 (EMULATED | IOMMU)
#define ENGINE	 (EMULATED | 1u << 2)
#define KERNEL	 (1u << 3)
#define V1	 (1u << 4) /* a VFIO_TYPE1_IOMMU container */
/* The case adds devices itself: add(). bed.t comes with the first, bed.d not at all. */
#define SEVERAL	  (1u << 5)
#define TWO_MDEVS (1u << 6) /* the case adds two EMULATED devices at once */
#define FAILS	  (1u << 7) /* the case must fail: it tests the harness */
/* What the device writes can't be seen: its IOMMU keeps no dirty bits, or keeps them. */
#define UNSEEN	   (1u << 8)
#define DIRTY_BITS (1u << 9)
#define REGISTERS  (1u << 10) /* the device has registers that can be mapped */
#define NARROW	   (1u << 11) /* the case adds NARROW_DEVICE */

/*
 * Number of the device whose IOMMU can do less than the others': it translates IOVAs of 32 bits,
 * reserves 64 KiB at NARROW_RESERVED, and doesn't enforce that DMA is coherent.
 */
#define NARROW_DEVICE	3u
#define NARROW_RESERVED 0x50000000ull

/**
 * struct bed - the container of the case under way
 * @t: the container
 * @watcher: a view of the container that harvests whenever the case does; NULL: there is none
 * @d: a device in the container
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @engine: the container is in this process, not in the kernel
 * @stock: the container's driver is the stock driver
 * @iommu: the container has a group behind an IOMMU
 */
struct bed {
	struct dmatrack *t;
	struct dmatrack *watcher;
	struct dev_device *d;
	unsigned int type;
	bool engine;
	bool stock;
	bool iommu;
};
extern struct bed bed;

struct conform_case {
	const char *name;
	unsigned int where;
	void (*run)(void);
	struct conform_case *next;
};
void conform_register(struct conform_case *c);

/* CASE(name, where) { ... }: define a case */
#define CASE(id, where) \
	static void case_##id(void); \
	__attribute__((constructor)) static void register_##id(void) \
	{ \
		static struct conform_case c = { #id, where, case_##id, \
						 NULL }; \
\
		conform_register(&c); \
	} \
	static void case_##id(void)

/* Checks ------------------------------------------------------------------ */

bool conform_check(const char *file, int line, bool ok, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool conform_eq(const char *file, int line, const char *what, long long got,
		long long want);
bool conform_dirty(const char *file, int line, u64 iova, u64 npages,
		   const char *want);
bool conform_ranges(const char *file, int line, u64 iova, u64 npages,
		    unsigned int room, const char *want);
void conform_note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/* Set a text that is printed with every check that fails from now on. */
void conform_context(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
_Noreturn void conform_end(void);
_Noreturn void conform_skip(const char *why);
/* The nth device of a kind that the run was given, or NULL */
const char *conform_device(unsigned int kind, unsigned int n);
/* Tell the harness that bed.t is open. */
void conform_opened(void);

/* Close the case's device and container. */
void conform_close(void);

#define EXPECT(c) conform_check(__FILE__, __LINE__, (c), "%s is false", #c)
#define CONFORM_EQ(got, want, what) \
	conform_eq(__FILE__, __LINE__, what, (long long)(got), \
		   (long long)(want))
#define CONFORM_ELSE_END(ok) ((ok) ? (void)0 : conform_end())

#define EXPECT_EQ(got, want) CONFORM_EQ(got, want, #got)
#define EXPECT_OK(got)	     CONFORM_EQ(got, 0, #got)
#define ASSERT(c) \
	CONFORM_ELSE_END( \
		conform_check(__FILE__, __LINE__, (c), "%s is false", #c))
#define ASSERT_EQ(got, want) CONFORM_ELSE_END(CONFORM_EQ(got, want, #got))
#define ASSERT_OK(got)	     CONFORM_ELSE_END(CONFORM_EQ(got, 0, #got))

/*
 * Harvest @npages from @iova on: exactly the pages listed must be dirty, as in
 * "0 3-5"; "" for none. The buffer is zeroed, ends at unmapped memory, and the
 * bits beyond the range must be 0.
 */
#define EXPECT_DIRTY(iova, npages, want) \
	conform_dirty(__FILE__, __LINE__, iova, npages, want)
#define EXPECT_CLEAN(iova, npages) EXPECT_DIRTY(iova, npages, "")

/*
 * The same by DMATRACK_GET_RANGES, with room for @room ranges a call. The buffer
 * ends at unmapped memory; ranges ascend, and those of a call don't touch.
 */
#define EXPECT_RANGES(iova, npages, room, want) \
	conform_ranges(__FILE__, __LINE__, iova, npages, room, want)

/* The container's user ---------------------------------------------------- */

/* Return: the call's result, 0 or more, or -errno */
long call(unsigned long cmd, const void *arg);

struct vfio_iommu_type1_dma_map map_arg(u64 iova, const void *vaddr, u64 size,
					unsigned int flags);
long map(u64 iova, const void *vaddr, u64 size, unsigned int flags);
long unmap_flags(unsigned int flags, u64 iova, u64 size, u64 *unmapped);
long unmap(u64 iova, u64 size); /* bytes unmapped, or -errno */

/* UNMAP_DMA with the bitmap's description behind it */
struct unmap_bitmap {
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
};
void unmap_bitmap_arg(struct unmap_bitmap *u, u64 iova, u64 size, u64 pgsize,
		      void *data, u64 bytes);
long unmap_bitmap(u64 iova, u64 size, u64 pgsize, void *data, u64 bytes,
		  u64 *unmapped);

/* DIRTY_PAGES with the range behind it */
struct dirty_range {
	struct vfio_iommu_type1_dirty_bitmap dirty;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};
void harvest_arg(struct dirty_range *r, u64 iova, u64 size, u64 pgsize,
		 void *data, u64 bytes);
long harvest(u64 iova, u64 size, u64 pgsize, void *data, u64 bytes);

/* One DMATRACK_GET_RANGES; @said gets the structure as the call left it, unless NULL */
struct dmatrack_get_ranges ranges_arg(u64 iova, u64 last, u64 pgsize,
				      void *ranges, u64 room);
long ranges(u64 iova, u64 last, u64 pgsize, void *to, u64 room,
	    struct dmatrack_get_ranges *said);
long dirty_flags(unsigned int flags);
long start(void);
long stop(void);

/* DMA_AVAIL, or -errno */
long avail(void);

/* Allocate @npages and map them at @iova; ends the case if that fails. */
char *mapped(u64 iova, u64 npages);

/* The device's side ------------------------------------------------------- */

/* Writes a pattern that differs from one call to the next */
int dma_write(u64 iova, u64 size);
int dma_read(u64 iova, void *data, u64 size);
int pin(u64 iova, u64 npages, unsigned int prot);
int unpin(u64 iova, u64 npages);

/* Several devices --------------------------------------------------------- */

/*
 * Add a device of the run's to the container: the nth (from 0) that is behind an IOMMU,
 * or the nth that is EMULATED. Skips the case if there is none. Return: NULL if the
 * device was refused; errno has the reason.
 */
struct dev_device *add(unsigned int kind, unsigned int n);
/* The same; that must succeed. */
struct dev_device *added(unsigned int kind, unsigned int n);
void remove_device(struct dev_device *d);
char *bar_at(struct dev_device *d, void *at, u64 size, int prot);
void remove_all(void);

/* As dma_write() */
int write_by(struct dev_device *d, u64 iova, u64 size);

/* Memory ------------------------------------------------------------------ */

void *memory(u64 size);		/* zeroed, readable and writable */
void *reserve(u64 size);	/* no access: addresses alone */
size_t bitmap_bytes(u64 nbits); /* whole 64-bit words */

/* @size bytes that end where an unmapped page begins */
void *guarded(size_t size);

/* A copy of @size bytes of which only the first @there can be read or written */
void *cut(const void *data, size_t size, size_t there);

/* A copy that can't be written */
void *readonly(const void *data, size_t size);

/* Invalid pointers: NULL, unmapped, at user space's end */
#define BAD_POINTERS 3
void *bad_pointer(int n);

/* A page at user space's very end */
void *last_user_page(void);

/* @size bytes of a file that is a page long */
void *file_page(u64 size);

bool bit(const void *bitmap, u64 n);

/* Give up the right to lock any amount of memory: at most @kb kB from now on. */
/* Memory of this process that counts as locked, in kB */
long locked(void);
void limit_locked(u64 kb);

/* kB of /proc/FILE's line NAME, such as VmLck; -1 */
long proc_kb(const char *file, const char *name);

double seconds(void); /* of a monotonic clock */

#endif
