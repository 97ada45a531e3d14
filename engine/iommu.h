/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: groups and domains, so that core's code for them runs in a process. They are simulated,
 * or their page tables are real ones, which a struct dmt_tables fills. Private to the engine, the
 * library and tests.
 *
 * A domain is a table of the mapped runs, one for each call. It ends the program if core breaks a
 * rule of IOMMUs: a range that is mapped twice, is beyond the aperture or isn't aligned; a run that
 * is unmapped in part; a domain that is freed with a group.
 */
#ifndef DMT_ENGINE_IOMMU_H
#define DMT_ENGINE_IOMMU_H

#include "host.h"

/**
 * struct dmt_tables - page tables that a real IOMMU reads
 * @map: maps @size bytes at @vaddr; nothing is mapped at @iova. @prot: DMT_READ, DMT_WRITE. Return: 0
 *	 or -errno
 * @unmap: unmaps what one or more calls of @map have mapped. When it returns, no device can access
 *	   it any more. Return: false: something is still mapped
 * @track: as dmt_domain_track()
 * @take_dirty: finds dirty entries among those of one call of @map, [@iova, @last], and clears their
 *		bits. For each run of pages that were dirty @dirty is called, after the IOMMU has
 *		forgotten what it has cached of them. Return: 0 or -errno, with nothing cleared
 *
 * Calls are not concurrent.
 */
struct dmt_tables {
	int (*map)(struct dmt_tables *t, u64 iova, unsigned long vaddr,
		   u64 size, u32 prot);
	bool (*unmap)(struct dmt_tables *t, u64 iova, u64 size);
	int (*track)(struct dmt_tables *t, bool on);
	int (*take_dirty)(struct dmt_tables *t, u64 iova, u64 last,
			  void (*dirty)(void *arg, u64 iova, u64 last),
			  void *arg);
};

/**
 * struct iommu_group - a device behind an IOMMU, to be attached
 * @info: properties of its domain; @info.kind: identity of its IOMMU
 * @reserved: its reserved IOVAs
 * @tables: page tables of its domain, its own; NULL: they are simulated
 * @unsafe: whether dmt_group_check() refuses it
 * @aloof: whether its domain refuses other groups
 * @domain: domain that it's attached to, or NULL; under the domains' lock
 *
 * The caller fills in all members except @domain.
 */
struct iommu_group {
	struct dmt_domain_info info;
	struct dmt_reserved reserved;
	struct dmt_tables *tables;
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
