/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Another program whose memory is copied while it runs: see program.c for why the copy is exact.
 *
 *	program.c	opens it, stops it, and lets it go on
 *	areas.c		the areas of its address space, by /proc/PID/maps and smaps
 *	regions.c	what to copy: its container's mappings, and with --all its other memory
 *	memory.c	reads it
 *	writes.c	what its processors write
 *	standstill.c	stops it and its devices; undoes that whatever happens
 *	freeze.c	stops its threads
 *	busmaster.c	keeps PCI devices from writing
 *
 * Functions that return int return 0 or -errno, after an error message, unless said otherwise.
 */
#ifndef CLI_PROGRAM_PROGRAM_H
#define CLI_PROGRAM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dmatrack_copy.h"

/**
 * struct program_options - which program, and what of it
 * @pid: its process ID; 0: none
 * @fd: its descriptor of the container; or PROGRAM_ANY_FD
 * @all: true: all memory that it may write, not only what its devices can reach
 * @quiesce: true: its PCI devices' bus mastering is off while it is stopped
 */
struct program_options {
	uint64_t pid;
	uint64_t fd;
	bool all;
	bool quiesce;
};

#define PROGRAM_ANY_FD UINT64_MAX
#define PROGRAM_PAGE   4096u

/*
 * Memory that no device can reach has no IOVA. It is copied with its address plus this as IOVA: above
 * all IOVAs of IOMMUs, and all addresses of processes.
 */
#define PROGRAM_ADDRESSES (1ull << 63)

/**
 * struct program_area - an area of a process's address space
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
struct program_area {
	uint64_t first, end;
	uint64_t offset;
	uint64_t device, inode;
	bool writable, shared, huge, foreign;
};

/**
 * struct program_areas - the areas of a process, ascending
 * @area: array of them
 * @n: number of them
 */
struct program_areas {
	struct program_area *area;
	size_t n;
};

/* @process: descriptor of /proc/PID. @known: areas that were read before, or NULL. No message */
int areas_read(struct program_areas *a, int process,
	       const struct program_areas *known);
void areas_free(struct program_areas *a);
/* Return: the first area that ends behind @address; @a->area + @a->n: none does */
const struct program_area *areas_from(const struct program_areas *a,
				      uint64_t address);
/* Call @found for each part of @a that isn't in @b, with the same content. */
void areas_missing(const struct program_areas *a, const struct program_areas *b,
		   void *to,
		   void (*found)(void *to, uint64_t first, uint64_t end));

/**
 * struct program_span - memory of the program that is copied
 * @iova: first IOVA that it is copied as
 * @size: bytes
 * @address: its first address in the process
 * @blind: true: what processors write there isn't seen, so all of it counts as written
 */
struct program_span {
	uint64_t iova;
	uint64_t size;
	uint64_t address;
	bool blind;
};

struct standstill;

/**
 * struct program - another program, and its memory
 * @o: the options
 * @pid: its process ID
 * @process: descriptor of /proc/PID
 * @pidfd: descriptor of the process
 * @pagemap: descriptor of its pagemap; or -1
 * @name: name of its command; or NULL
 * @container: its container; NULL: it has none
 * @view: our view of it; or NULL
 * @log: what its processors write, with addresses as IOVAs; NULL: not known
 * @no_log: why there is no @log; or NULL
 * @mapping: the container's mappings
 * @nmappings: number of mappings
 * @areas: its areas, when it was opened and, once it is stopped, when it was
 * @reached: with --all: memory that devices can reach, which is copied by its IOVAs alone
 * @region: what is copied, ascending
 * @nregions: number of regions
 * @span: the memory in the regions, ascending by IOVA
 * @nspans: number of spans
 * @seen: those that @log reports, ascending by address
 * @nseen: number of them
 * @written: bitmap for each region, of pages found written and not yet reported
 * @still: stops it, and undoes that
 * @stopped: true: it is stopped
 * @stop_time: when it was stopped, in seconds since 1970
 * @busy_pages: pages that devices wrote, or held pinned, while it was stopped
 * @error: what memory_read() failed with; or 0
 */
struct program {
	const struct program_options *o;
	int pid;
	int process;
	int pidfd;
	int pagemap;
	char *name;
	struct dmatrack *container;
	struct dmatrack *view;
	struct dmatrack *log;
	char *no_log;
	struct dmatrack_mapping *mapping;
	size_t nmappings;
	struct program_areas areas;
	struct program_areas reached;
	struct dmatrack_region *region;
	unsigned int nregions;
	struct program_span *span;
	size_t nspans;
	struct program_span *seen;
	size_t nseen;
	uint64_t **written;
	struct standstill *still;
	bool stopped;
	int64_t stop_time;
	uint64_t busy_pages;
	int error;
};

/* @p: zeroed. Call program_close() even if this fails. Return: 0 or an exit status */
int program_open(struct program *p, const struct program_options *o);
void program_close(struct program *p);

/* Return: whether the process still exists */
bool program_lives(const struct program *p);

/* Stop the program, and make sure that its memory is as the copy has it. */
int program_stop(struct program *p);
/* Has it stood still since? */
int program_check(struct program *p);
/* Let it go on. May be called again. */
int program_go_on(struct program *p);

/* As dmatrack_precopy.dirty() and read(), with dmatrack_set_error() in place of a message */
int writes_dirty(struct program *p, unsigned int region, uint64_t *bitmap);
int memory_read(struct program *p, unsigned int region, uint64_t offset,
		void *buf, size_t size);

/* List the container's mappings. Without a container there are none. */
int regions_list(const struct program *p, struct dmatrack_mapping **m,
		 size_t *n);
/* Choose @p->region and @p->span. */
int regions_choose(struct program *p);
/* Order of spans by their addresses, for qsort(3) */
int regions_by_address(const void *x, const void *y);
/* Are the mappings as when the copy began, and all memory in regions? */
int regions_check(struct program *p, const struct program_areas *now);

/* Open @p->log. Return: 0, or an exit status */
int writes_open(struct program *p);
/* Memory in [@first, @end) has been written. */
void writes_mark(struct program *p, uint64_t first, uint64_t end);
void writes_close(struct program *p);

/* Standstill ------------------------------------------------------------------ */

/* How threads are stopped */
enum freeze_way {
	FREEZE_NOT,    /* they are not */
	FREEZE_CGROUP, /* the process's control group is frozen */
	FREEZE_SIGNAL, /* by SIGSTOP */
	FREEZE_WAS,    /* they were stopped before */
};

/**
 * struct freeze - stops the threads of a process
 * @process: descriptor of /proc/PID
 * @pidfd: descriptor of the process
 * @cgroup: descriptor of the folder of its control group; -1: none that can be frozen
 */
struct freeze {
	int process;
	int pidfd;
	int cgroup;
};

/* @f: @process and @pidfd are set */
void freeze_open(struct freeze *f);
void freeze_close(struct freeze *f);
/* Return: whether it is stopped */
bool freeze_is(const struct freeze *f);
/*
 * How is the process to be stopped? @was: whether it was stopped before the copy began: a harvest of its log
 * (by ptrace(2)) lets its threads run in the kernel for a moment, and then they stop again
 */
enum freeze_way freeze_choose(const struct freeze *f, int pid, bool was);
/* Stop it that way, and wait until all its threads have stopped. */
int freeze_begin(const struct freeze *f, enum freeze_way way);
/* Return: whether all threads are stopped */
bool freeze_holds(const struct freeze *f, enum freeze_way way);
/* Is the process ending, or has it? Then wait for that, up to 5 seconds. Only system calls */
bool freeze_ends(const struct freeze *f);
/* Undo it. Only system calls. Return: 0 or -errno, without a message */
int freeze_end(const struct freeze *f, enum freeze_way way);

/* A PCI device's configuration. @config: descriptor of its file in sysfs */
int busmaster_open(const char *address);
/* Return: 1 bus mastering is on, 0 off, or -errno; the next two: 0 or -errno. Without a message */
int busmaster_is_on(int config);
int busmaster_off(int config);
int busmaster_on(int config); /* only system calls */
/* Wait until the device has no transaction under way. Return: 0 or -ETIMEDOUT */
int busmaster_settle(int config);

/**
 * standstill_open() - prepare to stop a program
 * @s: out
 * @p: the program
 *
 * Starts the process that undoes the stop if this one dies.
 */
int standstill_open(struct standstill **s, const struct program *p);
int standstill_begin(struct standstill *s);
/* Return: whether it has been stopped all the time */
bool standstill_holds(const struct standstill *s);
/* Undo it, and end the process that would have. May be called again */
int standstill_end(struct standstill *s);
void standstill_close(struct standstill *s);
/* How it was stopped: "cgroup", "signal", "stopped already" */
const char *standstill_way(const struct standstill *s);
/* Number of devices whose bus mastering was switched off */
unsigned int standstill_devices(const struct standstill *s);

#endif
