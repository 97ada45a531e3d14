/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: groups and domains that are played, so that what core does with them
 * runs in a process. Private to the engine and its tests.
 *
 * A domain is a table of what was mapped, call by call. It insists on what an
 * IOMMU insists on, and ends the program where core must not err: what is mapped
 * twice, beyond the aperture, not aligned; what is unmapped in part; a domain
 * freed with a group.
 */
#ifndef DMT_ENGINE_IOMMU_H
#define DMT_ENGINE_IOMMU_H

#include "host.h"

/**
 * struct iommu_group - a device behind an IOMMU, to be attached
 * @info: what the domain is like that it gets; @info.kind: which IOMMU
 * @reserved: its reserved IOVAs
 * @unsafe: dmt_group_check() refuses it
 * @aloof: its domain refuses other groups
 * @domain: that it's attached to; under the domains' lock
 *
 * All but @domain is the user's to fill in.
 */
struct iommu_group {
	struct dmt_domain_info info;
	struct dmt_reserved reserved;
	bool unsafe;
	bool aloof;
	struct iommu_domain *domain;
};

/* The usual one: all of 48 bits, 4 KiB, 2 MiB and 1 GiB, x86's MSI window */
void dmt_iommu_group_init(struct iommu_group *group);

/* As the VFIO core would. Return: 0 or -errno */
int dmatrack_engine_attach(struct dmatrack_engine *e, struct iommu_group *group);
void dmatrack_engine_detach(struct dmatrack_engine *e,
			    struct iommu_group *group);

/* The engine's own devices, that write by its functions, come and go. */
int dmatrack_engine_emulated(struct dmatrack_engine *e, bool there);

/*
 * The group's device reads or writes memory by itself. Return: bytes that were
 * copied: as far as its domain maps it with the right.
 */
size_t dmt_iommu_dma(struct iommu_group *group, uint64_t iova, void *data,
		     size_t size, bool write);

/* Pages that are accounted now; how many may be, or 0: any number */
long dmatrack_engine_locked(struct dmatrack_engine *e);
void dmatrack_engine_limit(struct dmatrack_engine *e, long npages);

#endif
