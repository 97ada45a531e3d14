/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Calls on an iommufd (/dev/iommu), and on a VFIO device's own file, which joins one.
 *
 * Linux 6.2 has iommufd, 6.6 has files of devices, 6.7 reads dirty bits. The headers that programs
 * are compiled with may be older, so iommufd_abi.h has the numbers and the structures.
 */
#ifndef DML_CONTAINER_IOMMUFD_H
#define DML_CONTAINER_IOMMUFD_H

#include <sys/types.h>

#include "engine/iommu.h"

/**
 * struct dml_iommufd - an address space of an iommufd, and page tables of it
 * @tables: functions that fill and read the page tables
 * @process: ID of the process that opened it. In a child, page tables are not changed: they are the
 *	     parent's
 * @fd: descriptor of the iommufd
 * @ioas: ID of the address space
 * @hwpt: ID of the page tables
 * @bits: buffer for dirty bits, whole pages: the kernel writes no further than a page's end
 * @size: bytes of @bits
 */
struct dml_iommufd {
	struct dmt_tables tables;
	pid_t process;
	int fd;
	uint32_t ioas;
	uint32_t hwpt;
	uint64_t *bits;
	size_t size;
};

/* All functions return 0 or -errno, without a text. dml_iommufd_fini() closes @fd, unless it's -1. */
void dml_iommufd_init(struct dml_iommufd *io);
void dml_iommufd_fini(struct dml_iommufd *io);

/* Bind the device of an open file to @io; @id: out: the iommufd's ID of the device */
int dml_iommufd_bind(const struct dml_iommufd *io, int device, uint32_t *id);

/* Allocate @io->ioas; and @io->hwpt, with dirty bits, for the device with this ID */
int dml_iommufd_alloc_ioas(struct dml_iommufd *io);
int dml_iommufd_alloc_hwpt(struct dml_iommufd *io, uint32_t id);

/* Have page tables of @io->ioas, in which nothing is mapped, map by single pages. */
int dml_iommufd_small_pages(const struct dml_iommufd *io);

/* Attach a bound device to @io->hwpt. */
int dml_iommufd_attach(const struct dml_iommufd *io, int device);

/* Check that @io->hwpt has dirty bits. @iova: one that can be mapped, page-aligned */
int dml_iommufd_check(struct dml_iommufd *io, uint64_t iova);

/**
 * dml_iommufd_group() - set the IOVAs and page sizes of a group whose page tables @io has
 * @io: with @ioas
 * @group: out: all of it; the caller frees @group->reserved.range
 */
int dml_iommufd_group(struct dml_iommufd *io, struct iommu_group *group);

#endif
