/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A log that something other than a type1 driver keeps, as a container of its own: that of a device
 * (log_device.c), of a process's page tables (log_process.c), of KVM (log_kvm.c).
 *
 * log.c has all that they share: an engine whose mappings are the ranges that are logged, which
 * keeps what has been read of the log until it is harvested.
 */
#ifndef DML_CONTAINER_LOG_H
#define DML_CONTAINER_LOG_H

#include <pthread.h>
#include <sys/types.h>

#include "backend.h"

struct dml_log;

/**
 * struct dml_log_ops - functions of a kind of log
 * @start: start logging, with a text on failure; what was written before is not logged
 * @stop: stop logging, as far as that is possible
 * @take: read the log of @iova to @last (inclusive), clear it, and call dml_log_mark() for what was
 *	  written; may do so for IOVAs outside, too. After an error the log is undefined, and any page
 *	  may have been written
 * @piece: return the number of bytes that one call of @take reads at most, or should; a power of two
 * @close: free all but the members of struct dml_log; doesn't stop
 *
 * All are called with the lock held, @start and @stop in turn, @take only in between. They return 0 or
 * -errno.
 */
struct dml_log_ops {
	int (*start)(struct dml_log *log);
	void (*stop)(struct dml_log *log);
	int (*take)(struct dml_log *log, uint64_t iova, uint64_t last);
	uint64_t (*piece)(const struct dml_log *log);
	void (*close)(struct dml_log *log);
};

/**
 * struct dml_log - a log, as a container; each kind embeds it
 * @base: the part common to all backends; @base.engine is NULL: nothing but marks can be made
 * @ops: functions of its kind
 * @range: array of the ranges that are logged, ascending, disjoint, of whole pages; belongs to the kind
 * @nr: number of them
 * @engine: the engine
 * @process: ID of the process that opened it: a child leaves the log alone
 * @lock: protects @tracking, @on and the log
 * @tracking: whether tracking is on
 * @on: whether it logs; while tracking is on, it doesn't if it couldn't be started again after an error
 */
struct dml_log {
	struct dmatrack base;
	const struct dml_log_ops *ops;
	struct dmatrack_range *range;
	uint32_t nr;
	struct dmatrack_engine *engine;
	pid_t process;
	pthread_mutex_t lock;
	bool tracking;
	bool on;
};

/**
 * dml_log_init() - initialise the common part
 * @log: zeroed
 * @ops: functions of its kind
 * @driver: what dmatrack_driver() is to return
 */
void dml_log_init(struct dml_log *log, const struct dml_log_ops *ops,
		  const char *driver);

/**
 * dml_log_open() - the last step of opening: make the engine
 * @t: out: the container; not set after an error
 * @log: log with its ranges, or not, after an error
 * @err: the error of the steps before, or 0
 *
 * Return: @err, or an error of this step; then @log is closed and freed.
 */
int dml_log_open(struct dmatrack **t, struct dml_log *log, int err);

/*
 * Sort ranges, and check them. Return: 0; -EINVAL: there are none, or one has not whole pages, or two
 * overlap
 */
int dml_log_sort(struct dmatrack_range *range, uint32_t nr);

/* Return: number of the first of @n ascending ranges that ends at or after @iova; @n: there is none */
uint32_t dml_log_find(const struct dmatrack_range *range, uint32_t n,
		      uint64_t iova);

/* Pages of IOVAs from @iova to @last, inclusive, were written. */
void dml_log_mark(struct dml_log *log, uint64_t iova, uint64_t last);

#endif
