/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Prepare: memory for an IOMMU to map, pinned before the container's lock is taken.
 *
 * Pinning waits for pages that aren't there, however long that takes: they may have to be
 * read from a disk, or sent by a process that itself calls the container first. So all
 * of a mapping's memory is pinned without a lock, and noted as
 * runs of contiguous frames, in the order of its pages. Under the lock nothing is left
 * to do but to map the runs. It doesn't matter if the memory's owner puts other pages
 * there in between: it could have done so after the call as well.
 */
#ifndef DMT_CORE_PREPARE_H
#define DMT_CORE_PREPARE_H

#include "host.h"

/**
 * struct dmt_run - contiguous frames
 * @pfn: the first
 * @npages: how many
 * @frames: they are no memory but a device's, and not pinned
 */
struct dmt_run {
	unsigned long pfn;
	unsigned long npages;
	bool frames;
};

struct dmt_run_block;

/**
 * struct dmt_prepared - the memory of one mapping, pinned and counted
 * @next: in a list of the caller's
 * @host: of the container
 * @since: the mapping's, if there is one
 * @owner: the process whose memory it is
 * @iova: where it will be mapped, for the alignment of runs
 * @vaddr: where it is
 * @npages: how many pages
 * @write: to be written by devices
 * @credit: pages that needn't be counted, because drivers have pinned as many there
 * @pinned: out: pages of memory
 * @accounted: out: those of them that count against the owner's limit
 * @run: the last run, which may go on
 * @first: of the blocks of runs that go before
 * @last: likewise
 * @taken: runs of @first that were taken
 *
 * The caller sets what is above @pinned, and zeroes the rest.
 */
struct dmt_prepared {
	struct dmt_prepared *next;
	struct dmt_host *host;
	u64 since;
	struct dmt_owner owner;
	u64 iova;
	u64 vaddr;
	unsigned long npages;
	bool write;
	unsigned long credit;
	unsigned long pinned;
	unsigned long accounted;
	struct dmt_run run;
	struct dmt_run_block *first;
	struct dmt_run_block *last;
	unsigned int taken;
};

/**
 * dmt_prepare - pin the memory
 * @p: with @p->owner initialised
 *
 * Called without a lock, for it waits for pages that aren't there. Return: 0, -EFAULT,
 * -ENOMEM, -ENODEV (the owner is gone), -EINTR. Undone by dmt_prepared_drop(),
 * also if it fails.
 */
int dmt_prepare(struct dmt_prepared *p);

/* The first run that isn't taken. Return: false: all of them are. */
bool dmt_prepared_peek(const struct dmt_prepared *p, struct dmt_run *run);

/* That run's pins are the caller's. What was counted for it stays @p's. */
void dmt_prepared_take(struct dmt_prepared *p);

/* Unpin what wasn't taken, count @p->accounted pages back, and let go of the owner. */
void dmt_prepared_drop(struct dmt_prepared *p);

#endif
