/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Host: the engine's side of a container. Private to the engine and its tests.
 */
#ifndef DMT_ENGINE_HOST_H
#define DMT_ENGINE_HOST_H

#include "blocks.h"
#include "core/container.h"

/* Kinds of operations that can be made to fail, for tests */
#define DMT_FAULT_MEMORY (1U << 0) /* allocations */
#define DMT_FAULT_COPY	 (1U << 1) /* copies from and to the user */
#define DMT_FAULT_PIN	 (1U << 2) /* pins, accounting */
#define DMT_FAULT_IOMMU	 (1U << 3) /* attaching and mapping */

/**
 * struct dmt_host - the engine's side of one container
 * @checked: whether DMATRACK_ENGINE_CHECKED was given
 * @zero: descriptor of /dev/zero, for clearing memory that may not be there
 * @unmap: function of dmatrack_engine_on_unmap(), or NULL
 * @opaque: first argument of @unmap
 * @pinned: number of pages pinned
 * @locked: number of pages accounted
 * @blocks: memory that harvests let go of
 * @kept: number of pages that a driver held when they had to be unmapped; they are in @pinned
 *	  and @locked
 * @locked_max: limit of @locked; 0: no limit
 * @frame_of: for tests: returns the frame of the page at an address; NULL: it is at the address
 * @frames: for tests: addresses [start, end) that are not memory
 * @fault_kinds: DMT_FAULT_*: kinds of operations that @fault_nth counts
 * @fault_nth: number of these operations until one fails, which is counted too; 0: none fails
 */
struct dmt_host {
	bool checked;
	int zero;
	void (*unmap)(void *opaque, uint64_t iova, uint64_t size);
	void *opaque;
	long pinned;
	long locked;
	struct dmt_blocks blocks;
	long kept;
	long locked_max;
	struct page *(*frame_of)(unsigned long vaddr);
	struct {
		unsigned long start, end;
	} frames;
	unsigned int fault_kinds;
	long fault_nth;
};

/**
 * struct dmatrack_engine - a container in this process
 * @c: the container
 * @host: its host
 * @users: number of references: until it's destroyed, and of views
 */
struct dmatrack_engine {
	struct dmt_container c;
	struct dmt_host host;
	atomic_t users;
};

int dmt_host_init(struct dmt_host *host, bool checked);
void dmt_host_fini(struct dmt_host *host);

/*
 * For dmt_owner_init(): memory of the mapping that this thread is about to make; NULL: memory with
 * an address
 */
extern __thread const struct dmatrack_memory *dmt_memory_to_map;

/* Count an operation. Return: whether it must fail */
bool dmt_fault(struct dmt_host *host, unsigned int kind);

/*
 * Copy memory that other threads may write or read at the same time, as devices do, and late marks
 * in a bitmap that is being reported: TSan does not report it.
 */
void dmt_racy_copy(void *to, const void *from, size_t size);

#endif
