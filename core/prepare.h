/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Prepare: memory for an IOMMU to map, pinned before the container's lock is taken.
 *
 * Pinning waits for pages that aren't there, however long that takes: they may have to be
 * read from a disk, or sent by a process that itself calls the container first. So all
 * of a mapping's memory is pinned without a lock, and recorded as
 * runs of contiguous frames, in the order of its pages. Under the lock the runs are only
 * mapped. It doesn't matter if the memory's owner maps other pages
 * there in between: it could do so after the call as well.
 */
#ifndef DMT_CORE_PREPARE_H
#define DMT_CORE_PREPARE_H

#include "host.h"

struct dmt_run_block;

/**
 * struct dmt_prepared - the memory of one mapping, pinned and counted
 * @next: next in a list of the caller
 * @host: host of the container
 * @since: @since of the mapping, if there is one already
 * @owner: the process whose memory it is
 * @iova: IOVA at which it will be mapped, for the alignment of runs
 * @vaddr: address of the memory in the owner
 * @npages: number of pages
 * @write: whether devices will write to it
 * @credit: number of pages that need not be accounted, because drivers have pinned as many there
 * @pinned: out: number of pages pinned
 * @accounted: out: number of them that are counted against the owner's limit
 * @run: the last run, which may still grow
 * @first: first block of the runs before @run
 * @last: last block of these
 * @taken: number of runs of @first that were taken
 *
 * The caller sets the members before @pinned, and the others to 0.
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
 * @p: memory to pin; @p->owner is initialised
 *
 * Called without a lock, because it waits for pages that aren't there. Return: 0; -EFAULT,
 * -ENOMEM, -ENODEV (the owner has ended), -EINTR. Call dmt_prepared_drop() afterwards, after an
 * error too.
 */
int dmt_prepare(struct dmt_prepared *p);

/**
 * dmt_prepared_peek - get the first runs that were not taken
 * @p: prepared memory
 * @runs: out: runs that dmt_domain_map() can map at once
 * @n: room in @runs
 *
 * Return: number of runs; 0: all were taken.
 */
unsigned int dmt_prepared_peek(const struct dmt_prepared *p,
			       struct dmt_run *runs, unsigned int n);

/* Take @n of these runs: their pins belong to the caller; the accounting stays with @p. */
void dmt_prepared_take(struct dmt_prepared *p, unsigned int n);

/* Unpin the runs that were not taken, undo the accounting of @p->accounted pages, drop the owner. */
void dmt_prepared_drop(struct dmt_prepared *p);

#endif
