/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What demo, send and snapshot share: a workload is copied to a destination, by the
 * library's pre-copy, until the copy stops the devices.
 *
 *	copy.c		what comes after what
 *	copy_report.c	the live line, the table, JSON
 *	demo.c		to memory, where it is compared
 *	send.c		to a receiver
 *	snapshot.c	to an image
 */
#ifndef CLI_COPY_COPY_H
#define CLI_COPY_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/common/json.h"
#include "cli/report/record.h"
#include "workload.h"
#include "dmatrack_copy.h"

/**
 * struct copy_options - what the user wants
 * @w: of memory and devices
 * @bandwidth: bytes a second at the most while devices run; 0: no limit
 * @downtime: allowed, in milliseconds
 * @standstill: seconds that devices may stand still at the most; 0: no limit; COPY_AUTO: the
 *		library's
 * @rounds: at the most, without the last
 * @refine: compare pages with what was sent
 * @give_up: rather than stop devices where it doesn't converge
 * @digest: compute and print it
 * @record: file for the record; or NULL
 * @dump: file for the memory as it was when all was copied; or NULL
 * @progress: even if stderr is no terminal
 * @quiet: no progress
 */
struct copy_options {
	struct workload_options w;
	uint64_t bandwidth;
	uint64_t downtime;
	uint64_t standstill;
	uint64_t rounds;
	bool refine;
	bool give_up;
	bool digest;
	const char *record;
	const char *dump;
	bool progress;
	bool quiet;
};

#define COPY_AUTO UINT64_MAX
#define COPY_DEFAULTS { .w = WORKLOAD_DEFAULTS, .downtime = 300, \
			.standstill = COPY_AUTO, .rounds = 30 }

/* For a table: the options that set @member, a struct copy_options, of @type */
#define COPY_OPTIONS(type, member) \
	WORKLOAD_OPTIONS(type, member.w), \
	CLI_SIZE("bandwidth", type, member.bandwidth, 0, 1ull << 50, 1), \
	CLI_NUMBER("downtime", type, member.downtime, 1, 86400000, 1), \
	CLI_NUMBER("standstill", type, member.standstill, 0, 1000000, 1), \
	CLI_NUMBER("rounds", type, member.rounds, 1, 10000, 1), \
	CLI_FLAG("refine", type, member.refine), \
	CLI_FLAG("give-up", type, member.give_up), \
	CLI_FLAG("digest", type, member.digest), \
	CLI_STRING("record", type, member.record), \
	CLI_STRING("dump", type, member.dump), \
	CLI_JSON, \
	CLI_FLAG("progress", type, member.progress), \
	CLI_FLAG("quiet", type, member.quiet)

/* And for a help text */
#define COPY_HELP_WORKLOAD \
WORKLOAD_HELP_WHERE \
"Memory:\n" \
"  --size SIZE        how much (default: 1G; with --device 256M)\n" \
WORKLOAD_HELP_MEMORY \
WORKLOAD_HELP_DEVICES
#define COPY_HELP_ROUNDS \
"Rounds:\n" \
"  --downtime MS      milliseconds that the devices may stand still: what is left\n" \
"                     must fit (default: 300)\n" \
"  --standstill S     give up, if they have stood still for so many seconds and it\n" \
"                     isn't finished (default: 30, or five times --downtime if\n" \
"                     that is more; 0: no limit)\n" \
"  --bandwidth SIZE   bytes a second to copy at the most, until the devices stand\n" \
"                     still (default: 0, no limit)\n" \
"  --rounds N         at the most, before the last (default: 30)\n" \
"  --refine           compare pages by a 128-bit hash with what was copied before,\n" \
"                     and copy only those that changed: where the driver can only\n" \
"                     say that everything may have been written\n" \
"  --give-up          where it does not converge, or is out of rounds, give up, and\n" \
"                     leave the devices running. Otherwise they are stopped then\n" \
"\n"
#define COPY_HELP_OUTPUT \
"Output:\n" \
"  --digest           print a digest of the memory copied, as 'dmatrack info\n" \
"                     --digest IMAGE' prints it\n" \
"  --dump FILE        write the memory itself there, in the end, to compare; a file\n" \
"                     of that name is replaced\n" \
"  --record FILE      keep a record there, for 'dmatrack report' to draw\n" \
"  --json             for programs\n" \
"  --progress         show progress on stderr, even if that is no terminal\n" \
"  --quiet            show no progress\n" \
"  --help             this text\n" \
"\n" \
"Sizes may end with K, M, G or T (1G, 1Gi and 1GiB are the same).\n" \
"\n" \
"The table: 'dirty' is the pages that the harvest reported; 'sent', 'zero', 'same'\n" \
"what became of them: sent, told to be zero, or (with --refine) left out, as their\n" \
"content had not changed. 'left' is what is still to be sent, and 'downtime' what\n" \
"stopping the devices for it would cost, both by what the round showed.\n" \
"\n"

struct copy;

/**
 * struct copy_view - how a command shows a copy
 * @begin: it begins: the destination is there
 * @round: after each round. Return: as the library's round()
 * @end: it ended. @error: 0, or what dmatrack_precopy_run() returned
 */
struct copy_view {
	void (*begin)(const struct copy *c);
	int (*round)(struct copy *c);
	void (*end)(const struct copy *c, int error);
};

/**
 * struct copy_round - a round that ended
 * @r: as the library tells it, without bitmaps
 * @writes: that devices did from the harvest before its own until that
 */
struct copy_round {
	struct dmatrack_round r;
	uint64_t writes;
};

/**
 * struct copy - one copy
 * @command: the subcommand
 * @target: whereto, as the user has it; NULL: to memory
 * @o: options
 * @view: how it's shown
 * @compare: compare the copy with the memory. Return: CLI_OK, CLI_NO; NULL: can't
 * @until: pages: so few reported are little enough; 0: not said
 * @out: where reports go: stdout, or stderr where that is the channel
 * @w: the workload
 * @region: its memory
 * @record: or NULL
 * @round: that ended
 * @nrounds: how many
 * @writes: of devices, at the last harvest but one, and at the last
 * @totals: of it all
 * @stats: what devices had done when they were stopped
 * @pinned: writes through pins that were kept
 * @digest: of the memory, with o->digest
 * @id: of the copy, by which its receiver knows it; or ""
 * @begun: the destination is there
 * @started: the copying, by dml_clock_now()
 * @limit: when the devices must not stand still any longer, by dml_clock_now(); or UINT64_MAX
 * @checked: the copy was or will be compared with the memory
 * @status: exit status, where a callback has said what's wrong already
 */
struct copy {
	const char *command;
	const char *target;
	struct copy_options *o;
	const struct copy_view *view;
	int (*compare)(struct copy *c);
	uint64_t until;
	FILE *out;
	struct workload w;
	struct dmatrack_region region[WORKLOAD_MAPPINGS];
	struct record *record;
	struct copy_round *round;
	unsigned int nrounds;
	uint64_t writes[2];
	struct dmatrack_totals totals;
	struct tdev_stats stats;
	uint64_t pinned;
	uint8_t digest[CLI_DIGEST];
	char id[CLI_DIGEST_TEXT];
	bool begun;
	uint64_t started;
	uint64_t limit;
	bool checked;
	int status;
};

/**
 * copy_open() - the workload, not yet writing
 * @c: @command, @target, @o, @view, @out, @checked and, if wanted, @compare and @until
 *     are set, the rest is zeroed. To be closed in any case
 * @copies: how often the memory must fit into this machine
 */
int copy_open(struct copy *c, unsigned int copies);
void copy_close(struct copy *c);

/**
 * copy_run() - copy
 * @c: open
 * @dest: where to
 *
 * Return: exit status, after what's wrong has been said.
 */
int copy_run(struct copy *c, struct dmatrack_dest *dest);

/* All three. @dest is closed */
int copy_to(struct copy *c, struct dmatrack_dest *dest);

/* How send and snapshot show it */
extern const struct copy_view copy_report_view;
void copy_report_progress(const struct dmatrack_round *round,
			  const struct copy *c);
/* What memory that is, who tracks it, and which devices write; not with JSON */
void copy_report_memory(const struct copy *c);
/* All there is about the copy. @error: as above */
void copy_report_json(const struct copy *c, json_t *o, int error);

#endif
