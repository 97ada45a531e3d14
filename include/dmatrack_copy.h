/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack: copy memory while devices write to it.
 *
 *	containers, memory --> pre-copy --> a destination
 *	                                     |- an image: a file
 *	                                     |- a sender ~~ channel ~~ a receiver --> a destination
 *	                                     '- the program's own
 *
 * Pre-copy copies all of the memory to a destination, then, round by round, the pages
 * written meanwhile, until so little is left that the devices can be stopped for it. A
 * destination is a few functions. An image and a sender are destinations; a receiver
 * writes the memory that it receives to a destination of its own.
 *
 * Functions return 0 or a negative errno, unless said otherwise; dmatrack_error() then
 * returns an error message. IOVAs and sizes are in bytes, times in nanoseconds.
 *
 * Structures that a program fills in begin with their size in bytes, so that later versions of
 * the library can add members: set it to sizeof, and members that you don't use to 0. Members
 * missing from a shorter structure, of an older program, are taken as 0. A longer one, of a newer
 * program, is accepted if all members that the library doesn't know are 0; else the call fails
 * with -E2BIG. One that is too short for the members that every program needs (up to @stop,
 * @finish, @write of a channel, @tls, @connect, @accept) fails with -EINVAL.
 */
#ifndef DMATRACK_COPY_H
#define DMATRACK_COPY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dmatrack.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An errno that no system call returns: the copy is complete, exact and has its name, but a
 * crash of the machine may undo it. Like every error it is returned negative.
 */
#define DMATRACK_NOT_DURABLE ESTRPIPE

/* Memory and destinations ------------------------------------------------------ */

/**
 * struct dmatrack_region - memory to copy
 * @iova: first IOVA of the region, page-aligned; it also identifies the memory at the
 *	  destination
 * @size: bytes, whole pages, not 0; must not go beyond the last IOVA
 * @vaddr: address of the memory in this process; not used with @read of struct
 *	   dmatrack_precopy
 *
 * On the stock driver a region must begin and end where mappings do.
 */
struct dmatrack_region {
	uint64_t iova;
	uint64_t size;
	void *vaddr;
};

/* Largest number of regions of a copy; they are ascending by IOVA, without overlap */
#define DMATRACK_REGIONS_MAX 4096u

/* Largest number of bytes of a write to a destination, and of a page */
#define DMATRACK_WRITE_MAX (2u << 20)

struct dmatrack_dest;

/* The outcome of a copy */
enum dmatrack_outcome {
	DMATRACK_NOT_COPIED, /* the copy is not complete, and never will be */
	DMATRACK_COPIED,     /* the copy is complete */
	DMATRACK_UNKNOWN, /* the answer was lost: the copy may be complete, or become so */
};

/**
 * struct dmatrack_dest_ops - functions of a destination
 * @size: sizeof(struct dmatrack_dest_ops)
 * @begin: called first, with the regions to be copied. @regions is valid only during this call.
 *	   All memory at the destination reads as zeros from now on. A receiver calls it again
 *	   if another copy begins in place of one that broke off
 * @write: write @data, 1 to DMATRACK_WRITE_MAX bytes in whole pages, within one region. @data
 *	   does not change during this call, and is not valid after it
 * @zero: make this range of one region read as zeros again
 * @round: called at the end of each round. NULL: nothing to do
 * @finish: everything was written, and is exact: complete the copy. Not called if the copy
 *	    fails or is given up. May be called again, by another process too, if it isn't known
 *	    whether it was done. After an error the copy isn't complete, and becomes so only by
 *	    another call; except -EINPROGRESS (it isn't known whether the copy is complete) and
 *	    -DMATRACK_NOT_DURABLE (it is complete, but a crash of the machine may undo it)
 * @lost: called after another function has returned -EAGAIN: connect to the destination again,
 *	  and call @again for each range that was written and did not arrive, to have it copied
 *	  again. The function that returned -EAGAIN has done nothing. NULL: no function returns
 *	  -EAGAIN, and the memory is not needed after the last page was written
 * @save: save @state, up to DMATRACK_STATE_MAX bytes, so that it outlasts this process, as the
 *	  written data does. NULL: not supported
 * @load: load the state that was saved last, by this process or an earlier one. Returns its
 *	  size in bytes; 0: there is none. May be called before @begin, which isn't called if the
 *	  copy is resumed. NULL: the same as 0
 * @close: free the destination; if it was not finished, there is no copy
 * @digest: compute the digest of the copy, as dmatrack_digest() does of memory; of data that
 *	    another process wrote, by reading it back. NULL: not supported
 * @prepare: do all work of @finish that can be undone: write everything to disk, check whether
 *	     the name is free. Then @finish is called, or the copy goes on, or is given up. NULL:
 *	     nothing to do
 * @recall: read the copy back from where it is stored, not from memory: call @tell for each piece
 *	    that may be other than zeros, ascending, 1 to DMATRACK_WRITE_MAX bytes in whole pages
 *	    of one region, and return its errors. By this a copy that another process began is
 *	    compared before it is resumed. NULL: not supported, and such a copy begins again
 * @attach: called before @begin, by a copy that can compare: gives the destination a function
 *	    @holds, to be called with @copy, within @lost, for ranges of whole pages of one region
 *	    whose contents the destination has proven, with XXH3's 128 bits of each page, or NULL
 *	    for zeros. Pages that differ from memory are copied again; an error ends the copy. NULL:
 *	    not needed
 * @limit: called when the devices have been stopped: from now on functions return -ETIMEDOUT
 *	   instead of waiting beyond the time @when, in ns of CLOCK_MONOTONIC; UINT64_MAX: they run
 *	   again. NULL: not supported
 * @outcome: called after an error, as the last function before @close. Returns enum
 *	     dmatrack_outcome. NULL: DMATRACK_NOT_COPIED, unless the error is -EINPROGRESS
 * @describe: keep a text of at most DMATRACK_DESCRIPTION_MAX bytes with the copy; called before @finish,
 *	      the last one counts. @text is not valid after the call. NULL: not supported; a receiver
 *	      then drops the text
 *
 * For a pre-copy, functions after @finish may be left out of @size; for a receiver, those after
 * @zero.
 *
 * They are called by one thread at a time; a receiver calls @write and @zero from a thread of its
 * own, the others from the thread that called dmatrack_receive(). They return 0 (except @load and
 * @outcome), -EAGAIN if there is a @lost, or any other negative errno, which ends the copy.
 */
#define DMATRACK_STATE_MAX	 256u
#define DMATRACK_DESCRIPTION_MAX (16u << 20)
struct dmatrack_dest_ops {
	size_t size;
	int (*begin)(struct dmatrack_dest *d,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size);
	int (*write)(struct dmatrack_dest *d, uint64_t iova, const void *data,
		     size_t size);
	int (*zero)(struct dmatrack_dest *d, uint64_t iova, uint64_t size);
	int (*round)(struct dmatrack_dest *d);
	int (*finish)(struct dmatrack_dest *d);
	int (*lost)(struct dmatrack_dest *d,
		    void (*again)(void *opaque, uint64_t iova, uint64_t size),
		    void *opaque);
	int (*save)(struct dmatrack_dest *d, const void *state, size_t size);
	int (*load)(struct dmatrack_dest *d, void *state, size_t size);
	void (*close)(struct dmatrack_dest *d);
	int (*digest)(struct dmatrack_dest *d, uint8_t digest[16]);
	int (*prepare)(struct dmatrack_dest *d);
	int (*outcome)(struct dmatrack_dest *d);
	void (*limit)(struct dmatrack_dest *d, uint64_t when);
	int (*recall)(struct dmatrack_dest *d,
		      int (*tell)(void *opaque, uint64_t iova, const void *data,
				  size_t size),
		      void *opaque);
	void (*attach)(struct dmatrack_dest *d,
		       int (*holds)(void *copy, uint64_t iova, uint64_t size,
				    const uint8_t (*hashes)[16]),
		       void *copy);
	int (*describe)(struct dmatrack_dest *d, const char *text);
};

/**
 * struct dmatrack_dest - a destination; a program's own is a structure with this first member
 * @ops: functions of the destination
 */
struct dmatrack_dest {
	const struct dmatrack_dest_ops *ops;
};

/* Calls @d->ops->close(), if there is one; @d may be NULL. */
void dmatrack_dest_close(struct dmatrack_dest *d);

/**
 * dmatrack_dest_describe() - give a copy a description
 * @d: destination of a copy that isn't finished yet
 * @text: the description, at most DMATRACK_DESCRIPTION_MAX bytes; copied. The command's are JSON
 *
 * An image keeps it (dmatrack_image_description()); a sender sends it with the end of the copy, for the
 * receiver's destination. The last one counts. Libraries before version 0.2 can't read an image with a
 * description.
 *
 * Return: 0; -EINVAL (@d or @text is NULL, or @text is too long), -EOPNOTSUPP (@d keeps none),
 * -ENOMEM, or an error of @d->ops->describe().
 */
int dmatrack_dest_describe(struct dmatrack_dest *d, const char *text);

/* Pre-copy --------------------------------------------------------------------- */

/* Compare pages by content, and send only those that changed */
#define DMATRACK_REFINE (1u << 0)
/*
 * If the copy doesn't converge, or reaches @max_rounds: fail with -ETIME, and leave the devices
 * running. Without it they are stopped then, for as long as it takes.
 */
#define DMATRACK_GIVE_UP (1u << 1)

/* Why the devices were stopped */
enum dmatrack_reason {
	DMATRACK_RUNNING,  /* they were not stopped */
	DMATRACK_FITS,	   /* the predicted downtime fits the allowed one */
	DMATRACK_DIVERGES, /* the copy does not converge */
	DMATRACK_ROUNDS,   /* the number of rounds reached its limit */
	DMATRACK_ASKED, /* a function of the program returned DMATRACK_STOP_NOW */
};

/**
 * struct dmatrack_source - figures of a source: of what reports written pages
 * @container: one of the containers; NULL: the function dirty()
 * @pages: pages that it reported for this round, whether others did too or not
 * @total: the same for all rounds so far; a page counts in each
 * @harvest: time that its harvests took so far, in ns
 */
struct dmatrack_source {
	const struct dmatrack *container;
	uint64_t pages;
	uint64_t total;
	uint64_t harvest;
};

/**
 * struct dmatrack_round - figures of one round, and a forecast
 * @number: number of the round; 0 is the first, which copies everything
 * @last: 1 if the devices are stopped: the last round; else 0
 * @begin: time when the round began, in ns since the copy began
 * @harvest: time that the harvest took, in ns
 * @copy: time that reading, comparing and writing took, in ns
 * @dirty: pages that the harvest reported
 * @sent: pages written to the destination
 * @zero: pages that were not sent because they are zero
 * @same: pages that were not sent because their content has not changed since it was sent
 * @bytes: bytes written to the destination: @sent times the page size
 * @rate: bandwidth in bytes a second: of this round, or of the latest that sent enough to
 *	  measure it; 0: not known yet
 * @dirty_rate: bytes a second that became dirty since the previous harvest; with refinement,
 *		that changed. In the last round: until the devices were stopped
 * @left: estimate of the bytes still to send after this round
 * @downtime: predicted downtime in ns if the devices were stopped now; UINT64_MAX: not known
 *	      yet. In the last round: the real one, without finishing
 * @bitmaps: a bitmap for each region, of the pages reported for this round, a bit for each page.
 *	     It belongs to the library, and is valid only in this call. NULL if it isn't complete
 * @sent_bitmaps: with DMATRACK_REFINE: bitmaps of those reported pages that had changed, and so
 *		  were written to the destination in this round, or cleared there. NULL without it
 */
struct dmatrack_round {
	uint32_t number;
	uint32_t last;
	uint64_t begin;
	uint64_t harvest;
	uint64_t copy;
	uint64_t dirty;
	uint64_t sent;
	uint64_t zero;
	uint64_t same;
	uint64_t bytes;
	uint64_t rate;
	uint64_t dirty_rate;
	uint64_t left;
	uint64_t downtime;
	const uint64_t *const *bitmaps;
	const uint64_t *const *sent_bitmaps;
	const struct dmatrack_source *sources;
	uint32_t nsources;
	uint32_t reserved;
};

/**
 * struct dmatrack_totals - figures of a whole copy
 * @reason: why the devices were stopped; enum dmatrack_reason
 * @stopped: 1 if the devices have been stopped by stop(), and not started again. After an error
 *	     other than -EINPROGRESS the program may start them again
 * @rounds: number of rounds, including the first and the last
 * @resumed: number of times that the connection to the destination broke and was made again
 * @pages: pages of all regions
 * @sent, @zero, @same, @bytes: as in a round, for all rounds
 * @time: duration of the copy, in ns
 * @downtime: real downtime in ns: from the call of stop() until that of release(), or, without
 *	      that, until the destination was finished
 * @stop: part of @downtime that the call of stop() took
 * @last_harvest: part of @downtime that the last harvest took
 * @last_copy: part of @downtime that copying what was left took
 * @finish: part of @downtime that the destination took to finish: to compare, to write to disk
 * @memory: largest number of bytes that the copy needed for bitmaps and hashes
 */
struct dmatrack_totals {
	uint32_t reason;
	uint32_t stopped;
	uint32_t rounds;
	uint32_t resumed;
	uint64_t pages;
	uint64_t sent;
	uint64_t zero;
	uint64_t same;
	uint64_t bytes;
	uint64_t time;
	uint64_t downtime;
	uint64_t stop;
	uint64_t last_harvest;
	uint64_t last_copy;
	uint64_t finish;
	uint64_t memory;
};

/* What has happened to a copy */
enum dmatrack_event_kind {
	DMATRACK_EVENT_BEGIN,	    /* the copy begins */
	DMATRACK_EVENT_ROUND_BEGIN, /* a round begins */
	DMATRACK_EVENT_ROUND_END,   /* a round has ended */
	DMATRACK_EVENT_STOP,	    /* the devices stand still */
	DMATRACK_EVENT_RESUME,	    /* the devices run again */
	DMATRACK_EVENT_LOST,	  /* the connection to the destination broke */
	DMATRACK_EVENT_CONNECTED, /* it was made again */
	DMATRACK_EVENT_END,	  /* the copy has ended */
};

/**
 * struct dmatrack_event - an event of a copy
 * @kind: enum dmatrack_event_kind. Later versions may add kinds
 * @error: of DMATRACK_EVENT_END what dmatrack_precopy_run() is about to return; else 0
 * @time: time of the event, in ns since the copy began
 * @round: of DMATRACK_EVENT_ROUND_BEGIN the round with its @number, @last, @begin, @harvest and
 *	   @dirty; of DMATRACK_EVENT_ROUND_END as for round(), without bitmaps; else NULL
 */
struct dmatrack_event {
	uint32_t kind;
	int32_t error;
	uint64_t time;
	const struct dmatrack_round *round;
};

/* Return values of progress() and round(); a negative errno ends the copy */
#define DMATRACK_GO_ON	  0
#define DMATRACK_STOP_NOW 1 /* stop the devices after this round */

/**
 * struct dmatrack_precopy - what to copy, the destination, and limits
 * @size: sizeof(struct dmatrack_precopy)
 * @containers: the sources: containers whose devices write, and logs that are opened as containers
 *		(dmatrack_open_device_log() and others), each for the regions that are mapped in it.
 *		They must not be tracking, and nothing else may start or harvest them meanwhile. All
 *		are started, or none. There may be none, if @dirty reports all writes
 * @ncontainers: number of @containers
 * @nregions: number of @regions
 * @regions: the memory to copy. Parts without a mapping in a container are clean there
 * @dest: the destination; the caller closes it
 * @flags: DMATRACK_REFINE, DMATRACK_GIVE_UP
 * @max_rounds: number of rounds allowed before the last; 0: 30
 * @bandwidth: limit of the bandwidth in bytes a second, except in the last round; 0: no limit
 * @downtime: allowed downtime in ns; 0: 300 ms
 * @page_size: bytes of a page: a power of two, from the smallest that all containers can track
 *	       to DMATRACK_WRITE_MAX; 0: the smallest
 * @reserved: 0
 * @opaque: first argument of the functions
 * @stop: stop the devices, and everything else that writes to the memory. When it has returned
 *	  0, nothing writes to it any more. Must not be NULL
 * @dirty: report pages of a region that something other than devices has written, processors
 *	   for instance (KVM's dirty log), since the last call for that region: set their bits in
 *	   @bitmap, one for each page of @page_size, and clear none. In the first call @bitmap is
 *	   NULL: begin to log writes. The last call comes after @stop. NULL: there are no such
 *	   writes
 * @read: copy @size bytes at @offset of a region to @buf; the memory may be written meanwhile.
 *	  NULL: the memory is at the region's @vaddr
 * @progress: called some ten times a second with the round so far, but not during a harvest or
 *	      a function of the destination. May be NULL
 * @round: called after each round. May be NULL
 * @standstill: ns from the call of @stop in which the copy must be finished; after that it is
 *		given up with -ETIMEDOUT. Not less than @downtime; 0: 30 s, or five times @downtime
 *		if that is more; UINT64_MAX: no limit. A call of a destination other than a sender
 *		may take longer
 * @start: start the devices again. Called if the copy fails after @stop has returned 0, unless
 *	   there is a copy (-DMATRACK_NOT_DURABLE) or it isn't known whether there is one
 *	   (-EINPROGRESS). NULL: they stay stopped
 * @release: start the devices again, because the memory is not needed any more: for a copy beside
 *	     which they go on, such as a snapshot. If it returns a negative errno, they stay stopped,
 *	     and the copy goes on. NULL: they stay stopped, as for a migration
 * @event: called for each event of the copy, for programs that show or log it: it can't change
 *	   anything. @e is valid only in this call. May be NULL
 *
 * @release is called once. If the destination has no lost(), that is when it has been given all
 * pages, before its last round() and its finish(); if these fail, there is no copy, and the devices
 * run. A destination with lost() (a sender) may ask for pages again, or compare the memory, until
 * it is finished, so @release is called after finish(). It isn't called if the copy fails before
 * (@start is), or if it isn't known whether there is one.
 *
 * For a migration @release must be NULL: while there is a copy, or may be one, devices that run
 * here could run at both ends. Only @start starts them then.
 *
 * All functions are called in the thread that called dmatrack_precopy_run().
 */
struct dmatrack_precopy {
	size_t size;
	struct dmatrack *const *containers;
	const struct dmatrack_region *regions;
	uint32_t ncontainers;
	uint32_t nregions;
	struct dmatrack_dest *dest;
	uint32_t flags;
	uint32_t max_rounds;
	uint64_t bandwidth;
	uint64_t downtime;
	uint32_t page_size;
	uint32_t reserved;
	void *opaque;
	int (*stop)(void *opaque);
	int (*dirty)(void *opaque, unsigned int region, uint64_t *bitmap);
	int (*read)(void *opaque, unsigned int region, uint64_t offset,
		    void *buf, size_t size);
	int (*progress)(void *opaque, const struct dmatrack_round *round);
	int (*round)(void *opaque, const struct dmatrack_round *round);
	uint64_t standstill;
	int (*start)(void *opaque);
	int (*release)(void *opaque);
	void (*event)(void *opaque, const struct dmatrack_event *e);
};

/**
 * dmatrack_precopy_run() - copy memory while devices write to it
 * @p: what to copy, and how
 * @totals: out: figures of the copy, always filled in, after an error too; may be NULL
 *
 * Starts tracking, copies, stops the devices, copies the rest, finishes the destination, stops
 * tracking.
 *
 * Return: 0: the destination holds exactly what the memory held when stop() had returned; or a
 * negative errno; then tracking is stopped, and the destination is not finished. There are two
 * exceptions: -EINPROGRESS (it is not known whether the copy is complete, DMATRACK_UNKNOWN: do not
 * start the devices again before it is known that there is no copy) and -DMATRACK_NOT_DURABLE (it
 * is complete). Other errors: -ETIMEDOUT (not finished within @standstill), -EINVAL (an invalid
 * value in @p), -E2BIG (@p or the destination's functions have a member that this library doesn't
 * know, and that is not 0), -EBUSY (a container is tracking already), -EOPNOTSUPP (a container's
 * driver can't track), -ESTALE (memory of a region was unmapped, the container's log was
 * harvested, or tracking was stopped meanwhile, so the copy can't be exact), -ENOMEM, -ETIME (the
 * copy did not converge: DMATRACK_GIVE_UP, @standstill), or an error of a function of @p or of
 * the destination, or of a call on a container.
 */
int dmatrack_precopy_run(const struct dmatrack_precopy *p,
			 struct dmatrack_totals *totals);

/* Copying another process ---------------------------------------------------------- */

struct dmatrack_process;

/* All memory that it may write to, not only what its devices can reach; it may be without a container then */
#define DMATRACK_PROCESS_ALL (1u << 0)
/*
 * While it is stopped, bus mastering is off in its PCI devices for which it was on (of the groups that it has
 * open), so that they can't write
 */
#define DMATRACK_PROCESS_QUIESCE (1u << 1)

/**
 * struct dmatrack_process_config - which process is to be copied, and what of it
 * @size: sizeof(struct dmatrack_process_config)
 * @pid: its process ID; not this process's
 * @fd: its descriptor of the container, whose driver must have views; -1: the only container it has
 * @flags: DMATRACK_PROCESS_ALL, DMATRACK_PROCESS_QUIESCE
 * @reserved: 0
 */
struct dmatrack_process_config {
	size_t size;
	int32_t pid;
	int32_t fd;
	uint32_t flags;
	uint32_t reserved;
};

/* Memory that no device can reach has no IOVA: it is copied with its address plus this as IOVA. */
#define DMATRACK_PROCESS_ADDRESSES (1ull << 63)

/**
 * struct dmatrack_process_span - memory of a process that is copied
 * @iova: first IOVA that it is copied as
 * @size: bytes
 * @address: its first address in the process
 * @blind: 1: what processors write there can't be seen, so all of it counts as written in each round; else 0
 * @reserved: 0
 */
struct dmatrack_process_span {
	uint64_t iova;
	uint64_t size;
	uint64_t address;
	uint32_t blind;
	uint32_t reserved;
};

/* How a process is stopped */
enum dmatrack_process_way {
	DMATRACK_PROCESS_RUNS,		 /* it has not been stopped yet */
	DMATRACK_PROCESS_FROZEN,	 /* its control group was frozen */
	DMATRACK_PROCESS_SIGNALLED,	 /* by SIGSTOP */
	DMATRACK_PROCESS_STOPPED_BEFORE, /* it was stopped already, and stays so */
};

/**
 * struct dmatrack_process_info - what is copied of a process, and how it was stopped
 * @container: the view of its container, which belongs to the copy; NULL: it has none
 * @log: what reports its processors' writes; NULL: nothing does, so all of its memory counts as written
 * @no_log: why @log is NULL; or ""
 * @regions: what is copied, ascending by IOVA
 * @spans: the memory that is in the regions, ascending by IOVA; what else is in them is zeros
 * @nspans: number of @spans
 * @nregions: number of @regions
 * @way: enum dmatrack_process_way: how it was stopped last
 * @devices: number of PCI devices whose bus mastering was switched off
 * @reserved: 0
 * @stop_time: when it was stopped, in seconds since 1970; 0: not yet
 * @written: bytes of the pages that devices wrote, or held pinned, while it was stopped: these may be older
 *	     than the rest. 0: the copy is exact
 *
 * Later versions may add members at its end.
 */
struct dmatrack_process_info {
	struct dmatrack *container;
	const struct dmatrack *log;
	const char *no_log;
	const struct dmatrack_region *regions;
	const struct dmatrack_process_span *spans;
	size_t nspans;
	uint32_t nregions;
	uint32_t way;
	uint32_t devices;
	uint32_t reserved;
	int64_t stop_time;
	uint64_t written;
};

/**
 * dmatrack_process_open() - prepare to copy the memory of another process that runs
 * @p: out
 * @config: the process
 *
 * Needs the right to trace the process. What its devices write is read by a view of its container, so its own
 * tracking isn't disturbed; what processors write is read by its soft-dirty bits
 * (dmatrack_open_process_log()). Starts a child process, which lets the process go on, and switches its devices
 * on, whatever happens to this one; the child is waited for by dmatrack_process_go_on() or
 * dmatrack_process_close(). One thread at a time may use @p.
 *
 * Return: 0; -EINVAL (@config->pid is this process, unknown flags, or the container maps an IOVA from
 * DMATRACK_PROCESS_ADDRESSES on and all memory is to be copied), -E2BIG (@config has a member that this library
 * doesn't know, and that is not 0), -ENODEV (it has no container), -ENOTUNIQ (it has several, and @config->fd is
 * -1), -ENOENT (there is no memory that devices may write), -EPERM, -EACCES (it may not be traced), -ESRCH (it
 * has ended), -ENOSPC (its memory is in more than DMATRACK_REGIONS_MAX ranges, or it has more than 64 PCI
 * devices), -ENOMEM, or an error of dmatrack_open_fd() or dmatrack_open_view().
 */
int dmatrack_process_open(struct dmatrack_process **p,
			  const struct dmatrack_process_config *config);
/* The process goes on, if it is stopped. @p may be NULL. */
void dmatrack_process_close(struct dmatrack_process *p);

/* Return: what is copied; it belongs to @p, and each call brings it up to date. NULL: @p is NULL */
const struct dmatrack_process_info *
dmatrack_process_get_info(struct dmatrack_process *p);

/**
 * dmatrack_process_copy() - copy a process while it runs, and stop it at the end
 * @p: the process
 * @precopy: as for dmatrack_precopy_run(), but @containers, @regions, @dirty and @read must be NULL, and @page_size
 *	     0 or 4096: they are the process's. @stop may be NULL, and is called when the process stands still;
 *	     @start and @release are called when it has been set going. Without @release it stays stopped, as for a
 *	     migration, until dmatrack_process_go_on()
 * @totals: as for dmatrack_precopy_run()
 *
 * The process is frozen by its control group if it is alone in one, else stopped by SIGSTOP. If it was stopped
 * before, it stays so.
 *
 * Return: as dmatrack_precopy_run(); 0: the destination holds what the memory held when the process stood still, but
 * for pages that devices wrote meanwhile (@written of struct dmatrack_process_info). Further errors: -ESTALE (it
 * changed its container's mappings, allocated memory far from the rest, or was set going by another
 * process), -ESRCH (it ended), -EBUSY (a thread can't be stopped within 5 s), -ETIMEDOUT (a device has requests
 * under way after 100 ms), -EALREADY (@p was copied before: open the process again). After an error the process runs as before, except after -EINPROGRESS.
 */
int dmatrack_process_copy(struct dmatrack_process *p,
			  const struct dmatrack_precopy *precopy,
			  struct dmatrack_totals *totals);

/**
 * dmatrack_process_read() - read memory of a process
 * @p: the process
 * @iova: first IOVA, of a whole page
 * @buf: @size bytes
 * @size: bytes, whole pages, all in one of its regions
 *
 * Return: 0; -EINVAL (not whole pages of one region), -ESRCH (it has ended), or an error of process_vm_readv(2).
 */
int dmatrack_process_read(const struct dmatrack_process *p, uint64_t iova,
			  void *buf, size_t size);

/**
 * dmatrack_process_go_on() - let a process go on that a copy has stopped
 * @p: the process; if it isn't stopped, nothing is done
 *
 * Its devices first. Return: 0; -ESTALE (another process had set it going, so what was read meanwhile may be of
 * several moments), -ESRCH (it has ended), -EIO (it, or one of its devices, could not be set going).
 */
int dmatrack_process_go_on(struct dmatrack_process *p);

/* Watching: what a migration would take ------------------------------------------- */

struct dmatrack_watch;

/**
 * struct dmatrack_outlook - a migration, as it would be if it began now
 * @ends: 1 if its rounds get small enough; 0: it would not end
 * @rounds: number of rounds, the last one, with the devices stopped, included
 * @bytes: bytes sent
 * @time: duration, in ns
 * @downtime: part of @time that the devices would be stopped for, in ns
 * @enough: bytes a second at which it would end: the given bandwidth, doubled as often as it takes; 0: even
 *	    64 TiB a second is not enough
 *
 * Of a migration that would not end, @rounds, @bytes, @time and @downtime are of the rounds until they
 * stop getting smaller.
 */
struct dmatrack_outlook {
	uint32_t ends;
	uint32_t rounds;
	uint64_t bytes;
	uint64_t time;
	uint64_t downtime;
	uint64_t enough;
};

/**
 * dmatrack_watch_open() - watch what is written to a container's memory
 * @watch: out
 * @t: container, which must have views; it may be closed before @watch
 *
 * Opens a view (dmatrack_open_view()), so no other reader misses a page. Each page that was ever written costs
 * two bytes; and more than one thread must not use @watch at a time.
 *
 * Return: 0, or an error of dmatrack_open_view() or dmatrack_get_info().
 */
int dmatrack_watch_open(struct dmatrack_watch **watch, struct dmatrack *t);
/* @watch may be NULL. */
void dmatrack_watch_close(struct dmatrack_watch *watch);

/**
 * dmatrack_watch_take() - harvest the view, and note when each page was written
 * @watch: the container; has to be called about ten times a second: the time of a write is known to the
 *	   tenth of a second that the call before it leaves
 *
 * Return: 0; -ENODEV (the container has gone), -ENOMEM (some of the pages weren't noted), or another
 * error of dmatrack_harvest_ranges().
 */
int dmatrack_watch_take(struct dmatrack_watch *watch);

/*
 * Return: bytes of the different pages that were written within the last @ns, up to a minute, as far as
 * harvests found them; 0 if @watch is NULL
 */
uint64_t dmatrack_watch_written(const struct dmatrack_watch *watch,
				uint64_t ns);

/**
 * dmatrack_watch_outlook() - foretell a migration
 * @watch: the container, of which at least one harvest was taken; the longer it was watched, the better
 * @bandwidth: bytes a second that the migration sends
 * @downtime: time that it may stop the devices for, in ns
 * @o: out
 *
 * The first round sends all memory that devices may write, each further one the pages that were written
 * during the round before: as many as were written within as much time until now.
 *
 * Return: 0; -EINVAL (@bandwidth is 0), or an error of dmatrack_mappings().
 */
int dmatrack_watch_outlook(struct dmatrack_watch *watch, uint64_t bandwidth,
			   uint64_t downtime, struct dmatrack_outlook *o);

/* An image: memory in a file ----------------------------------------------------- */

/*
 * Replace a file at @path when the new one is complete; dmatrack_dest_close() frees the old one's
 * room on the disk
 */
#define DMATRACK_IMAGE_REPLACE (1u << 0)
/* Continue the unfinished image of an earlier process, if there is one */
#define DMATRACK_IMAGE_RESUME (1u << 1)

/**
 * dmatrack_image_create() - create an image, a destination that writes to a file
 * @d: out: the destination
 * @path: name of the file; until it is finished, ".partial" is added
 * @flags: DMATRACK_IMAGE_*
 *
 * The file is sparse: memory that was never written, or that was zeroed, takes no room.
 * prepare() adds a table of hashes and writes it to disk; finish() marks the file as complete,
 * renames it and writes the folder to disk; if only the latter fails, it returns
 * -DMATRACK_NOT_DURABLE. close() of an image that is not finished removes the file, unless save()
 * was called, and after -ENOSPC, -EDQUOT and -EFBIG. Beyond RLIMIT_FSIZE writing fails with
 * -EFBIG if the program ignores SIGXFSZ.
 *
 * Return: 0; -EEXIST (there is a file at @path), -EBUSY (another process writes the image),
 * -EBADMSG (with DMATRACK_IMAGE_RESUME alone: the image at @path is finished, and was altered
 * since), -EINVAL, -EPERM (the unfinished file is another user's, or has other hard links),
 * -ENOMEM, or an error of open(2).
 */
int dmatrack_image_create(struct dmatrack_dest **d, const char *path,
			  unsigned int flags);

/**
 * dmatrack_image_discard() - have an unfinished image removed when it is closed
 * @d: image of dmatrack_image_create()
 *
 * Unless the image is finished, dmatrack_dest_close() removes its file, even if save() was
 * called. Another file that got the name meanwhile stays.
 *
 * Return: 0; -EINVAL (@d is not an image).
 */
int dmatrack_image_discard(struct dmatrack_dest *d);

struct dmatrack_image;

/**
 * dmatrack_image_set_base() - write an incremental image
 * @d: image of dmatrack_image_create(), not begun yet, without DMATRACK_IMAGE_RESUME
 * @base: an earlier image of the memory, which may have other regions; must last as long as @d. An
 *	  incremental one has its base attached
 *
 * The image then has only the pages that differ from @base's. To read it, attach the same base again
 * (dmatrack_image_attach()).
 *
 * Return: 0; -EINVAL (@d is not an image, or has been begun), -ENOLINK (@base lacks its base).
 */
int dmatrack_image_set_base(struct dmatrack_dest *d,
			    struct dmatrack_image *base);

/**
 * dmatrack_image_open() - open an image to read it
 * @image: out: the image
 * @path: name of the file
 *
 * Return: 0; -EBADMSG (not an image, or not complete, truncated, extended or altered),
 * -EPROTONOSUPPORT (this library does not know its version), -ENOMEM, or an error of open(2).
 */
int dmatrack_image_open(struct dmatrack_image **image, const char *path);
/**
 * dmatrack_image_attach() - give an incremental image its base, so that it can be read
 * @image: the incremental image
 * @base: its base; must last as long as @image. If it's incremental itself, its own base is attached first
 *
 * Return: 0; -EBADMSG (@base is another image: its digest differs), -ENOLINK (@base lacks its base), -EINVAL
 * (@image needs none).
 */
int dmatrack_image_attach(struct dmatrack_image *image,
			  struct dmatrack_image *base);
/* Whether the image needs a base; false if @image is NULL */
bool dmatrack_image_is_incremental(const struct dmatrack_image *image);
/* The description; NULL: it has none, or @image is NULL. It belongs to the image. */
const char *dmatrack_image_description(const struct dmatrack_image *image);

/* @image may be NULL. */
void dmatrack_image_close(struct dmatrack_image *image);

/*
 * The regions, ascending by IOVA, with @vaddr NULL; they belong to the image. Return: number of
 * regions; 0 if @image is NULL
 */
unsigned int dmatrack_image_regions(const struct dmatrack_image *image,
				    const struct dmatrack_region **regions);
/* Size in bytes of the pages that were copied; 0 if @image is NULL */
uint32_t dmatrack_image_page_size(const struct dmatrack_image *image);

/**
 * dmatrack_image_read() - read memory from an image, and check it
 * @image: image; only one thread at a time may use it
 * @iova: first IOVA to read, page-aligned
 * @buf: out: @size bytes; undefined after an error
 * @size: number of bytes, whole pages of one region
 *
 * Return: 0; -EBADMSG (the image was altered there), -EINVAL (not whole pages of one region),
 * -ENOLINK (an incremental image without its base), -EIO.
 */
int dmatrack_image_read(struct dmatrack_image *image, uint64_t iova, void *buf,
			uint64_t size);

/**
 * dmatrack_image_next_data() - find memory of an image that may be other than zeros
 * @image: image; only one thread at a time may use it
 * @iova: in: first IOVA to search; out: first IOVA of the data found. All memory between is zeros
 * @size: out: number of bytes found: at least a page, at most 64 MiB, within one region
 *
 * Continue at @iova + @size, unless that is 0.
 *
 * Return: 1: data was found; 0: there is no more; or a negative errno.
 */
int dmatrack_image_next_data(struct dmatrack_image *image, uint64_t *iova,
			     uint64_t *size);

/**
 * dmatrack_image_digest() - read and check all of an image, and compute its digest
 * @image: image; only one thread at a time may use it
 * @digest: out: the digest that dmatrack_digest() computes of the same memory
 * @progress: called repeatedly with the bytes of memory that are done and the bytes of all
 *	      regions; if it does not return 0, the call ends. May be NULL
 * @opaque: first argument of @progress
 *
 * Return: 0; -EBADMSG (the image was altered), -ECANCELED (@progress returned more than 0), a
 * negative errno of @progress, -ENOMEM, -EIO.
 */
int dmatrack_image_digest(struct dmatrack_image *image, uint8_t digest[16],
			  int (*progress)(void *opaque, uint64_t done,
					  uint64_t all),
			  void *opaque);

/**
 * dmatrack_digest() - compute the digest of memory
 * @regions: memory of this process, at their @vaddr; nothing may write to it meanwhile
 * @n: number of regions
 * @digest: out: 128 bits of XXH3, of IOVA, size and content of the regions
 *
 * It detects accidental differences. It does not protect from a person who wants two memories to
 * have the same digest.
 *
 * Return: 0; -EINVAL (a region with @vaddr NULL or @size 0).
 */
int dmatrack_digest(const struct dmatrack_region *regions, unsigned int n,
		    uint8_t digest[16]);

/* Cancelling calls that wait for a peer ---------------------------------------------- */

struct dmatrack_cancel;

/**
 * dmatrack_cancel_create() - create an object to cancel calls that wait for another process
 * @c: out: to be freed by dmatrack_cancel_destroy()
 *
 * Pass it as @cancel of struct dmatrack_peer, struct dmatrack_sender and struct
 * dmatrack_receiver, of any number of them. It must last as long as they and their channels.
 *
 * Return: 0; -ENOMEM, -EMFILE, -ENFILE.
 */
int dmatrack_cancel_create(struct dmatrack_cancel **c);

/**
 * dmatrack_cancel_set() - cancel, for good
 * @c: object of dmatrack_cancel_create(); may be NULL
 *
 * Calls that wait for a peer, and calls that would wait later, return -ECANCELED. Connecting,
 * accepting and reading end at once; writing continues for up to a second, so that the peer can
 * take the rest of a frame. May be called by any thread, and by signal handlers: it is
 * async-signal-safe.
 */
void dmatrack_cancel_set(struct dmatrack_cancel *c);
/* The last call: nothing may use @c any more. @c may be NULL. */
void dmatrack_cancel_destroy(struct dmatrack_cancel *c);

/* Channels: bytes both ways -------------------------------------------------------- */

struct dmatrack_channel;

/**
 * struct dmatrack_channel_ops - functions of a program's own channel
 * @size: sizeof(struct dmatrack_channel_ops)
 * @read: read at least one byte and at most @size. Returns their number, 0 at the end, or a
 *	  negative errno
 * @write: write at least one byte. Returns their number, or a negative errno. Must not raise
 *	   SIGPIPE
 * @close: close the channel; may be NULL
 *
 * @read and @write may be called by two threads at the same time, one each.
 */
struct dmatrack_channel_ops {
	size_t size;
	ssize_t (*read)(void *opaque, void *buf, size_t size);
	ssize_t (*write)(void *opaque, const void *buf, size_t size);
	void (*close)(void *opaque);
};
/*
 * Make a channel from functions. @ops is copied; @opaque is the functions' first argument.
 * Return: 0; -EINVAL (no @read or no @write), -E2BIG (@ops has a member that this library doesn't
 * know, and that is not 0), -ENOMEM
 */
int dmatrack_channel_new(struct dmatrack_channel **ch,
			 const struct dmatrack_channel_ops *ops, void *opaque);

/*
 * Make a channel from descriptors, which are duplicated: @in to read from and @out to write to,
 * two pipes or the same socket twice. Return: 0; -EBADF (not a descriptor), -ENOMEM
 */
int dmatrack_channel_fds(struct dmatrack_channel **ch, int in, int out);

/* Use TCP on this machine without TLS and without a secret; any user may be the peer. */
#define DMATRACK_PEER_INSECURE (1u << 0)

/**
 * struct dmatrack_peer - how to connect or to listen, and which peers to accept
 * @size: sizeof(struct dmatrack_peer)
 * @tls: for TCP: folder of certificates, as for dmatrack_connect(). NULL: none
 * @secret: for TCP on this machine, without TLS: name of a file of 16 to 4096 bytes, with mode
 *	    0600; both sides prove that they have it, without sending it. NULL: none
 * @names: with @tls: the peer's certificate must have one of these names. A name with a "=" is
 *	   compared with its subject, as "openssl x509 -noout -subject -nameopt RFC2253" prints
 *	   it; any other name, a host or an IP address, must be among its alternative names
 * @users: for Unix sockets: users whose processes are accepted, besides this user and root
 * @nnames: number of @names; 0: any certificate of the authority is accepted
 * @nusers: number of @users
 * @flags: DMATRACK_PEER_INSECURE
 * @cancel: cancels dmatrack_peer_connect() and dmatrack_accept(), and reading and writing of their
 *	    channels; must last as long as these. NULL: they can't be cancelled
 * @connect_timeout: milliseconds after which connecting is given up; 0: 15,000. It also limits how
 *		     long listening waits for another process that is about to listen at the same
 *		     Unix socket
 * @handshake_timeout: milliseconds after which a handshake is given up; 0: 10,000
 * @opaque: first argument of @turned_away
 * @turned_away: called by dmatrack_accept() when a peer is dropped because its handshake failed,
 *		 with the negative errno; dmatrack_error() returns a message. May be NULL
 * @connections: for TCP and Unix sockets: number of connections that make one channel, at most 16;
 *		 each has threads of its own that send and receive, with TLS encrypt and decrypt.
 *		 Both sides must use the same number. 0: 1
 * @reserved: 0
 */
struct dmatrack_peer {
	size_t size;
	const char *tls;
	const char *secret;
	const char *const *names;
	const uid_t *users;
	uint32_t nnames;
	uint32_t nusers;
	uint32_t flags;
	struct dmatrack_cancel *cancel;
	uint32_t connect_timeout;
	uint32_t handshake_timeout;
	void *opaque;
	void (*turned_away)(void *opaque, int error);
	uint32_t connections;
	uint32_t reserved;
};

/**
 * dmatrack_peer_connect() - make a channel, with more options than dmatrack_connect()
 * @ch: out: the channel
 * @address: as for dmatrack_connect()
 * @peer: the options; not used after this call, except @cancel
 *
 * Return: as dmatrack_connect(), and -ECANCELED, -E2BIG (@peer has a member that this library
 * doesn't know, and that is not 0).
 */
int dmatrack_peer_connect(struct dmatrack_channel **ch, const char *address,
			  const struct dmatrack_peer *peer);

/**
 * dmatrack_connect() - make a channel to a peer that listens
 * @ch: out: the channel
 * @address: "unix:PATH"; "tcp:HOST:PORT" (an IPv6 address in brackets); "fd:N" (a connected
 *	     socket, which is duplicated); "exec:COMMAND" (standard input and output of a command
 *	     run by sh); "-" (this process's standard input and output)
 * @tls: for TCP: folder with ca-cert.pem, client-cert.pem and client-key.pem (to listen:
 *	 server-cert.pem and server-key.pem). NULL: no TLS, which TCP refuses: see struct
 *	 dmatrack_peer
 *
 * Both sides must show a certificate of that authority, by TLS 1.3; the listening side's must
 * have HOST among its alternative names. The process that listens at a Unix socket must be of
 * this user or of root.
 *
 * Return: 0; -EINVAL (an invalid address, or @tls without TCP), -EPERM (TCP without TLS), -EACCES
 * (another user listens at the Unix socket), -EKEYREJECTED (a certificate is refused, or a file
 * holds none), -EPROTO (the other side does not speak TLS 1.3, or does not use TLS or a secret as
 * this side does), -EHOSTUNREACH (there is no such host), or an error of connect(2).
 */
int dmatrack_connect(struct dmatrack_channel **ch, const char *address,
		     const char *tls);

struct dmatrack_listener;
/* Listen at "unix:PATH" or "tcp:HOST:PORT", with more options than dmatrack_listen() */
int dmatrack_peer_listen(struct dmatrack_listener **l, const char *address,
			 const struct dmatrack_peer *peer);
/*
 * Listen; a Unix socket gets mode 0600, PORT 0 chooses a free port. Return: as dmatrack_connect();
 * -EADDRINUSE (another process listens there, or PATH is a file that is not a socket)
 */
int dmatrack_listen(struct dmatrack_listener **l, const char *address,
		    const char *tls);
/* The address to connect to, with the port that was chosen. It belongs to the listener. */
const char *dmatrack_listener_address(const struct dmatrack_listener *l);
/*
 * Wait for a peer that has authenticated, by its certificate or by a secret; at a Unix socket and
 * with DMATRACK_PEER_INSECURE it must have sent 16 bytes. @timeout: milliseconds; -1: no limit.
 * Handshakes run side by side, each for up to handshake_timeout; peers whose handshake fails are
 * dropped (see turned_away). Any number of threads may accept at the same time. Return: 0;
 * -ETIMEDOUT, -ECANCELED, or an error of the listener
 */
int dmatrack_accept(struct dmatrack_listener *l, struct dmatrack_channel **ch,
		    int timeout);
/* The last call on a listener; channels stay open. @l may be NULL. */
void dmatrack_listener_close(struct dmatrack_listener *l);
/*
 * Close and free a channel; a command that was started for it is killed if it has not ended after
 * 5 seconds. @ch may be NULL
 */
void dmatrack_channel_close(struct dmatrack_channel *ch);

/* Sending and receiving --------------------------------------------------------------- */

/* Compress with zstd, in as many threads as there are processors that the process may use, 32 at most */
#define DMATRACK_ZSTD (1u << 0)
/*
 * At the end both sides compute dmatrack_digest() of all memory, and the receiver compares before
 * the copy is completed; the devices are stopped meanwhile. Regions must have a vaddr.
 */
#define DMATRACK_CHECK (1u << 1)

/**
 * struct dmatrack_sender - how to send
 * @size: sizeof(struct dmatrack_sender)
 * @flags: DMATRACK_ZSTD, DMATRACK_CHECK
 * @level: compression level of zstd; 0: 1
 * @opaque: first argument of @connect
 * @connect: return a channel to the receiver, which the sender closes. Called first with @attempt
 *	     0; after the connection broke or an attempt failed with 1, 2, and so on until the copy
 *	     continues, and with its negative errno as @why. May wait. If it returns a negative
 *	     errno, the copy ends
 * @cancel: cancels the functions of the destination; the receiver is told so, if it takes data.
 *	    Must last as long as the destination. NULL: they can't be cancelled
 * @hello_timeout: milliseconds in which the receiver must complete the handshake; 0: 30,000. After
 *		   that @connect is called again
 * @peer_timeout: milliseconds in which the receiver must send the expected frame, or take some
 *		  data; 0: 120,000. After that the connection counts as broken
 */
struct dmatrack_sender {
	size_t size;
	uint32_t flags;
	int32_t level;
	void *opaque;
	int (*connect)(void *opaque, unsigned int attempt, int why,
		       struct dmatrack_channel **ch);
	struct dmatrack_cancel *cancel;
	uint32_t hello_timeout;
	uint32_t peer_timeout;
};

/**
 * dmatrack_sender_create() - create a sender, a destination that sends to a receiver
 * @d: out: the destination
 * @s: how to send; copied
 *
 * When the connection breaks, its functions return -EAGAIN; lost() connects again, and has ranges
 * that were sent and have not arrived copied again. finish() and lost() return -EINPROGRESS if the
 * receiver was told to complete the copy, its answer was lost, and there is no other connection.
 *
 * Return: 0; -EINVAL (no @connect, unknown @flags, or a @level that zstd does not have), -E2BIG
 * (@s has a member that this library doesn't know, and that is not 0), -ENOMEM, -EIO (no random
 * numbers).
 */
int dmatrack_sender_create(struct dmatrack_dest **d,
			   const struct dmatrack_sender *s);

/**
 * dmatrack_sender_id() - get the id of a sender's copy, to ask for its outcome later
 * @d: sender of dmatrack_sender_create()
 * @id: out: the id, which is drawn at random when the sender is created
 *
 * Return: 0; -EINVAL (@d is not a sender).
 */
int dmatrack_sender_id(const struct dmatrack_dest *d, uint8_t id[16]);

/**
 * dmatrack_sender_ask() - ask a receiver for the outcome of a copy whose answer was lost
 * @s: how to connect to the receiver, as for the sender of a copy
 * @id: id of the copy
 * @outcome: out: DMATRACK_COPIED; DMATRACK_NOT_COPIED; or DMATRACK_UNKNOWN: this receiver does not
 *	     know the copy
 *
 * The sender of the copy must have ended. A receiver that has not completed the copy gives it up
 * for good before it answers.
 *
 * Return: 0; or a negative errno: there is no answer, and @outcome is not set.
 */
int dmatrack_sender_ask(const struct dmatrack_sender *s, const uint8_t id[16],
			enum dmatrack_outcome *outcome);

/**
 * struct dmatrack_arrival - figures of a receiver's copy so far
 * @bytes: bytes received over the channel
 * @data: bytes of memory written
 * @zeros: bytes of memory made zero
 * @memory: bytes of all regions
 * @rounds: number of rounds that have ended
 * @resumed: number of times that the connection broke and was made again
 * @connected: 1 if a sender is connected
 * @reserved: 0
 */
struct dmatrack_arrival {
	uint64_t bytes;
	uint64_t data;
	uint64_t zeros;
	uint64_t memory;
	uint32_t rounds;
	uint32_t resumed;
	uint32_t connected;
	uint32_t reserved;
};

/**
 * struct dmatrack_receiver - how to receive
 * @size: sizeof(struct dmatrack_receiver)
 * @flags: 0
 * @reserved: 0
 * @dest: the destination; the caller closes it. If it has save, load and recall, another process
 *	  can resume the copy when this one has ended
 * @opaque: first argument of the functions
 * @accept: return a channel to a sender, which the receiver closes. Called first with @attempt 0;
 *	    after the connection broke, or a peer was not a valid sender, with 1, 2, and so on, and
 *	    with the negative errno of that as @why. If @why is -EALREADY, the copy is complete, but
 *	    its sender may not know it yet: wait for a short time only. A negative errno gives the
 *	    copy up, unless it is complete; return @why if no other sender can connect
 * @begin: called with the regions that will be sent; may refuse them by a negative errno. Called
 *	   again if another copy begins in place of one that broke off. May be NULL
 * @progress: called some ten times a second while data arrives; if it does not return 0, the copy
 *	      is given up. May be NULL
 * @cancel: cancels dmatrack_receive(). @progress is then called once more: if it gives up, the
 *	    sender is told so; if not, or if it is NULL, the connection is closed, and another
 *	    process can resume the copy. NULL: the call can't be cancelled
 * @hello_timeout: milliseconds in which a sender must complete the handshake; 0: 30,000. After that
 *		   @accept is called again
 * @peer_timeout: milliseconds in which the sender must send or take some data; 0: 1,800,000. After
 *		  that the connection counts as broken
 */
struct dmatrack_receiver {
	size_t size;
	uint32_t flags;
	uint32_t reserved;
	struct dmatrack_dest *dest;
	void *opaque;
	int (*accept)(void *opaque, unsigned int attempt, int why,
		      struct dmatrack_channel **ch);
	int (*begin)(void *opaque, const struct dmatrack_region *regions,
		     unsigned int n, uint32_t page_size);
	int (*progress)(void *opaque, const struct dmatrack_arrival *arrival);
	struct dmatrack_cancel *cancel;
	uint32_t hello_timeout;
	uint32_t peer_timeout;
};

/**
 * dmatrack_receive() - receive one copy
 * @r: how to receive
 * @arrival: out: figures of the copy, always filled in, after an error too; may be NULL
 *
 * Received data is not trusted: a stream that breaks is resumed (@accept); one that was altered,
 * is of another version, or is invalid is refused, and the sender is told why.
 *
 * Return: 0: the copy is complete and the destination finished; -DMATRACK_NOT_DURABLE: so it is,
 * and the sender is told so, but a crash of the machine may undo it. Any other error: it is not
 * complete: -EBADMSG (the received data was altered, or the digests differ), -EPROTO (the received
 * data is invalid), -EPROTONOSUPPORT (the sender has another version of the protocol), -EINVAL (an
 * invalid value in @r), -E2BIG (@r, or the functions of its destination, have a member that this
 * library doesn't know, and that is not 0), -ENOMEM, -ECANCELED (given up by the sender or by
 * @progress, or cancelled), or an error of a function of @r or of the destination.
 */
int dmatrack_receive(const struct dmatrack_receiver *r,
		     struct dmatrack_arrival *arrival);

#ifdef __cplusplus
}
#endif

#endif
