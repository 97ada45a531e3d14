// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Building blocks of cases: calls on the container, the device, awkward memory.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"
#include "engine/iommu.h"
#include "lib/util/clock.h"
#include "played.h"

/* The container's user ---------------------------------------------------- */

long call(unsigned long cmd, const void *arg)
{
	return dmatrack_ioctl(bed.t, cmd, (unsigned long)arg);
}

struct vfio_iommu_type1_dma_map map_arg(u64 iova, const void *vaddr, u64 size,
					unsigned int flags)
{
	return (struct vfio_iommu_type1_dma_map){
		.argsz = sizeof(struct vfio_iommu_type1_dma_map),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};
}

long map(u64 iova, const void *vaddr, u64 size, unsigned int flags)
{
	struct vfio_iommu_type1_dma_map m = map_arg(iova, vaddr, size, flags);

	return call(VFIO_IOMMU_MAP_DMA, &m);
}

long unmap_flags(unsigned int flags, u64 iova, u64 size, u64 *unmapped)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	long ret = call(VFIO_IOMMU_UNMAP_DMA, &u);

	if (unmapped)
		*unmapped = u.size;
	return ret;
}

long unmap(u64 iova, u64 size)
{
	u64 unmapped;
	long ret = unmap_flags(0, iova, size, &unmapped);

	return ret ? ret : (long)unmapped;
}

void unmap_bitmap_arg(struct unmap_bitmap *u, u64 iova, u64 size, u64 pgsize,
		      void *data, u64 bytes)
{
	memset(u, 0, sizeof(*u));
	u->unmap.argsz = sizeof(*u);
	u->unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	u->unmap.iova = iova;
	u->unmap.size = size;
	u->bitmap.pgsize = pgsize;
	u->bitmap.size = bytes;
	u->bitmap.data = data;
}

long unmap_bitmap(u64 iova, u64 size, u64 pgsize, void *data, u64 bytes,
		  u64 *unmapped)
{
	struct unmap_bitmap u;
	long ret;

	unmap_bitmap_arg(&u, iova, size, pgsize, data, bytes);
	ret = call(VFIO_IOMMU_UNMAP_DMA, &u);
	if (unmapped)
		*unmapped = u.unmap.size;
	return ret;
}

void harvest_arg(struct dirty_range *r, u64 iova, u64 size, u64 pgsize,
		 void *data, u64 bytes)
{
	memset(r, 0, sizeof(*r));
	r->dirty.argsz = sizeof(*r);
	r->dirty.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	r->get.iova = iova;
	r->get.size = size;
	r->get.bitmap.pgsize = pgsize;
	r->get.bitmap.size = bytes;
	r->get.bitmap.data = data;
}

long harvest(u64 iova, u64 size, u64 pgsize, void *data, u64 bytes)
{
	struct dirty_range r;

	harvest_arg(&r, iova, size, pgsize, data, bytes);
	return call(VFIO_IOMMU_DIRTY_PAGES, &r);
}

struct dmatrack_get_ranges ranges_arg(u64 iova, u64 last, u64 pgsize, void *to,
				      u64 room)
{
	return (struct dmatrack_get_ranges){
		.argsz = sizeof(struct dmatrack_get_ranges),
		.iova = iova,
		.last = last,
		.page_size = pgsize,
		.ranges = (uintptr_t)to,
		.next = 0x5555,
		.count = room,
		.more = 0x5555,
	};
}

long ranges(u64 iova, u64 last, u64 pgsize, void *to, u64 room,
	    struct dmatrack_get_ranges *said)
{
	struct dmatrack_get_ranges get =
		ranges_arg(iova, last, pgsize, to, room);
	long ret = call(DMATRACK_GET_RANGES, &get);

	if (said)
		*said = get;
	return ret;
}

long dirty_flags(unsigned int flags)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = flags,
	};

	return call(VFIO_IOMMU_DIRTY_PAGES, &d);
}

long start(void)
{
	return dirty_flags(VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

long stop(void)
{
	return dirty_flags(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

long avail(void)
{
	union {
		struct vfio_iommu_type1_info info;
		char bytes[4096];
	} u = { .info.argsz = sizeof(u) };
	const struct vfio_iommu_type1_info_dma_avail *cap;
	const struct vfio_info_cap_header *h;
	long ret = call(VFIO_IOMMU_GET_INFO, &u);
	unsigned int at;

	if (ret)
		return ret;
	for (at = u.info.cap_offset; at && at < sizeof(u); at = h->next) {
		h = (const void *)(u.bytes + at);
		cap = (const void *)h;
		if (h->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			return cap->avail;
	}
	return -ENOENT;
}

char *mapped(u64 iova, u64 npages)
{
	char *mem = memory(npages * PAGE);

	ASSERT_OK(map(iova, mem, npages * PAGE, MAP_RW));
	return mem;
}

/* The device's side ------------------------------------------------------- */

int write_by(struct dev_device *d, u64 iova, u64 size)
{
	static unsigned char pattern;
	char *data = malloc(size);
	int ret;

	memset(data, ++pattern, size);
	ret = dev_write(d, iova, data, size);
	free(data);
	return ret;
}

int dma_write(u64 iova, u64 size)
{
	return write_by(bed.d, iova, size);
}

int dma_read(u64 iova, void *data, u64 size)
{
	return dev_read(bed.d, iova, data, size);
}

int pin(u64 iova, u64 npages, unsigned int prot)
{
	return dev_pin(bed.d, iova, npages, prot);
}

int unpin(u64 iova, u64 npages)
{
	return dev_unpin(bed.d, iova, npages);
}

/* Several devices --------------------------------------------------------- */

static struct {
	struct dev_device *d;
	int fd;
} members[8];
#define MEMBERS (sizeof(members) / sizeof(*members))

static int join(const char *name)
{
	int ret;

	if (bed.t)
		return dmatrack_attach(bed.t, name);
	ret = dmatrack_open_vfio(&bed.t, name, bed.type);
	if (ret)
		return ret;
	conform_opened();
	return dmatrack_device_fd(bed.t);
}

static int add_vfio(unsigned int i, const char *name)
{
	int fd = name ? join(name) : -ENODEV;

	if (fd < 0)
		return fd;
	members[i].fd = fd;
	return dev_open_fd(&members[i].d, bed.t, fd);
}

struct dev_device *add(unsigned int kind, unsigned int n)
{
	unsigned int i = 0;
	int ret;

	while (members[i].d)
		i++;
	ASSERT(i < MEMBERS);
	if (bed.engine)
		ret = played_add(&members[i].d, kind, n);
	else
		ret = add_vfio(i, conform_device(kind, n));
	if (ret == -ENODEV)
		conform_skip(n ? "needs more devices of a kind" :
				 "needs devices of both kinds");
	errno = -ret;
	return members[i].d;
}

struct dev_device *added(unsigned int kind, unsigned int n)
{
	struct dev_device *d = add(kind, n);

	ASSERT(d);
	return d;
}

static void leave(unsigned int i)
{
	if (bed.engine) {
		played_remove(members[i].d);
	} else {
		dev_close(members[i].d);
		dmatrack_detach(bed.t, members[i].fd);
	}
	members[i].d = NULL;
}

/* BAR 0 of a PCI device in the kernel, @size bytes at @at, or anywhere */
char *bar_at(struct dev_device *d, void *at, u64 size, int prot)
{
	struct vfio_region_info info = { .argsz = sizeof(info) };
	int fd = bed.t ? dmatrack_device_fd(bed.t) : -1;
	unsigned int i;
	char *bar;

	for (i = 0; i < MEMBERS; i++)
		if (members[i].d == d)
			fd = members[i].fd;
	ASSERT_OK(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	ASSERT(info.size >= size);
	bar = mmap(at, size, prot, MAP_SHARED | (at ? MAP_FIXED : 0), fd,
		   info.offset);
	ASSERT(bar != MAP_FAILED);
	return bar;
}

void remove_device(struct dev_device *d)
{
	unsigned int i = 0;

	while (members[i].d != d)
		i++;
	leave(i);
}

void remove_all(void)
{
	unsigned int i;

	for (i = 0; i < MEMBERS; i++)
		if (members[i].d)
			leave(i);
}

/* Memory ------------------------------------------------------------------ */

static void *space(u64 size, int prot)
{
	void *mem = mmap(NULL, size, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		conform_skip("no address space");
	return mem;
}

void *memory(u64 size)
{
	return space(size, PROT_READ | PROT_WRITE);
}

void *reserve(u64 size)
{
	return space(size, PROT_NONE);
}

size_t bitmap_bytes(u64 nbits)
{
	return nbits / 64 * 8 + (nbits % 64 ? 8 : 0);
}

void *guarded(size_t size)
{
	size_t whole = (size + PAGE - 1) / PAGE * PAGE;
	char *mem = reserve(whole + PAGE);

	mprotect(mem, whole, PROT_READ | PROT_WRITE);
	return mem + whole - size;
}

void *cut(const void *data, size_t size, size_t there)
{
	char *mem = guarded(there);

	memcpy(mem, data, there < size ? there : size);
	return mem;
}

void *readonly(const void *data, size_t size)
{
	char *mem = memory(PAGE);

	memcpy(mem, data, size);
	mprotect(mem, PAGE, PROT_READ);
	return mem;
}

/*
 * Map the last page of user space, if it is free. x86-64 has addresses of 56 or 47 bits
 * there, by processor; the very last page is never mapped.
 */
static void *map_last_page(u64 *end)
{
	static const u64 ends[] = { (1ull << 56) - PAGE, (1ull << 47) - PAGE };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		void *want = (void *)(ends[i] - PAGE);
		void *mem =
			mmap(want, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0);

		*end = ends[i];
		if (mem == want)
			return mem;
		if (mem != MAP_FAILED)
			munmap(mem, PAGE);
	}
	return NULL;
}

void *bad_pointer(int n)
{
	void *mem;
	u64 end;

	switch (n) {
	case 0:
		return NULL;
	case 1:
		return reserve(PAGE);
	default:
		mem = map_last_page(&end);
		if (mem)
			munmap(mem, PAGE);
		return (void *)(end - 16);
	}
}

void *last_user_page(void)
{
	u64 end;
	void *mem = map_last_page(&end);

	if (!mem)
		conform_skip("user space's last page isn't to be had");
	return mem;
}

void *file_page(u64 size)
{
	int fd = memfd_create("conform", MFD_CLOEXEC);
	void *mem;

	if (fd < 0 || ftruncate(fd, PAGE))
		conform_skip("no memfd");
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mem == MAP_FAILED)
		conform_skip("no file mapping");
	return mem;
}

bool bit(const void *bitmap, u64 n)
{
	return ((const unsigned char *)bitmap)[n / 8] >> (n % 8) & 1;
}

/* Set the bits of a list such as "0 3-5", which are below @npages. */
static void set_listed(unsigned char *bitmap, u64 npages, const char *list)
{
	while (*list) {
		char *rest;
		u64 n = strtoull(list, &rest, 10), to = n;

		if (*rest == '-')
			to = strtoull(rest + 1, &rest, 10);
		for (; n <= to && n < npages; n++)
			bitmap[n / 8] |= 1 << n % 8;
		list = rest + strspn(rest, " ");
	}
}

/* The list of @nbits in @bitmap, cut off where it gets long */
static void list(const void *bitmap, u64 nbits, char *out, size_t size)
{
	size_t used = 0;
	u64 from, to;

	*out = 0;
	for (from = 0; from < nbits && used + 50 < size; from = to) {
		to = from + 1;
		if (!bit(bitmap, from))
			continue;
		while (to < nbits && bit(bitmap, to))
			to++;
		used += snprintf(out + used, size - used, "%s%llu",
				 used ? " " : "", (unsigned long long)from);
		if (to > from + 1)
			used += snprintf(out + used, size - used, "-%llu",
					 (unsigned long long)to - 1);
	}
}

/* Are exactly the pages of @want set? */
static bool check_bits(const char *file, int line, const void *bitmap,
		       u64 npages, const char *want)
{
	size_t bytes = bitmap_bytes(npages);
	unsigned char *right = calloc(1, bytes);
	char got[400] = "";
	bool ok;

	ASSERT(right);
	set_listed(right, npages, want);
	ok = !memcmp(bitmap, right, bytes);
	free(right);
	if (!ok)
		list(bitmap, bytes * 8, got, sizeof(got));
	return conform_check(file, line, ok, "dirty of %llu pages: %s, not %s",
			     (unsigned long long)npages, *got ? got : "none",
			     *want ? want : "none");
}

/* Add the pages of @r to @bitmap. Return: false if @r isn't a range in [@from, @last] */
static bool add_range(const struct dmatrack_dirty_range *r, u64 from, u64 iova,
		      u64 last, unsigned char *bitmap)
{
	u64 n;

	if (r->iova < from || r->last < r->iova || r->last > last ||
	    r->iova % PAGE || (r->last + 1) % PAGE)
		return false;
	for (n = (r->iova - iova) / PAGE; n <= (r->last - iova) / PAGE; n++)
		bitmap[n / 8] |= 1 << n % 8;
	return true;
}

/* Are the counts that a call left in @said possible? */
static bool said_right(const struct dmatrack_get_ranges *said, u64 iova,
		       u64 last, unsigned int room)
{
	if (said->more)
		return said->more == 1 && said->count == room &&
		       said->next > iova && said->next <= last;
	return said->count <= room && said->next == last + 1;
}

bool conform_ranges(const char *file, int line, u64 iova, u64 npages,
		    unsigned int room, const char *want)
{
	struct dmatrack_dirty_range *r = guarded(room * sizeof(*r));
	u64 last = iova + npages * PAGE - 1, from = iova;
	void *bitmap = memory(bitmap_bytes(npages));
	struct dmatrack_get_ranges said = { .next = iova };
	unsigned int i;

	do {
		long ret = ranges(from, last, PAGE, r, room, &said);

		if (ret)
			return conform_eq(file, line, "ranges", ret, 0);
		if (!conform_check(
			    file, line, said_right(&said, from, last, room),
			    "%u ranges, more %u, next 0x%llx", said.count,
			    said.more, (unsigned long long)said.next))
			return false;
		for (i = 0; i < said.count; i++) {
			if (!conform_check(file, line,
					   add_range(&r[i], from, iova, last,
						     bitmap),
					   "range %u: 0x%llx to 0x%llx", i,
					   (unsigned long long)r[i].iova,
					   (unsigned long long)r[i].last))
				return false;
			from = r[i].last + 2;
		}
		from = said.next;
	} while (said.more);
	return check_bits(file, line, bitmap, npages, want);
}

bool conform_dirty(const char *file, int line, u64 iova, u64 npages,
		   const char *want)
{
	size_t bytes = bitmap_bytes(npages);
	void *bitmap = guarded(bytes);
	long ret;

	/* takes all that the driver has logged there, so that it must be kept for the case */
	if (bed.watcher)
		dmatrack_harvest(bed.watcher, iova, npages * PAGE, PAGE,
				 bitmap);
	ret = harvest(iova, npages * PAGE, PAGE, memset(bitmap, 0, bytes),
		      bytes);
	if (ret)
		return conform_eq(file, line, "harvest", ret, 0);
	return check_bits(file, line, bitmap, npages, want);
}

long locked(void)
{
	if (dmatrack_get_engine(bed.t)) /* an iommufd counts by user, unseen */
		return dmatrack_engine_locked(dmatrack_get_engine(bed.t)) * 4;
	return proc_kb("/proc/self/status", "VmLck");
}

void limit_locked(u64 kb)
{
	struct rlimit limit = { .rlim_cur = kb * 1024, .rlim_max = kb * 1024 };
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (bed.engine) {
		dmatrack_engine_limit(dmatrack_get_engine(bed.t), kb / 4);
		return;
	}
	ASSERT_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_OK(syscall(SYS_capget, &h, d));
	d[0].effective &= ~(1u << CAP_IPC_LOCK);
	ASSERT_OK(syscall(SYS_capset, &h, d));
}

long proc_kb(const char *file, const char *name)
{
	FILE *f = fopen(file, "r");
	char line[256];
	long kb = -1;
	size_t n = strlen(name);

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, n) && line[n] == ':')
			kb = strtol(line + n + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return kb;
}

double seconds(void)
{
	return (double)dml_clock_now() / DML_NSEC;
}
