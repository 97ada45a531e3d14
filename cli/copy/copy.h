/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The base of demo, send and snapshot: they copy a workload's memory to a destination by
 * the library's pre-copy, which stops the devices before its last round.
 *
 *	copy.c		runs the copy
 *	origin_workload.c, origin_program.c	what is copied: our own workload, or another program
 *	copy_report.c	the line of progress, the table, JSON
 *	copy_events.c	events for programs
 *	describe.c	the description of a copy
 *	demo.c		copies to memory, and compares
 *	send.c		copies to a receiver
 *	snapshot.c	copies to an image
 */
#ifndef CLI_COPY_COPY_H
#define CLI_COPY_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/common/events.h"
#include "cli/common/json.h"
#include "cli/report/record.h"
#include "workload.h"
#include "dmatrack_copy.h"

/**
 * struct program_options - which program to copy, and what of it
 * @pid: its process ID; 0: none, but our own workload
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

/**
 * struct copy_options - options of a copy
 * @w: options of memory and devices
 * @p: options of another program
 * @bandwidth: bytes a second, limit while devices run; 0: no limit
 * @downtime: allowed downtime in milliseconds
 * @standstill: seconds, limit of the devices' standstill; 0: no limit; COPY_AUTO: 30, or
 *		five times @downtime
 * @rounds: number of rounds allowed before the last
 * @refine: true: copy only pages whose content has changed
 * @give_up: true: if it doesn't converge, fail instead of stopping the devices
 * @digest: true: compute and print the memory's digest
 * @record: name of the file for the record; or NULL
 * @dump: name of the file for the memory as it was copied; or NULL
 * @events: descriptor for events; CLI_EVENTS_NONE: none
 * @progress: true: show progress even if stderr is no terminal
 * @quiet: true: show no progress
 */
struct copy_options {
	struct workload_options w;
	struct program_options p;
	uint64_t bandwidth;
	uint64_t downtime;
	uint64_t standstill;
	uint64_t rounds;
	bool refine;
	bool give_up;
	bool digest;
	const char *record;
	const char *dump;
	uint64_t events;
	bool progress;
	bool quiet;
};

#define COPY_AUTO UINT64_MAX
#define COPY_DEFAULTS \
	{ \
		.w = WORKLOAD_DEFAULTS, .p = { .fd = PROGRAM_ANY_FD }, \
		.downtime = 300, .standstill = COPY_AUTO, .rounds = 30, \
		.events = CLI_EVENTS_NONE \
	}

/* Entries of an option table that fill in @member, a struct copy_options, of @type */
#define COPY_OPTIONS(type, member) \
	WORKLOAD_OPTIONS(type, member.w), \
		CLI_SIZE("bandwidth", type, member.bandwidth, 0, 1ull << 50, \
			 1), \
		CLI_NUMBER("downtime", type, member.downtime, 1, 86400000, 1), \
		CLI_NUMBER("standstill", type, member.standstill, 0, 1000000, \
			   1), \
		CLI_NUMBER("rounds", type, member.rounds, 1, 10000, 1), \
		CLI_FLAG("refine", type, member.refine), \
		CLI_FLAG("give-up", type, member.give_up), \
		CLI_FLAG("digest", type, member.digest), \
		CLI_STRING("record", type, member.record), \
		CLI_STRING("dump", type, member.dump), \
		CLI_EVENTS(type, member.events), CLI_JSON, \
		CLI_FLAG("progress", type, member.progress), \
		CLI_FLAG("quiet", type, member.quiet)

/* The same, for another program's memory */
#define COPY_OPTIONS_PROGRAM(type, member) \
	CLI_NUMBER("pid", type, member.p.pid, 1, INT32_MAX, 1), \
		CLI_NUMBER("fd", type, member.p.fd, 0, INT32_MAX, 1), \
		CLI_FLAG("all", type, member.p.all), \
		CLI_FLAG("quiesce", type, member.p.quiesce)

/* Parts of help texts */
#define COPY_HELP_PROGRAM \
	"Another program:\n" \
	"  --pid PID          copy the memory of a running program that its devices may\n" \
	"                     write to: of QEMU, DPDK and others. It is stopped for the\n" \
	"                     last round. Needs dmatrack.ko and root\n" \
	"  --fd N             its descriptor of the container, if it has several\n" \
	"  --all              all memory that it may write to; it needs no container then\n" \
	"  --quiesce          while it is stopped, its PCI devices can't write, either:\n" \
	"                     without it, what they write meanwhile may be in the copy or\n" \
	"                     not\n" \
	"\n"
#define COPY_HELP_WORKLOAD \
	WORKLOAD_HELP_WHERE \
	"Memory:\n" \
	"  --size SIZE        size of the memory (default: 1G; with --device 256M)\n" WORKLOAD_HELP_MEMORY \
		WORKLOAD_HELP_DEVICES
#define COPY_HELP_ROUNDS \
	"Rounds:\n" \
	"  --downtime MS      allowed downtime in milliseconds: the devices are stopped\n" \
	"                     when what is left can be copied in that time (default: 300)\n" \
	"  --standstill S     give up if the devices have stood still for S seconds and\n" \
	"                     the copy isn't finished (default: 30, or five times\n" \
	"                     --downtime if that is more; 0: no limit)\n" \
	"  --bandwidth SIZE   copy at most SIZE bytes a second until the devices are\n" \
	"                     stopped (default: 0, no limit)\n" \
	"  --rounds N         at most N rounds before the last (default: 30)\n" \
	"  --refine           compare pages by a 128-bit hash with what was copied\n" \
	"                     before, and copy only those that changed: for a driver that\n" \
	"                     can only report that every page may have been written\n" \
	"  --give-up          if it does not converge or runs out of rounds, give up and\n" \
	"                     leave the devices running, instead of stopping them\n" \
	"\n"
#define COPY_HELP_OUTPUT \
	"Output:\n" \
	"  --digest           print the copied memory's digest, the same as 'dmatrack\n" \
	"                     info --digest IMAGE' prints\n" \
	"  --dump FILE        at the end write the memory to FILE, to compare; an\n" \
	"                     existing file is replaced\n" \
	"  --record FILE      write a record of the run to FILE, for 'dmatrack report'\n" \
	"  --json             print JSON, for programs\n" CLI_EVENTS_HELP \
	"  --progress         show progress on stderr even if it is no terminal\n" \
	"  --quiet            show no progress\n" \
	"  --help             print this text\n" \
	"\n" \
	"Sizes may end with K, M, G or T (1G, 1Gi and 1GiB are the same).\n" \
	"\n" \
	"The table: 'dirty' counts the pages that the harvest reported; 'sent', 'zero'\n" \
	"and 'same' say how many bytes of them were sent, were zero, or (with --refine)\n" \
	"were left out because their content had not changed. 'left' is what is still to\n" \
	"be copied; 'downtime' predicts how long that would take with the devices\n" \
	"stopped.\n" \
	"\n"

struct copy;

/**
 * struct copy_origin - functions of what is copied
 * @open: open it, and fill in @region to @driver of struct copy; nothing writes yet, or it runs already
 * @close: close it, also if @open failed
 * @begin: let its devices write; NULL: they do
 * @copy: copy it, as dmatrack_precopy_run() does, with @p and what else the memory needs. Returns 0 or -errno
 * @stop: stop it, within @copy; NULL: @copy has stopped it
 * @go_on: let it go on
 * @count: set the number of device writes so far; NULL: not known
 * @read: read memory of a region, after @copy; NULL: the memory is at the regions' vaddr. Returns 0 or -errno
 * @print: print what it is, for people
 * @json: add what it is to a JSON object
 *
 * Functions that return int return 0, or an exit status after a message, unless said otherwise.
 */
struct copy_origin {
	int (*open)(struct copy *c, unsigned int copies);
	void (*close)(struct copy *c);
	int (*begin)(struct copy *c);
	int (*copy)(struct copy *c, const struct dmatrack_precopy *p);
	int (*stop)(struct copy *c);
	int (*go_on)(struct copy *c);
	int (*count)(struct copy *c, uint64_t *writes);
	int (*read)(const struct copy *c, unsigned int region, uint64_t offset,
		    void *buf, size_t size);
	void (*print)(const struct copy *c);
	void (*json)(const struct copy *c, json_t *o);
};

extern const struct copy_origin copy_origin_workload;
extern const struct copy_origin copy_origin_program;

/* Return: how a copy's program was stopped: "cgroup", "signal", "stopped already"; NULL: it was not */
const char *origin_program_way(const struct copy *c);

/**
 * struct copy_view - functions by which a command shows a copy
 * @begin: called when the destination has been opened
 * @round: called after each round. Returns what dmatrack_precopy.round() may return
 * @end: called at the end. @error: what dmatrack_precopy_run() returned
 */
struct copy_view {
	void (*begin)(const struct copy *c);
	int (*round)(struct copy *c);
	void (*end)(const struct copy *c, int error);
};

/**
 * struct copy_round - a round that has ended
 * @r: the library's figures, without bitmaps
 * @writes: number of device writes between the previous harvest and this round's
 * @reported: pages that each source reported for it
 */
struct copy_round {
	struct dmatrack_round r;
	uint64_t writes;
	uint64_t reported[WORKLOAD_SOURCES];
};

/**
 * struct copy - one copy
 * @command: name of the subcommand
 * @target: destination, as the user named it; NULL: memory
 * @o: its options
 * @view: functions that show it
 * @compare: compares the copy with the memory. Returns CLI_OK or CLI_NO. NULL: can't be
 *	     compared
 * @until: number of reported pages at which to stop the devices; 0: not given
 * @out: stream for reports: stdout, or stderr if stdout is the channel
 * @origin: functions of what is copied
 * @w: the workload, if that is what is copied
 * @process: the program, if that is; or NULL
 * @info: what is copied of @process
 * @program: name of its command, fit to be printed; or NULL
 * @region: the memory
 * @nregions: number of regions
 * @size: bytes of all regions
 * @source: containers that report written pages
 * @source_name: names of what reports them: of the containers, and of the program's own log behind them
 * @nsources: number of sources
 * @driver: name of the driver that tracks
 * @record: its record; or NULL
 * @round: rounds that have ended
 * @nrounds: number of rounds in @round
 * @sources: figures of each source so far
 * @writes: number of device writes until the last harvest but one, and until the last
 * @totals: the library's figures of the whole copy
 * @stats: the device's statistics when it was stopped
 * @pinned: number of writes through pins
 * @digest: digest of the memory, with o->digest
 * @id: copy's id in hexadecimal, for 'send --query'; or ""
 * @begun: true: @view->begin() was called
 * @started: time of the start, by dml_clock_now()
 * @limit: time when the standstill's limit is reached, by dml_clock_now(); or UINT64_MAX
 * @described: the destination, if it gets a description; or NULL
 * @base: name of the image's base; or NULL
 * @releases: true: the devices go on when the memory isn't needed any more
 * @checked: true: the copy was or will be compared with the memory
 * @status: exit status of a callback that has printed an error message; or 0
 */
struct copy {
	const char *command;
	const char *target;
	struct copy_options *o;
	const struct copy_view *view;
	int (*compare)(struct copy *c);
	uint64_t until;
	FILE *out;
	const struct copy_origin *origin;
	struct workload w;
	struct dmatrack_process *process;
	const struct dmatrack_process_info *info;
	char *program;
	const struct dmatrack_region *region;
	unsigned int nregions;
	uint64_t size;
	struct dmatrack *source[WORKLOAD_SOURCES];
	const char *source_name[WORKLOAD_SOURCES];
	unsigned int nsources;
	const char *driver;
	struct record *record;
	struct copy_round *round;
	unsigned int nrounds;
	struct dmatrack_source sources[WORKLOAD_SOURCES];
	uint64_t writes[2];
	struct dmatrack_totals totals;
	struct tdev_stats stats;
	uint64_t pinned;
	uint8_t digest[CLI_DIGEST];
	char id[CLI_DIGEST_TEXT];
	bool begun;
	uint64_t started;
	uint64_t limit;
	struct dmatrack_dest *described;
	const char *base;
	bool releases;
	bool checked;
	int status;
};

/**
 * copy_open() - open the workload; its devices don't write yet
 * @c: @command, @target, @o, @view, @out, @releases, @checked and, if wanted, @compare and @until
 *     are set, the rest is zeroed. Call copy_close() even if this fails
 * @copies: how many times the memory must fit into the machine's
 *
 * Return: 0, or an exit status after an error message.
 */
int copy_open(struct copy *c, unsigned int copies);
void copy_close(struct copy *c);

/**
 * copy_run() - start the devices, copy, and report
 * @c: an open copy
 * @dest: destination
 *
 * Return: exit status; unless it is 0, after an error message.
 */
int copy_run(struct copy *c, struct dmatrack_dest *dest);

/* copy_open(), copy_run() and copy_close(); closes @dest, too. Return: exit status */
int copy_to(struct copy *c, struct dmatrack_dest *dest);

/* Describe the copy, once the memory stands still. Return: 0 or -errno */
int describe_copy(const struct copy *c);

/* The view of send and snapshot */
extern const struct copy_view copy_report_view;
void copy_report_progress(const struct dmatrack_round *round,
			  const struct copy *c);
/**
 * struct copy_column - a column of a table
 * @name: its name
 * @width: number of characters
 * @narrow: true: also printed if the terminal has less than 80 columns
 */
struct copy_column {
	const char *name;
	int width;
	bool narrow;
};

/* Print a line of a table. @cell: a text for each of @n columns; NULL: the columns' names */
void copy_report_line(FILE *out, const struct copy_column *columns, size_t n,
		      const char *const *cell);
/* Print the memory, the driver that tracks it, and the devices, unless JSON is printed. */
void copy_report_memory(const struct copy *c);
/* Print which source reported how much, if there are several. */
void copy_report_sources(const struct copy *c);
/* Return: a new object with the figures of a round */
json_t *copy_report_round(const struct copy *c, const struct copy_round *own);
/* Add all figures of the copy to @o. @error: what dmatrack_precopy_run() returned */
void copy_report_json(const struct copy *c, json_t *o, int error);

/* Send an event of the library's; the end of a round is sent by copy_events_round(). */
void copy_events_tell(const struct copy *c, const struct dmatrack_event *e);
/* Send that the last of @c->round has ended. */
void copy_events_round(const struct copy *c);

#endif
