/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack replay: a trace of type1 calls and device writes, carried out.
 *
 *	replay.c	options, and what comes after what
 *	replay_read.c	a file to lines
 *	replay_parse.c	a line to a call
 *	replay_trace.c	a list of calls
 *	replay_memory.c	memory for what is mapped
 *	replay_player_run.c	carries a call out
 *	replay_check.c	what came against what was expected
 *	replay_print.c	calls and results as text: a trace again
 *	replay_json.c	and as JSON
 *
 * man/dmatrack-trace.5 describes the text. It may come from anybody: no number in
 * it becomes an address in this process, and what it makes us allocate is bounded.
 * The whole of it is read before any of it is done.
 *
 * Functions that return int return 0, or an exit status after they have said on
 * stderr what's wrong, unless said otherwise.
 */
#ifndef CLI_TRACE_REPLAY_H
#define CLI_TRACE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/common/cli.h"
#include "devices/device.h"
#include "dmatrack.h"

#define REPLAY_PAGE		UINT64_C(4096)
#define REPLAY_LINE		4096u		/* bytes of a line */
#define REPLAY_CALLS		1000000u	/* of a trace */
#define REPLAY_RANGES		16000000u	/* of pages, likewise */
#define REPLAY_NAME		32u		/* bytes of an area's name */
#define REPLAY_AREAS		1024u		/* with a name */
#define REPLAY_MEMORY		(1ull << 46)	/* addresses of all areas */
#define REPLAY_BITMAP		(1ull << 30)	/* bytes of a bitmap */

enum replay_verb {
	REPLAY_CONTAINER,
	REPLAY_MAP,
	REPLAY_UNMAP,
	REPLAY_START,
	REPLAY_STOP,
	REPLAY_HARVEST,
	REPLAY_INFO,
	REPLAY_CHECK,
	REPLAY_IOCTL,
	REPLAY_WRITE,
	REPLAY_READ,
	REPLAY_PIN,
	REPLAY_UNPIN,
	REPLAY_PINNED_WRITE,
	REPLAY_MARK,
};

/* An address that is to be wrong */
enum replay_pointer {
	REPLAY_POINTER_GOOD,
	REPLAY_POINTER_NULL,
	REPLAY_POINTER_BAD,		/* the kernel's */
	REPLAY_POINTER_UNMAPPED,	/* ours, with nothing there */
};

/* Members of struct replay_call that the line gave */
#define REPLAY_HAS_ARGSZ	(1u << 0)
#define REPLAY_HAS_FLAGS	(1u << 1)
#define REPLAY_HAS_BYTES	(1u << 2)
#define REPLAY_HAS_PAGE_SIZE	(1u << 3)
#define REPLAY_HAS_VALUE	(1u << 4)

/* Where a mapping's memory is */
enum replay_where {
	REPLAY_ANYWHERE,	/* its own */
	REPLAY_NAMED,		/* @place bytes into area @area */
	REPLAY_RECORDED,	/* @place was its address in a recorded program */
};

/**
 * struct replay_range - pages of a bitmap
 * @first: the first
 * @last: inclusive
 */
struct replay_range {
	uint64_t first;
	uint64_t last;
};

/**
 * struct replay_expect - what a call must bring
 * @has_ret: @ret is what it returns, or -errno; for unmap the bytes unmapped
 * @has_pages: the pages reported are @nr_ranges from @ranges on in the trace's
 * @all: instead: every page
 * @has_value: every byte read is @value
 */
struct replay_expect {
	bool has_ret, has_pages, all, has_value;
	uint8_t value;
	long ret;
	uint32_t ranges, nr_ranges;
};

/**
 * struct replay_call - a line
 * @line: its number
 * @verb: which call
 * @has: REPLAY_HAS_*
 * @with_bitmap: unmap with a bitmap
 * @everything: unmap all
 * @type: of a container: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
 * @prot: DMATRACK_MAP_READ and _WRITE; for pins the same values
 * @pointer: of a map the memory, else the bitmap
 * @where: see there
 * @area: index of the trace's areas
 * @argsz: and the following, as the call's structure has them; without
 *	   REPLAY_HAS_* what is right
 * @iova: where; for ioctl the number of the call
 * @size: bytes; pins: pages; ioctl: the argument
 * @page_size: of the bitmap
 * @bytes: of the bitmap, as the driver is told
 * @value: that's written; CHECK_EXTENSION's argument
 * @place: see @where
 * @expect: what must come of it
 */
struct replay_call {
	uint32_t line;
	uint8_t verb, has;
	bool with_bitmap, everything;
	uint8_t type, prot, pointer, where;
	uint16_t area;
	uint32_t argsz, flags;
	uint64_t iova, size, page_size, bytes, value, place;
	struct replay_expect expect;
};

/**
 * struct replay_area - memory
 * @name: in the trace; "" for that of recorded addresses
 * @start: the recorded address it begins at; else 0
 * @size: bytes
 * @memory: once it's there
 */
struct replay_area {
	char name[REPLAY_NAME];
	uint64_t start;
	uint64_t size;
	unsigned char *memory;
};

/**
 * struct replay_trace - all of it
 * @name: the file's
 * @calls: in order
 * @nr_calls: how many
 * @max_calls: there is room for
 * @ranges: of pages, of all expectations
 * @nr_ranges: how many
 * @max_ranges: there is room for
 * @areas: memory by name
 * @nr_areas: how many
 */
struct replay_trace {
	const char *name;
	struct replay_call *calls;
	uint32_t nr_calls, max_calls;
	struct replay_range *ranges;
	uint32_t nr_ranges, max_ranges;
	struct replay_area *areas;
	uint32_t nr_areas;
};

/* replay_read.c ---------------------------------------------------------------- */

/* Free the trace whatever comes of it. */
int replay_read(struct replay_trace *t, FILE *file, const char *name);

/* replay_trace.c --------------------------------------------------------------- */

void replay_trace_free(struct replay_trace *t);

/* Room for one more. Return: it, zeroed; NULL: @t has as many as it may. */
struct replay_call *replay_trace_add_call(struct replay_trace *t);

/* To the expectation of the last call. Return: false: likewise */
bool replay_trace_add_range(struct replay_trace *t, uint64_t first, uint64_t last);

/* replay_parse.c --------------------------------------------------------------- */

/**
 * struct replay_error - what's wrong with a line
 * @column: where, from 1 on
 * @text: what
 */
struct replay_error {
	unsigned int column;
	char text[160];
};

/**
 * replay_parse_line() - take a line apart
 * @t: gets the call, if there's one in the line
 * @line: without its end; overwritten
 * @number: of the line
 * @e: out: what's wrong
 *
 * Return: false: something is.
 */
bool replay_parse_line(struct replay_trace *t, char *line, uint32_t number,
		       struct replay_error *e);

/* The call as it's written; NULL: no such verb */
const char *replay_parse_verb_name(enum replay_verb verb);
const char *replay_parse_pointer_name(enum replay_pointer pointer);

/* replay_memory.c -------------------------------------------------------------- */

/**
 * struct replay_memory - what mappings are of
 * @named: the trace's areas
 * @nr_named: how many
 * @recorded: areas of recorded addresses, ascending
 * @nr_recorded: how many
 * @own: areas of mappings that have one each
 * @nr_own: how many
 * @max_own: there is room for
 * @left: addresses that may still be taken
 */
struct replay_memory {
	struct replay_area *named;
	uint32_t nr_named;
	struct replay_area *recorded;
	uint32_t nr_recorded;
	struct replay_area *own;
	uint32_t nr_own, max_own;
	uint64_t left;
};

int replay_memory_init(struct replay_memory *m, struct replay_trace *t);
void replay_memory_free(struct replay_memory *m);

/* Where the memory of a map is */
int replay_memory_of(struct replay_memory *m, const struct replay_call *call,
		     const char *trace, void **memory);

/*
 * An address of that kind of wrongness, with nothing of ours in the @size bytes from
 * there on: where that can't be, the kernel's. NULL may also mean: no room.
 */
void *replay_memory_wrong(struct replay_memory *m, enum replay_pointer pointer,
			  uint64_t size);

/* replay_player_run.c ------------------------------------------------------------------- */

/**
 * struct replay_player - what a trace is played on
 * @device: as --device; NULL: the engine
 * @v1: whatever the trace says
 * @t: container, open
 * @d: the device in it, once it had to do something
 * @memory: what is mapped
 * @trace: its name, for messages
 */
struct replay_player {
	const char *device;
	bool v1;
	struct dmatrack *t;
	struct dev_device *d;
	struct replay_memory memory;
	const char *trace;
};

/**
 * struct replay_result - what came of a call
 * @ret: what it returned, or -errno; for unmap the bytes unmapped
 * @bitmap: pages reported, or NULL
 * @npages: its bits
 * @mapped: bytes of @bitmap's memory
 * @has_value: every byte read was @value
 * @value: see there
 * @mixed: they weren't all the same
 */
struct replay_result {
	long ret;
	uint64_t *bitmap;
	uint64_t npages;
	size_t mapped;
	bool has_value, mixed;
	uint8_t value;
};

int replay_player_open(struct replay_player *p, unsigned int type);
void replay_player_close(struct replay_player *p);
int replay_player_run(struct replay_player *p, const struct replay_call *call,
		      struct replay_result *r);
void replay_player_free(struct replay_result *r);

/* replay_check.c --------------------------------------------------------------- */

bool replay_check(const struct replay_trace *t,
		  const struct replay_call *call,
		  const struct replay_result *r);

/* replay_print.c --------------------------------------------------------------- */

void replay_print(FILE *to, const struct replay_trace *t,
		  const struct replay_call *call,
		  const struct replay_result *r);

/* A call alone, to be freed; NULL: no memory */
char *replay_print_text(const struct replay_trace *t,
			const struct replay_call *call);

/* On stderr: what was expected, and what came */
void replay_print_difference(const struct replay_trace *t,
			     const struct replay_call *call,
			     const struct replay_result *r);

/* What the recorder prints, too */
void replay_print_address(FILE *to, uint64_t n);	/* 0x100000 */
void replay_print_size(FILE *to, uint64_t n);		/* 1M */
void replay_print_error(FILE *to, long ret);		/* EINVAL */
void replay_print_pages(FILE *to, const uint64_t *bitmap, uint64_t npages,
			const char *more);

/* replay_json.c ----------------------------------------------------------------- */

/* @checked: something was expected; @met: and came */
void replay_json(const struct replay_trace *t, const struct replay_call *call,
		 const struct replay_result *r, bool checked, bool met);

#endif
