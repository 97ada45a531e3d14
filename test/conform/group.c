// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Several devices in one container, as they come and go: mediated ones, whose
 * writes are seen, and PCI devices behind the IOMMU, whose writes aren't. While there
 * is a PCI device, every harvest reports each page that it may write, and so does the
 * first harvest after it has gone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform.h"
#include "differences.h"
#include "lib/container/group.h"

#define MDEV EMULATED
#define PCI  IOMMU

#define ALL  "0-63"

/* Add a device; that must fail with @err. */
static void expect_refused(unsigned int kind, unsigned int n, int err)
{
	struct dev_device *d = add(kind, n);

	EXPECT(!d);
	if (!d)
		EXPECT_EQ(-errno, -err);
}

/* DMA of @d at @iova reaches @mem. */
static void expect_reaches(struct dev_device *d, u64 iova, char *mem)
{
	char was = *mem;

	*mem = 0;
	EXPECT_OK(write_by(d, iova, 1));
	EXPECT(*mem);
	*mem = was;
}

/* A mediated device alone; 64 pages at BASE; tracking */
static struct dev_device *mdev_tracking(char **mem)
{
	struct dev_device *d = added(MDEV, 0);
	char *m = mapped(BASE, 64);

	if (mem)
		*mem = m;
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	return d;
}

/* A device that doesn't pin joins, and leaves -------------------------------- */

CASE(group_pci_joins, SEVERAL | UNSEEN)
{
	char *mem, *late;
	struct dev_device *m = mdev_tracking(&mem), *p;

	EXPECT_OK(write_by(m, BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "3");
	p = added(PCI, 0);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_OK(write_by(m, BASE + 5 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_DIRTY(BASE, 64, ALL);
	expect_reaches(p, BASE + 63 * PAGE + 4095, mem + 63 * PAGE + 4095);
	late = mapped(BASE + 64 * PAGE, 64);
	EXPECT_DIRTY(BASE, 128, "0-127");
	expect_reaches(p, BASE + 64 * PAGE, late);
	expect_reaches(m, BASE + 64 * PAGE, late);
}

CASE(group_pci_leaves, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_tracking(NULL), *p = added(PCI, 0);

	EXPECT_OK(write_by(m, BASE + 5 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, ALL);
	remove_device(p);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(write_by(m, BASE + 7 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "7");
	EXPECT_CLEAN(BASE, 64);
}

/* The device comes and goes between two harvests. */
CASE(group_pci_between_harvests, SEVERAL | UNSEEN)
{
	mdev_tracking(NULL);
	remove_device(added(PCI, 0));
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_CLEAN(BASE, 64);
}

/* Writes before START aren't reported. */
CASE(group_pci_leaves_before_start, SEVERAL)
{
	added(MDEV, 0);
	mapped(BASE, 64);
	remove_device(added(PCI, 0));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
}

/* Several times, with mappings made and removed while the device is away */
CASE(group_pci_comes_and_goes, SEVERAL | UNSEEN)
{
	char *mem, *other;
	struct dev_device *m = mdev_tracking(&mem), *p;
	int i;

	for (i = 0; i < 3; i++) {
		other = mapped(BASE + 64 * PAGE, 64);
		EXPECT_CLEAN(BASE, 128);
		p = added(PCI, 0);
		EXPECT_DIRTY(BASE, 128, "0-127");
		expect_reaches(p, BASE + 9 * PAGE, mem + 9 * PAGE);
		expect_reaches(p, BASE + 64 * PAGE, other);
		remove_device(p);
		EXPECT_DIRTY(BASE, 128, "0-127");
		EXPECT_OK(write_by(m, BASE + 65 * PAGE, 1));
		EXPECT_DIRTY(BASE, 128, "65");
		EXPECT_EQ(unmap(BASE + 64 * PAGE, 64 * PAGE), 64 * PAGE);
		EXPECT_CLEAN(BASE, 64);
	}
}

/* A harvest of one mapping leaves the other's last report for later. */
CASE(group_pci_left_partial, SEVERAL | UNSEEN)
{
	mdev_tracking(NULL);
	mapped(BASE + 64 * PAGE, 64);
	remove_device(added(PCI, 0));
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_CLEAN(BASE, 64);
	EXPECT_DIRTY(BASE + 64 * PAGE, 64, ALL);
	EXPECT_CLEAN(BASE, 128);
}

/* A harvest that fails leaves the device's last report for the next. */
CASE(group_pci_left_failed_harvest, SEVERAL | UNSEEN)
{
	mdev_tracking(NULL);
	remove_device(added(PCI, 0));
	EXPECT_EQ(harvest(BASE, 64 * PAGE, PAGE, bad_pointer(1), 8), -EFAULT);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_CLEAN(BASE, 64);
}

CASE(group_pci_left_unmap_bitmap, SEVERAL | UNSEEN)
{
	u64 word = 0, unmapped;

	mdev_tracking(NULL);
	remove_device(added(PCI, 0));
	EXPECT_OK(unmap_bitmap(BASE, 64 * PAGE, PAGE, &word, 8, &unmapped));
	EXPECT_EQ(unmapped, 64 * PAGE);
	EXPECT_EQ(word, -1);
	mapped(BASE, 64);
	EXPECT_CLEAN(BASE, 64);
}

/* A mapping made after the device has gone is clean. */
CASE(group_mapped_after_pci_left, SEVERAL | UNSEEN)
{
	mdev_tracking(NULL);
	remove_device(added(PCI, 0));
	mapped(BASE + 64 * PAGE, 64);
	EXPECT_DIRTY(BASE, 128, ALL);
	EXPECT_CLEAN(BASE, 128);
}

CASE(group_pci_readonly_mapping, SEVERAL | UNSEEN)
{
	struct dev_device *p;

	mdev_tracking(NULL);
	ASSERT_OK(map(BASE + 64 * PAGE, memory(64 * PAGE), 64 * PAGE, MAP_R));
	p = added(PCI, 0);
	EXPECT_DIRTY(BASE, 128, ALL);
	remove_device(p);
	EXPECT_DIRTY(BASE, 128, ALL);
	EXPECT_CLEAN(BASE, 128);
}

CASE(group_v1, SEVERAL | V1)
{
	struct dev_device *m = added(MDEV, 0), *p;
	char *mem = mapped(BASE, 64);

	p = added(PCI, 0);
	expect_reaches(p, BASE + 9 * PAGE, mem + 9 * PAGE);
	expect_reaches(m, BASE + 9 * PAGE, mem + 9 * PAGE);
	remove_device(p);
	expect_reaches(m, BASE + 9 * PAGE, mem + 9 * PAGE);
	EXPECT_EQ(unmap(BASE, PAGE), 64 * PAGE);
}

CASE(group_v1_tracking, SEVERAL | V1 | UNSEEN)
{
	struct dev_device *m = mdev_tracking(NULL), *p = added(PCI, 0);

	EXPECT_DIRTY(BASE, 64, ALL);
	remove_device(p);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_OK(write_by(m, BASE + 7 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "7");
}

/* Containers whose IOMMU leaves a stage of translation to a guest -------------- */

/**
 * open_nesting - open a container of type VFIO_TYPE1_NESTING_IOMMU
 * @device: the device to add with its group
 * @set: out: result of SET_IOMMU, or -errno
 *
 * Return: the container's descriptor
 */
static int open_nesting(const char *device, int *set)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), number, group;

	if (!device)
		conform_skip("needs devices of both kinds");
	number = dml_group_of(device);
	group = dml_group_open(number, device);
	ASSERT(fd >= 0 && group >= 0);
	ASSERT_OK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &fd));
	*set = ioctl(fd, VFIO_SET_IOMMU, VFIO_TYPE1_NESTING_IOMMU);
	if (*set < 0)
		*set = -errno;
	return fd;
}

/* Kernels that have the type map and track as in any container of version 2. */
CASE(group_nesting_mdev, SEVERAL | KERNEL)
{
	char *mem = memory(4 * PAGE);
	int set, fd = open_nesting(conform_device(MDEV, 0), &set);

	if (kernel_version() >= LINUX_7_3) {
		EXPECT(set < 0);
		return;
	}
	ASSERT_OK(set);
	ASSERT_OK(dmatrack_open_fd(&bed.t, fd));
	conform_opened();
	ASSERT_OK(map(BASE, mem, 4 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 4);
	EXPECT_EQ(unmap(BASE, PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
}

/* Intel's IOMMU driver has no such domains, so no such container gets a group. */
CASE(group_nesting_pci, SEVERAL | KERNEL)
{
	int set;

	close(open_nesting(conform_device(PCI, 0), &set));
	EXPECT(kernel_version() < LINUX_7_3 ? set == -EINVAL : set < 0);
}

/* A device that pins joins, and leaves ---------------------------------------- */

CASE(group_mdev_joins, SEVERAL | UNSEEN)
{
	struct dev_device *p = added(PCI, 0), *m;
	char *mem = mapped(BASE, 64);

	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 64, ALL);
	m = added(MDEV, 0);
	EXPECT_DIRTY(BASE, 64, ALL);
	expect_reaches(m, BASE + 3 * PAGE, mem + 3 * PAGE);
	expect_reaches(p, BASE + 3 * PAGE, mem + 3 * PAGE);
	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 2, PIN_W));
	EXPECT_OK(dev_pin(m, BASE + 9 * PAGE, 1, PIN_R));
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_OK(dev_unpin(m, BASE + 9 * PAGE, 1));
	remove_device(p);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_OK(dev_unpin(m, BASE + 5 * PAGE, 2));
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_CLEAN(BASE, 64);
}

CASE(group_mdev_leaves, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_tracking(NULL), *p = added(PCI, 0);
	char *mem = mapped(BASE + 64 * PAGE, 64);

	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 2, PIN_W));
	remove_device(m);
	EXPECT_DIRTY(BASE, 128, "0-127");
	EXPECT_DIRTY(BASE, 128, "0-127");
	expect_reaches(p, BASE + 64 * PAGE, mem);
	EXPECT_EQ(locked(), 128 * 4);
	m = added(MDEV, 0);
	expect_reaches(m, BASE + 64 * PAGE, mem);
	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 2, PIN_W));
	remove_device(p);
	EXPECT_DIRTY(BASE, 128, "0-127");
	EXPECT_DIRTY(BASE, 128, "5-6");
	EXPECT_EQ(locked(), 2 * 4);
}

/* Two mediated devices: writes of one that has gone are reported, and no other pages. */
CASE(group_two_mdevs, SEVERAL | TWO_MDEVS)
{
	struct dev_device *a = mdev_tracking(NULL), *b = added(MDEV, 1);

	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(write_by(a, BASE + 3 * PAGE, 1));
	EXPECT_OK(dev_pin(a, BASE + 7 * PAGE, 1, PIN_W));
	EXPECT_OK(dev_pin(b, BASE + 7 * PAGE, 2, PIN_W));
	remove_device(a);
	EXPECT_DIRTY(BASE, 64, "3 7-8");
	EXPECT_DIRTY(BASE, 64, "7-8");
	EXPECT_OK(dev_unpin(b, BASE + 7 * PAGE, 2));
	EXPECT_DIRTY(BASE, 64, "7-8");
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(write_by(b, BASE, 1));
	EXPECT_DIRTY(BASE, 64, "0");
}

/* The last one leaves --------------------------------------------------------- */

/* The container is as new, with @kind's device back in it. */
static void expect_new(unsigned int kind)
{
	u64 word;

	EXPECT_EQ(locked(), 0);
	if (bed.engine) {
		EXPECT_EQ(avail(), 65535);
		return; /* the engine's container outlives its devices */
	}
	EXPECT_EQ(call(VFIO_IOMMU_GET_INFO, &word), -EINVAL); /* no driver */
	added(kind, 0);
	EXPECT_EQ(avail(), 65535);
	EXPECT_EQ(harvest(BASE, PAGE, PAGE, &word, 8), -EINVAL);
	EXPECT_EQ(unmap(0, 1ull << 40), 0);
	mapped(BASE, 64);
	EXPECT_OK(start());
	EXPECT_DIRTY(BASE, 64, kind == PCI ? ALL : "");
}

CASE(group_last_is_mdev, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_tracking(NULL), *p = added(PCI, 0);

	EXPECT_OK(dev_pin(m, BASE, 1, PIN_W));
	remove_device(p);
	EXPECT_EQ(avail(), 65534);
	remove_device(m);
	expect_new(PCI);
}

CASE(group_last_is_pci, SEVERAL)
{
	struct dev_device *m = mdev_tracking(NULL), *p = added(PCI, 0);

	remove_device(m);
	EXPECT_EQ(avail(), 65534);
	remove_device(p);
	expect_new(MDEV);
}

/* Locked memory ---------------------------------------------------------------- */

/* With an IOMMU all mapped pages are charged, else the pinned ones; never both. */
CASE(group_locked_memory, SEVERAL)
{
	struct dev_device *m = added(MDEV, 0), *p;

	mapped(BASE, 100);
	EXPECT_OK(dev_pin(m, BASE, 10, PIN_W));
	EXPECT_EQ(locked(), 10 * 4);
	p = added(PCI, 0);
	EXPECT_EQ(locked(), 100 * 4);
	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 10, PIN_W));
	EXPECT_EQ(locked(), 100 * 4);
	EXPECT_OK(dev_unpin(m, BASE, 3));
	EXPECT_EQ(locked(), 100 * 4);
	remove_device(p);
	EXPECT_EQ(locked(), 12 * 4);
	EXPECT_OK(dev_unpin(m, BASE + 3 * PAGE, 7));
	EXPECT_EQ(locked(), 10 * 4);
	EXPECT_OK(dev_unpin(m, BASE + 5 * PAGE, 10));
	EXPECT_EQ(locked(), 0);
}

/* Pinned while an IOMMU maps the page, unpinned after; and a mapping unmapped with pins */
CASE(group_locked_memory_unmap, SEVERAL)
{
	struct dev_device *m = added(MDEV, 0), *p;

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	EXPECT_OK(dev_pin(m, BASE, 10, PIN_W));
	p = added(PCI, 0);
	EXPECT_OK(dev_pin(m, BASE + 64 * PAGE, 10, PIN_W));
	EXPECT_EQ(locked(), 128 * 4);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(locked(), 64 * 4);
	remove_device(p);
	EXPECT_EQ(locked(), 10 * 4);
	EXPECT_EQ(unmap(BASE + 64 * PAGE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* A refused device changes nothing ------------------------------------------------ */

/* In a container with a mediated device that has pinned page 5 */
static void expect_unchanged(struct dev_device *m)
{
	EXPECT_OK(write_by(m, BASE + 9 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "3 5 9");
	EXPECT_DIRTY(BASE, 64, "5");
	EXPECT_EQ(locked(), 4);
}

/* The device joins once the mapping in its way is unmapped. */
static void expect_joins(u64 iova)
{
	EXPECT_EQ(unmap(iova, 64 * PAGE), 64 * PAGE);
	added(PCI, 0);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_EQ(locked(), 64 * 4);
}

static struct dev_device *mdev_busy(void)
{
	struct dev_device *m = mdev_tracking(NULL);

	EXPECT_OK(write_by(m, BASE + 3 * PAGE, 1));
	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 1, PIN_W));
	return m;
}

/* A mapping of addresses without memory: only the IOMMU needs memory. */
CASE(group_refused_bad_memory, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_busy();

	ASSERT_OK(map(BASE + 64 * PAGE, reserve(64 * PAGE), 64 * PAGE, MAP_RW));
	expect_refused(PCI, 0, EFAULT);
	expect_unchanged(m);
	expect_joins(BASE + 64 * PAGE);
}

/* A mapping in the PCI device's window of interrupts */
CASE(group_refused_msi_window, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_busy();

	mapped(0xfee00000, 64);
	expect_refused(PCI, 0, EINVAL);
	expect_unchanged(m);
	expect_joins(0xfee00000);
}

/* A mapping beyond the IOVAs that the IOMMU translates */
CASE(group_refused_beyond_aperture, SEVERAL | UNSEEN)
{
	struct dev_device *m = mdev_busy();

	mapped(1ull << 60, 64);
	expect_refused(PCI, 0, EINVAL);
	expect_unchanged(m);
	expect_joins(1ull << 60);
}

/* More memory than the process may lock */
CASE(group_refused_memlock, SEVERAL | UNSEEN)
{
	struct dev_device *m;

	limit_locked(100 * 4);
	m = mdev_busy();
	mapped(BASE + 64 * PAGE, 64);
	expect_refused(PCI, 0, ENOMEM);
	expect_unchanged(m);
	expect_joins(BASE + 64 * PAGE);
}

/* The valid IOVA ranges depend on the container's devices. */
CASE(group_ranges, SEVERAL)
{
	struct dev_device *p;

	added(MDEV, 0);
	mapped(0xfee00000, 1);
	EXPECT_EQ(unmap(0xfee00000, PAGE), PAGE);
	p = added(PCI, 0);
	EXPECT_EQ(map(0xfee00000, memory(PAGE), PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(1ull << 60, memory(PAGE), PAGE, MAP_RW), -EINVAL);
	remove_device(p);
	mapped(0xfee00000, 1);
	mapped(1ull << 60, 1);
}

/* A device whose IOMMU can do less ------------------------------------------------ */

/* IOVAs that may be mapped, as GET_INFO has them; ends the case if there are too many */
struct valid {
	unsigned int nr;
	struct dmatrack_range range[16];
};

static struct valid valid_ranges(void)
{
	struct dmatrack_container_info *info;
	struct valid v = {};

	ASSERT_OK(dmatrack_get_info(bed.t, &info));
	v.nr = info->nr_ranges;
	ASSERT(v.nr && v.nr <= 16);
	memcpy(v.range, info->ranges, v.nr * sizeof(*v.range));
	dmatrack_info_free(info);
	return v;
}

static bool is_valid(const struct valid *v, u64 first, u64 last)
{
	unsigned int i;

	for (i = 0; i < v->nr; i++)
		if (first >= v->range[i].iova && last <= v->range[i].last)
			return true;
	return false;
}

static bool is_same(const struct valid *a, const struct valid *b)
{
	return a->nr == b->nr &&
	       !memcmp(a->range, b->range, a->nr * sizeof(*a->range));
}

#define NARROW_END (4 * GiB)

/* While the narrow device is in the container */
static void expect_narrow(const struct valid *wide)
{
	struct valid v = valid_ranges();
	char *mem = memory(2 * PAGE);
	unsigned int i;

	for (i = 0; i < v.nr; i++)
		EXPECT(is_valid(wide, v.range[i].iova, v.range[i].last));
	EXPECT_EQ(v.range[v.nr - 1].last, NARROW_END - 1);
	EXPECT(is_valid(&v, NARROW_RESERVED - PAGE, NARROW_RESERVED - 1));
	EXPECT(!is_valid(&v, NARROW_RESERVED, NARROW_RESERVED));
	EXPECT(!is_valid(&v, NARROW_RESERVED + 0xffff,
			 NARROW_RESERVED + 0xffff));
	EXPECT(is_valid(&v, NARROW_RESERVED + 0x10000,
			NARROW_RESERVED + 0x10fff));
	EXPECT_EQ(map(NARROW_END, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(NARROW_END - PAGE, mem, 2 * PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(NARROW_RESERVED, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(NARROW_RESERVED - PAGE, mem, 2 * PAGE, MAP_RW), -EINVAL);
	EXPECT_OK(map(NARROW_END - PAGE, mem, PAGE, MAP_RW));
	EXPECT_EQ(unmap(NARROW_END - PAGE, PAGE), PAGE);
}

/* The IOVAs that may be mapped become fewer with it, and again as many without it. */
CASE(group_narrow_ranges, SEVERAL | NARROW)
{
	struct dev_device *a = added(PCI, 0), *n;
	struct valid wide = valid_ranges(), v;
	char *mem = mapped(BASE, 64);

	EXPECT(is_valid(&wide, NARROW_END - PAGE, NARROW_END + PAGE - 1));
	EXPECT(is_valid(&wide, NARROW_RESERVED, NARROW_RESERVED + 0xffff));
	n = added(PCI, NARROW_DEVICE);
	expect_narrow(&wide);
	expect_reaches(n, BASE + 5 * PAGE, mem + 5 * PAGE);
	remove_device(n);
	v = valid_ranges();
	EXPECT(is_same(&v, &wide));
	mem = mapped(NARROW_END - PAGE, 2);
	expect_reaches(a, NARROW_END, mem + PAGE);
	mapped(NARROW_RESERVED, 1);
}

/* The other device leaves first. */
CASE(group_narrow_stays, SEVERAL | NARROW)
{
	struct dev_device *a = added(PCI, 0), *n = added(PCI, NARROW_DEVICE);
	struct valid both = valid_ranges(), alone;
	char *mem;

	remove_device(a);
	expect_narrow(&both);
	alone = valid_ranges();
	a = added(PCI, 0);
	expect_narrow(&alone);
	mem = mapped(BASE, 64);
	expect_reaches(a, BASE, mem);
	expect_reaches(n, BASE, mem);
}

static void expect_not_narrow(u64 iova)
{
	struct dev_device *a = added(PCI, 0), *n;
	struct valid wide = valid_ranges(), v;
	char *mem = mapped(iova, 2);

	expect_refused(PCI, NARROW_DEVICE, EINVAL);
	v = valid_ranges();
	EXPECT(is_same(&v, &wide));
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, (void *)VFIO_DMA_CC_IOMMU), 1);
	expect_reaches(a, iova + PAGE, mem + PAGE);
	EXPECT_EQ(locked(), 2 * 4);
	EXPECT_EQ(unmap(iova, 2 * PAGE), 2 * PAGE);
	n = added(PCI, NARROW_DEVICE);
	expect_narrow(&wide);
	mem = mapped(BASE, 1);
	expect_reaches(n, BASE, mem);
}

CASE(group_narrow_refused_beyond, SEVERAL | NARROW)
{
	expect_not_narrow(NARROW_END);
}

CASE(group_narrow_refused_across, SEVERAL | NARROW)
{
	expect_not_narrow(NARROW_END - PAGE);
}

CASE(group_narrow_refused_reserved, SEVERAL | NARROW)
{
	expect_not_narrow(NARROW_RESERVED + 0xf000);
}

/* DMA is coherent for sure, unless there is an IOMMU that doesn't enforce it. */
CASE(group_coherency, SEVERAL | NARROW)
{
	const void *coherent = (void *)VFIO_DMA_CC_IOMMU;
	struct dev_device *a = added(PCI, 0), *n;

	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 1);
	n = added(PCI, NARROW_DEVICE);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 0);
	remove_device(n);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 1);
	n = added(PCI, NARROW_DEVICE);
	remove_device(a);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 0);
	added(EMULATED, 0);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 0);
	remove_device(n);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, coherent), 1);
}

/* Memory's address can't be updated while a device that pins is there. */
CASE(group_update_vaddr, SEVERAL)
{
	const void *extension = (void *)VFIO_UPDATE_VADDR;
	struct dev_device *p = added(PCI, 0), *m;
	char *mem = mapped(BASE, 64);

	if (call(VFIO_CHECK_EXTENSION, extension) != 1) {
		remove_device(p);
		return; /* addresses can't be updated here at all */
	}
	m = added(MDEV, 0);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, extension), 0);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, 64 * PAGE, NULL),
		  -EBUSY);
	remove_device(m);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, extension), 1);
	ASSERT_OK(
		unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, 64 * PAGE, NULL));
	expect_refused(MDEV, 0, EBUSY);
	ASSERT_OK(map(BASE, mem, 64 * PAGE, VFIO_DMA_MAP_FLAG_VADDR));
	m = added(MDEV, 0);
	expect_reaches(m, BASE, mem);
}

/* Two devices behind the IOMMU -------------------------------------------------- */

CASE(group_two_pci, SEVERAL | UNSEEN)
{
	struct dev_device *a = added(PCI, 0), *b;
	char *before = mapped(BASE, 64), *between, *after;

	b = added(PCI, 1);
	between = mapped(BASE + 64 * PAGE, 64);
	expect_reaches(a, BASE, before);
	expect_reaches(b, BASE, before);
	expect_reaches(a, BASE + 64 * PAGE, between);
	expect_reaches(b, BASE + 64 * PAGE, between);
	EXPECT_EQ(locked(), 128 * 4);

	remove_device(a);
	after = mapped(BASE + 128 * PAGE, 64);
	expect_reaches(b, BASE, before);
	expect_reaches(b, BASE + 64 * PAGE, between);
	expect_reaches(b, BASE + 128 * PAGE, after);
	EXPECT_EQ(locked(), 192 * 4);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(locked(), 128 * 4);

	remove_device(b);
	expect_new(PCI);
}

/* The second device leaves and rejoins, then the first one: each reaches the new mapping. */
CASE(group_two_pci_in_turns, SEVERAL)
{
	char *mem, *again;
	struct dev_device *a = added(PCI, 0), *b = added(PCI, 1);

	mem = mapped(BASE, 64);
	remove_device(b);
	expect_reaches(a, BASE + 5 * PAGE, mem + 5 * PAGE);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	again = mapped(BASE, 64);
	b = added(PCI, 1);
	remove_device(a);
	expect_reaches(b, BASE + 5 * PAGE, again + 5 * PAGE);
	EXPECT(!mem[5 * PAGE] && !again[5 * PAGE]);
	a = added(PCI, 0);
	expect_reaches(a, BASE + 5 * PAGE, again + 5 * PAGE);
}

CASE(group_two_pci_tracking, SEVERAL | UNSEEN)
{
	struct dev_device *a = added(PCI, 0), *b;

	mapped(BASE, 64);
	ASSERT_OK(start());
	b = added(PCI, 1);
	EXPECT_DIRTY(BASE, 64, ALL);
	remove_device(a);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_DIRTY(BASE, 64, ALL);
	a = added(PCI, 0);
	mapped(BASE + 64 * PAGE, 64);
	EXPECT_DIRTY(BASE, 128, "0-127");
	remove_device(b);
	EXPECT_DIRTY(BASE, 128, "0-127");
	EXPECT_DIRTY(BASE, 128, "0-127");
}

/* With a device that pins as well: all pages count until the second PCI device leaves. */
CASE(group_two_pci_and_mdev, SEVERAL | UNSEEN)
{
	char *mem;
	struct dev_device *m = mdev_tracking(&mem), *a = added(PCI, 0),
			  *b = added(PCI, 1);

	EXPECT_OK(dev_pin(m, BASE + 5 * PAGE, 1, PIN_W));
	EXPECT_EQ(locked(), 64 * 4);
	EXPECT_DIRTY(BASE, 64, ALL);
	remove_device(a);
	EXPECT_EQ(locked(), 64 * 4);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_DIRTY(BASE, 64, ALL);
	expect_reaches(b, BASE, mem);
	remove_device(b);
	EXPECT_EQ(locked(), 4);
	EXPECT_DIRTY(BASE, 64, ALL);
	EXPECT_DIRTY(BASE, 64, "5");
	EXPECT_EQ(map(BASE + 64 * PAGE, reserve(64 * PAGE), 64 * PAGE, MAP_RW),
		  0);
}

/* As DPDK has it with two ports */
CASE(group_two_pci_v1, SEVERAL | V1)
{
	struct dev_device *a = added(PCI, 0), *b;
	char *mem = mapped(BASE, 64);

	b = added(PCI, 1);
	expect_reaches(b, BASE, mem);
	EXPECT_EQ(unmap(BASE + PAGE, PAGE), 0);
	remove_device(a);
	EXPECT_EQ(unmap(BASE, PAGE), 64 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* edu's register 4 reads as the complement of what was written. */
CASE(group_peer_to_peer, SEVERAL | KERNEL | REGISTERS)
{
	struct dev_device *a = added(PCI, 0), *b = added(PCI, 1);
	char *bar = bar_at(b, NULL, MiB, PROT_READ | PROT_WRITE);
	volatile unsigned int *reg = (void *)(bar + 4);
	unsigned int value = 0x12345678;

	*reg = 0;
	EXPECT_EQ(*reg, ~0u);
	ASSERT_OK(map(BASE, bar, MiB, MAP_RW));
	EXPECT_OK(dev_write(a, BASE + 4, &value, sizeof(value)));
	EXPECT_EQ(*reg, ~value);
	EXPECT_EQ(locked(), 0);
	EXPECT_EQ(unmap(BASE, MiB), MiB);
}

/* A mapping of registers is mapped for a group that comes later, too. */
CASE(group_registers_before, SEVERAL | KERNEL | REGISTERS)
{
	struct dev_device *b = added(PCI, 1), *m, *a;
	char *bar = bar_at(b, NULL, MiB, PROT_READ | PROT_WRITE);
	volatile unsigned int *reg = (void *)(bar + 4);
	unsigned int value = 0x789abcde;

	m = added(MDEV, 0);
	ASSERT_OK(map(BASE, bar, MiB, MAP_RW));
	remove_device(m);
	a = added(PCI, 0);
	EXPECT_OK(dev_write(a, BASE + 4, &value, sizeof(value)));
	EXPECT_EQ(*reg, ~value);
	EXPECT_EQ(unmap(BASE, MiB), MiB);
	EXPECT_EQ(locked(), 0);
}

/* A copy, as devices come and go ------------------------------------------------- */

#define PAGES 4096ull

static char *source, *copy;
static u64 copied;

static void copy_dirty(void)
{
	static uint64_t words[PAGES / 64];
	uint64_t pos = 0, len;

	memset(words, 0, sizeof(words));
	ASSERT_OK(harvest(BASE, PAGES * PAGE, PAGE, words, sizeof(words)));
	for (; dmatrack_next_run(words, PAGES, &pos, &len); pos += len) {
		memcpy(copy + pos * PAGE, source + pos * PAGE, len * PAGE);
		copied += len;
	}
}

static void write_at_random(struct dev_device *d, u64 size, u64 count, u64 seed)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY,
		.threads = 1,
		.size = size,
		.iova = BASE,
		.length = PAGES * PAGE,
		.rate = 5000,
		.count = count,
		.seed = seed,
	};

	ASSERT_OK(dev_run(d, &run));
}

static void copy_until_done(struct dev_device *d)
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };

	do {
		copy_dirty();
		ASSERT_OK(dev_stats(d, &stats));
	} while (stats.running);
	EXPECT_EQ(stats.failed, 0);
}

CASE(group_copy, SEVERAL)
{
	struct dev_device *m = added(MDEV, 0), *p;
	u64 first, i;

	source = memory(PAGES * PAGE);
	copy = memory(PAGES * PAGE);
	ASSERT_OK(map(BASE, source, PAGES * PAGE, MAP_RW));
	ASSERT_OK(start());
	write_at_random(m, 5000, 0, 1);
	for (i = 0; i < 3; i++) {
		p = added(PCI, 0);
		write_at_random(p, 1500, 3, i + 2);
		copy_until_done(p);
		remove_device(p);
		copy_dirty();
		first = copied;
		copy_dirty();
		/* the PCI device's pages have been reported */
		EXPECT(copied - first < PAGES);
	}
	ASSERT_OK(dev_halt(m));
	copy_dirty();
	first = copied;
	copy_dirty();
	EXPECT_EQ(copied, first);
	EXPECT(!memcmp(source, copy, PAGES * PAGE));
}
