// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Calls on an iommufd: see iommufd.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dmatrack.h"
#include "iommufd.h"
#include "iommufd_abi.h"

/* Calls --------------------------------------------------------------------------- */

static int call(int fd, unsigned long cmd, const void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static struct dml_iommufd *to_iommufd(struct dmt_tables *t)
{
	return container_of(t, struct dml_iommufd, tables);
}

int dml_iommufd_bind(const struct dml_iommufd *io, int device, uint32_t *id)
{
	struct iommufd_bind bind = { .size = sizeof(bind), .iommufd = io->fd };
	int err = call(device, IOMMUFD_BIND, &bind);

	*id = bind.id;
	return err;
}

int dml_iommufd_alloc_ioas(struct dml_iommufd *io)
{
	struct iommufd_alloc_ioas alloc = { .size = sizeof(alloc) };
	int err = call(io->fd, IOMMUFD_ALLOC_IOAS, &alloc);

	io->ioas = alloc.ioas;
	return err;
}

int dml_iommufd_alloc_hwpt(struct dml_iommufd *io, uint32_t id)
{
	struct iommufd_alloc_hwpt alloc = {
		.size = sizeof(alloc),
		.flags = IOMMUFD_DIRTY_BITS,
		.device = id,
		.ioas = io->ioas,
	};
	int err = call(io->fd, IOMMUFD_ALLOC_HWPT, &alloc);

	io->hwpt = alloc.hwpt;
	return err;
}

int dml_iommufd_small_pages(const struct dml_iommufd *io)
{
	struct iommufd_option option = {
		.size = sizeof(option),
		.option = IOMMUFD_HUGE_PAGES,
		.object = io->ioas,
	};

	return call(io->fd, IOMMUFD_OPTION, &option);
}

int dml_iommufd_attach(const struct dml_iommufd *io, int device)
{
	struct iommufd_attach attach = { .size = sizeof(attach),
					 .hwpt = io->hwpt };

	return call(device, IOMMUFD_ATTACH, &attach);
}

/* Page tables ------------------------------------------------------------------- */

static int call_tables(const struct dml_iommufd *io, unsigned long cmd,
		       const void *arg)
{
	return getpid() == io->process ? call(io->fd, cmd, arg) : -EPERM;
}

static int tables_map(struct dmt_tables *t, u64 iova, unsigned long vaddr,
		      u64 size, u32 prot)
{
	const struct dml_iommufd *io = to_iommufd(t);
	struct iommufd_map map = {
		.size = sizeof(map),
		.flags = IOMMUFD_MAP_FIXED |
			 (prot & DMT_READ ? IOMMUFD_MAP_READ : 0) |
			 (prot & DMT_WRITE ? IOMMUFD_MAP_WRITE : 0),
		.ioas = io->ioas,
		.vaddr = vaddr,
		.length = size,
		.iova = iova,
	};

	return call_tables(io, IOMMUFD_MAP, &map);
}

/* What a child unmaps is gone for it: it never was its own. */
static bool tables_unmap(struct dmt_tables *t, u64 iova, u64 size)
{
	const struct dml_iommufd *io = to_iommufd(t);
	struct iommufd_unmap unmap = {
		.size = sizeof(unmap),
		.ioas = io->ioas,
		.iova = iova,
		.length = size,
	};

	return getpid() != io->process || !call(io->fd, IOMMUFD_UNMAP, &unmap);
}

/* The kernel clears the bits that are set when tracking begins. */
static int tables_track(struct dmt_tables *t, bool on)
{
	const struct dml_iommufd *io = to_iommufd(t);
	struct iommufd_track track = {
		.size = sizeof(track),
		.flags = on ? IOMMUFD_TRACK_ON : 0,
		.hwpt = io->hwpt,
	};

	return call_tables(io, IOMMUFD_TRACK, &track);
}

/* Make sure that @io->bits has @size bytes, all 0. */
static int clear_bits(struct dml_iommufd *io, size_t size)
{
	void *bits;

	size = ALIGN(size, PAGE_SIZE);
	if (size > io->size) {
		if (posix_memalign(&bits, PAGE_SIZE, size))
			return -ENOMEM;
		free(io->bits);
		io->bits = bits;
		io->size = size;
	}
	memset(io->bits, 0, size);
	return 0;
}

/*
 * Read the dirty bits of a range into @io->bits. It's a buffer of the library's own: where the
 * kernel can't write to the buffer, it clears bits that it doesn't deliver, and returns 0.
 */
static int read_bits(struct dml_iommufd *io, u64 iova, u64 size, uint32_t flags)
{
	int err = clear_bits(io, dmatrack_bitmap_size(size, PAGE_SIZE));
	struct iommufd_get_dirty get = {
		.size = sizeof(get),
		.hwpt = io->hwpt,
		.flags = flags,
		.iova = iova,
		.length = size,
		.page_size = PAGE_SIZE,
		.bits = (uintptr_t)io->bits,
	};

	return err ? err : call_tables(io, IOMMUFD_GET_DIRTY, &get);
}

static int tables_take_dirty(struct dmt_tables *t, u64 iova, u64 last,
			     void (*dirty)(void *arg, u64 iova, u64 last),
			     void *arg)
{
	struct dml_iommufd *io = to_iommufd(t);
	uint64_t size = last - iova + 1, pos = 0, n;
	int err = read_bits(io, iova, size, 0);

	if (err)
		return err;
	for (; dmatrack_next_run(io->bits, size / PAGE_SIZE, &pos, &n);
	     pos += n)
		dirty(arg, iova + pos * PAGE_SIZE,
		      iova + (pos + n) * PAGE_SIZE - 1);
	return 0;
}

int dml_iommufd_check(struct dml_iommufd *io, uint64_t iova)
{
	return read_bits(io, iova, PAGE_SIZE, IOMMUFD_KEEP_BITS);
}

/* IOVAs ----------------------------------------------------------------------------- */

/* Get the ranges, of which there may be more at each call. @ranges: out: to be freed */
static int get_ranges(const struct dml_iommufd *io,
		      struct iommufd_get_ranges *get,
		      struct dmatrack_range **ranges)
{
	struct dmatrack_range *room = NULL;
	int err;

	*get = (struct iommufd_get_ranges){ .size = sizeof(*get),
					    .ioas = io->ioas };
	while ((err = call(io->fd, IOMMUFD_GET_RANGES, get)) == -EMSGSIZE) {
		free(room);
		room = calloc(get->nr + 1, sizeof(*room));
		if (!room)
			return -ENOMEM;
		get->ranges = (uintptr_t)room;
	}
	if (!err && (!get->nr || !room))
		err = -ENOSPC;
	if (err)
		free(room);
	else
		*ranges = room;
	return err;
}

/* The holes between ranges are what the group can't use. */
static int set_reserved(struct dmt_reserved *reserved,
			const struct dmatrack_range *ranges, unsigned int nr)
{
	unsigned int i;

	reserved->range = calloc(nr, sizeof(*reserved->range));
	if (!reserved->range)
		return -ENOMEM;
	reserved->nr = nr - 1;
	for (i = 0; i < reserved->nr; i++) {
		reserved->range[i].start = ranges[i].last + 1;
		reserved->range[i].last = ranges[i + 1].iova - 1;
	}
	return 0;
}

int dml_iommufd_group(struct dml_iommufd *io, struct iommu_group *group)
{
	static const char kind;
	struct dmatrack_range *ranges = NULL;
	struct iommufd_get_ranges get;
	int err = get_ranges(io, &get, &ranges);

	if (err)
		return err;
	dmt_iommu_group_init(group);
	group->info = (struct dmt_domain_info){
		.pgsizes = -max((u64)get.alignment, (u64)PAGE_SIZE),
		.start = ALIGN(ranges[0].iova, (u64)PAGE_SIZE),
		.last = ranges[get.nr - 1].last,
		.coherent = true,
		.dirty_bits = true,
		.kind = &kind,
	};
	group->tables = &io->tables;
	err = set_reserved(&group->reserved, ranges, get.nr);
	free(ranges);
	return err;
}

/* Beginning and ending ---------------------------------------------------------- */

void dml_iommufd_init(struct dml_iommufd *io)
{
	*io = (struct dml_iommufd){
		.tables = {
			.map = tables_map,
			.unmap = tables_unmap,
			.track = tables_track,
			.take_dirty = tables_take_dirty,
		},
		.process = getpid(),
		.fd = -1,
	};
}

void dml_iommufd_fini(struct dml_iommufd *io)
{
	free(io->bits);
	if (io->fd >= 0)
		close(io->fd);
}
