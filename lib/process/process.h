/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Another process whose memory is copied while it runs: see process.c for why the copy is exact.
 *
 *	process.c	opens it, stops it, and lets it go on
 *	copy.c		copies it, by a pre-copy
 *	areas.c		the areas of its address space, by /proc/PID/maps and smaps
 *	extent.c	what to copy: its container's mappings, and all its other memory if wanted
 *	memory.c	reads it
 *	writes.c	what its processors write
 *	standstill.c	stops it and its devices; undoes that whatever happens
 *	halt.c		stops its threads
 *	devices.c	which PCI devices it uses
 *	busmaster.c	keeps PCI devices from writing
 *
 * Functions that return int return 0 or -errno with a text for dmatrack_error(), unless said otherwise.
 */
#ifndef DML_PROCESS_PROCESS_H
#define DML_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dmatrack_copy.h"
#include "lib/util/error.h"

#define DML_PROCESS_PAGE 4096u

/**
 * struct dml_area - an area of a process's address space
 * @first: its first address
 * @end: the address after it
 * @offset: offset in the file of @first, in bytes
 * @device: number of the file's device, as stat(2) has it
 * @inode: number of the file; 0: no file
 * @writable: true: the process may write to it
 * @shared: true: writes go to the file, or to memory shared with other processes
 * @huge: true: pages of hugetlbfs
 * @foreign: true: not memory, but a device's
 */
struct dml_area {
	uint64_t first, end;
	uint64_t offset;
	uint64_t device, inode;
	bool writable, shared, huge, foreign;
};

/**
 * struct dml_areas - the areas of a process, ascending
 * @area: array of them
 * @n: number of them
 */
struct dml_areas {
	struct dml_area *area;
	size_t n;
};

/* @process: descriptor of /proc/PID. @known: areas that were read before, or NULL. No text */
int dml_areas_read(struct dml_areas *a, int process,
		   const struct dml_areas *known);
void dml_areas_free(struct dml_areas *a);
/* Return: the first area that ends behind @address; @a->area + @a->n: none does */
const struct dml_area *dml_areas_from(const struct dml_areas *a,
				      uint64_t address);
/* Call @found for each part of @a that isn't in @b, with the same content. */
void dml_areas_missing(const struct dml_areas *a, const struct dml_areas *b,
		       void *to,
		       void (*found)(void *to, uint64_t first, uint64_t end));

struct dml_standstill;

/**
 * struct dmatrack_process - another process, and its memory
 * @pid: its process ID
 * @fd: its descriptor of the container; -1: the only one
 * @all: true: all memory that it may write, not only what its devices can reach
 * @quiesce: true: its PCI devices' bus mastering is off while it is stopped
 * @process: descriptor of /proc/PID
 * @pidfd: descriptor of the process
 * @pagemap: descriptor of its pagemap; or -1
 * @container: its container; NULL: it has none
 * @view: our view of it; or NULL
 * @log: what its processors write, with addresses as IOVAs; NULL: not known
 * @no_log: why there is no @log; ""
 * @mapping: the container's mappings
 * @nmappings: number of mappings
 * @areas: its areas, when it was opened and, once it is stopped, when it was
 * @reached: with @all: memory that devices can reach, which is copied by its IOVAs alone
 * @region: what is copied, ascending
 * @nregions: number of regions
 * @span: the memory in the regions, ascending by IOVA
 * @nspans: number of spans
 * @seen: those that @log reports, ascending by address
 * @nseen: number of them
 * @written: bitmap for each region, of pages found written and not yet reported
 * @still: stops it, and undoes that
 * @stopped: true: it is stopped
 * @copied: true: it was copied; its mappings may have changed since it was opened
 * @info: what dmatrack_process_get_info() returns, but for the members that are above, too
 */
struct dmatrack_process {
	int pid;
	int fd;
	bool all;
	bool quiesce;
	int process;
	int pidfd;
	int pagemap;
	struct dmatrack *container;
	struct dmatrack *view;
	struct dmatrack *log;
	struct dml_text no_log;
	struct dmatrack_mapping *mapping;
	size_t nmappings;
	struct dml_areas areas;
	struct dml_areas reached;
	struct dmatrack_region *region;
	unsigned int nregions;
	struct dmatrack_process_span *span;
	size_t nspans;
	struct dmatrack_process_span *seen;
	size_t nseen;
	uint64_t **written;
	struct dml_standstill *still;
	bool stopped;
	bool copied;
	struct dmatrack_process_info info;
};

/* Return: whether the process still exists */
bool dml_process_lives(const struct dmatrack_process *p);

/* Stop the process, and make sure that its memory is as the copy has it. */
int dml_process_stop(struct dmatrack_process *p);
/* Has it stood still since? */
int dml_process_check(struct dmatrack_process *p);
/* Let it go on. May be called again. */
int dml_process_go_on(struct dmatrack_process *p);

/* Read whole pages of a region, given by IOVA. */
int dml_memory_read(const struct dmatrack_process *p, uint64_t iova, void *buf,
		    size_t size);

/* List the container's mappings. Without a container there are none. */
int dml_extent_mappings(const struct dmatrack_process *p,
			struct dmatrack_mapping **m, size_t *n);
/* Choose @p->region and @p->span. */
int dml_extent_choose(struct dmatrack_process *p);
/* Order of spans by their addresses, for qsort(3) */
int dml_extent_by_address(const void *x, const void *y);
/* Are the mappings as when the copy began, and all memory in regions? */
int dml_extent_check(struct dmatrack_process *p, const struct dml_areas *now);

/* Open @p->log. */
int dml_writes_open(struct dmatrack_process *p);
/* As dmatrack_precopy.dirty() */
int dml_writes_dirty(struct dmatrack_process *p, unsigned int region,
		     uint64_t *bitmap);
/* Memory in [@first, @end) has been written. */
void dml_writes_mark(struct dmatrack_process *p, uint64_t first, uint64_t end);
void dml_writes_close(struct dmatrack_process *p);

/* Standstill ------------------------------------------------------------------ */

/**
 * struct dml_halt - stops the threads of a process
 * @process: descriptor of /proc/PID
 * @pidfd: descriptor of the process
 * @cgroup: descriptor of the folder of its control group; -1: none that can be frozen
 */
struct dml_halt {
	int process;
	int pidfd;
	int cgroup;
};

/* @h: @process and @pidfd are set */
void dml_halt_open(struct dml_halt *h);
void dml_halt_close(struct dml_halt *h);
/* Return: whether it is stopped */
bool dml_halt_is(const struct dml_halt *h);
/*
 * How is the process to be stopped? @was: whether it was stopped before the copy began: a harvest of its log
 * (by ptrace(2)) lets its threads run in the kernel for a moment, and then they stop again
 */
enum dmatrack_process_way dml_halt_choose(const struct dml_halt *h, int pid,
					  bool was);
/* Stop it that way, and wait until all its threads have stopped. */
int dml_halt_begin(const struct dml_halt *h, enum dmatrack_process_way way);
/* Return: whether all threads are stopped */
bool dml_halt_holds(const struct dml_halt *h, enum dmatrack_process_way way);
/* Is the process ending, or has it? Then wait for that, up to 5 seconds. Only system calls */
bool dml_halt_ends(const struct dml_halt *h);
/* Undo it. Only system calls. Return: 0 or -errno, without a text */
int dml_halt_end(const struct dml_halt *h, enum dmatrack_process_way way);

/* Call @found for each PCI device that VFIO gives to programs in a group that @pid has open, until it fails. */
int dml_devices_each(int pid, void *to,
		     int (*found)(void *to, const char *address));

/* A PCI device's configuration. @config: descriptor of its file in sysfs; or -errno. Without a text */
int dml_busmaster_open(const char *address);
/* Return: 1 bus mastering is on, 0 off, or -errno; the next two: 0 or -errno. Without a text */
int dml_busmaster_is_on(int config);
int dml_busmaster_off(int config);
int dml_busmaster_on(int config); /* only system calls */
/* Wait until the device has no transaction under way. Return: 0 or -ETIMEDOUT, without a text */
int dml_busmaster_settle(int config);

/**
 * dml_standstill_open() - prepare to stop a process
 * @s: out
 * @p: the process
 *
 * Starts the process that undoes the stop if this one dies.
 */
int dml_standstill_open(struct dml_standstill **s,
			const struct dmatrack_process *p);
int dml_standstill_begin(struct dml_standstill *s);
/* Return: whether it has been stopped all the time */
bool dml_standstill_holds(const struct dml_standstill *s);
/* Undo it, and end the process that would have. May be called again */
int dml_standstill_end(struct dml_standstill *s);
void dml_standstill_close(struct dml_standstill *s);
/* How it was stopped */
enum dmatrack_process_way dml_standstill_way(const struct dml_standstill *s);
/* Number of devices whose bus mastering was switched off */
unsigned int dml_standstill_devices(const struct dml_standstill *s);

#endif
