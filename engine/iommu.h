/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: simulated groups and domains, so that core's code for them
 * runs in a process. Private to the engine and its tests.
 *
 * A domain is a table of the mapped runs, one for each call. It ends the program if core breaks a
 * rule of IOMMUs: a range that is mapped twice, is beyond the aperture or isn't aligned; a run that
 * is unmapped in part; a domain that is freed with a group.
 */
#ifndef DMT_ENGINE_IOMMU_H
#define DMT_ENGINE_IOMMU_H

#include "host.h"

/**
 * struct iommu_group - a device behind an IOMMU, to be attached
 * @info: properties of its domain; @info.kind: identity of its IOMMU
 * @reserved: its reserved IOVAs
 * @unsafe: whether dmt_group_check() refuses it
 * @aloof: whether its domain refuses other groups
 * @domain: domain that it's attached to, or NULL; under the domains' lock
 *
 * The caller fills in all members except @domain.
 */
struct iommu_group {
	struct dmt_domain_info info;
	struct dmt_reserved reserved;
	bool unsafe;
	bool aloof;
	struct iommu_domain *domain;
};

/* Initialise a usual group: IOVAs of 48 bits, pages of 4 KiB, 2 MiB and 1 GiB, x86's MSI window */
void dmt_iommu_group_init(struct iommu_group *group);

/* Attach and detach a group, as the VFIO core does. Return: 0 or -errno */
int dmatrack_engine_attach(struct dmatrack_engine *e,
			   struct iommu_group *group);
void dmatrack_engine_detach(struct dmatrack_engine *e,
			    struct iommu_group *group);

/* Attach or detach the engine's own devices, which write by its functions. Return: 0 or -errno */
int dmatrack_engine_emulated(struct dmatrack_engine *e, bool there);

/*
 * Read or write memory as the group's device does by DMA. Return: number of bytes copied, which
 * ends where its domain maps nothing or does not allow the access
 */
size_t dmt_iommu_dma(struct iommu_group *group, uint64_t iova, void *data,
		     size_t size, bool write);

/* Return: number of pages accounted. Set the limit of it; 0: no limit */
long dmatrack_engine_locked(struct dmatrack_engine *e);
void dmatrack_engine_limit(struct dmatrack_engine *e, long npages);

#endif
