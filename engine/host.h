/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The engine's side of a container. Private to the engine and its tests.
 */
#ifndef DMT_ENGINE_HOST_H
#define DMT_ENGINE_HOST_H

#include "core/container.h"

/* What can be made to fail, for tests */
#define DMT_FAULT_MEMORY	(1U << 0)	/* allocations */
#define DMT_FAULT_COPY		(1U << 1)	/* copies from and to the user */
#define DMT_FAULT_PIN		(1U << 2)	/* pins, accounting */
#define DMT_FAULT_IOMMU		(1U << 3)	/* attaching and mapping */

/**
 * struct dmt_host - whom a container's memory and devices belong to
 * @checked: DMATRACK_ENGINE_CHECKED
 * @zero: a descriptor of /dev/zero, for clearing memory that may not be there
 * @unmap: see dmatrack_engine_on_unmap()
 * @opaque: for it
 * @pinned: pages that are
 * @locked: pages that are accounted
 * @kept: of both, those that a driver held when their mapping had to go
 * @locked_max: most of them; 0: any number
 * @frame_of: where the page at an address really is, for tests; NULL: there
 * @frames: addresses that are not memory, for tests
 * @fault_kinds: DMT_FAULT_* that count
 * @fault_nth: the next so-manieth one fails; 0: none
 */
struct dmt_host {
	bool checked;
	int zero;
	void (*unmap)(void *opaque, uint64_t iova, uint64_t size);
	void *opaque;
	long pinned;
	long locked;
	long kept;
	long locked_max;
	struct page *(*frame_of)(unsigned long vaddr);
	struct {
		unsigned long start, end;
	} frames;
	unsigned int fault_kinds;
	long fault_nth;
};

struct dmatrack_engine {
	struct dmt_container c;
	struct dmt_host host;
};

int dmt_host_init(struct dmt_host *host, bool checked);
void dmt_host_fini(struct dmt_host *host);

/*
 * The memory that the mapping will have which this thread is about to make, for
 * dmt_owner_init(); NULL: it has an address
 */
extern __thread const struct dmatrack_memory *dmt_memory_to_map;

/* Is this the one that is to fail? */
bool dmt_fault(struct dmt_host *host, unsigned int kind);

/*
 * Devices write memory while others read it, and marks that come late set bits
 * in a bitmap that is being handed out: that's no news to TSan.
 */
void dmt_racy_copy(void *to, const void *from, size_t size);

#endif
