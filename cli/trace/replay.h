/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack replay: carries out a trace of type1 calls and device writes.
 *
 *	replay.c	options, and the loop over the calls
 *	replay_read.c	reads the lines of a file
 *	replay_parse.c	parses a line into a call
 *	replay_trace.c	the list of calls
 *	replay_memory.c	the mappings' memory
 *	replay_player.c	carries out a call
 *	replay_check.c	compares results with expectations
 *	replay_print.c	prints calls and results as text, which is a trace again
 *	replay_json.c	prints them as JSON
 *
 * man/dmatrack-trace.5 describes the text. It isn't trusted: no number in it becomes an
 * address in this process, and the memory that it makes us allocate is bounded. All of
 * it is read before the first call is carried out.
 *
 * Functions that return int return 0, or an exit status after an error message.
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

#define REPLAY_PAGE   UINT64_C(4096)
#define REPLAY_LINE   4096u	   /* longest line in bytes */
#define REPLAY_CALLS  1000000u	   /* most calls of a trace */
#define REPLAY_RANGES 16000000u	   /* most ranges of pages in a trace */
#define REPLAY_NAME   32u	   /* longest name of an area in bytes */
#define REPLAY_AREAS  1024u	   /* most areas with a name */
#define REPLAY_MEMORY (1ull << 46) /* most bytes of all areas */
#define REPLAY_BITMAP (1ull << 30) /* largest bitmap in bytes */

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

/* The address of a buffer: valid, or in which way not */
enum replay_pointer {
	REPLAY_POINTER_GOOD,
	REPLAY_POINTER_NULL,
	REPLAY_POINTER_BAD,	 /* in the kernel's half of the addresses */
	REPLAY_POINTER_UNMAPPED, /* in this process, without memory */
};

/* Members of struct replay_call that the line gave */
#define REPLAY_HAS_ARGSZ     (1u << 0)
#define REPLAY_HAS_FLAGS     (1u << 1)
#define REPLAY_HAS_BYTES     (1u << 2)
#define REPLAY_HAS_PAGE_SIZE (1u << 3)
#define REPLAY_HAS_VALUE     (1u << 4)

/* Which memory a mapping has */
enum replay_where {
	REPLAY_ANYWHERE, /* memory of its own */
	REPLAY_NAMED,	 /* area @area, from offset @place on */
	REPLAY_RECORDED, /* memory for address @place of the recorded program */
};

/**
 * struct replay_range - pages of a bitmap
 * @first: number of the first page
 * @last: number of the last page
 */
struct replay_range {
	uint64_t first;
	uint64_t last;
};

/**
 * struct replay_expect - the expected result of a call
 * @has_ret: true: @ret is expected
 * @has_pages: true: the pages in @ranges, or @all, are expected
 * @all: true: every page is expected
 * @has_value: true: @value is expected
 * @value: value of every byte read
 * @ret: return value, or -errno; for unmap bytes unmapped
 * @ranges: index of the first expected range in the trace's @ranges
 * @nr_ranges: number of expected ranges
 */
struct replay_expect {
	bool has_ret, has_pages, all, has_value;
	uint8_t value;
	long ret;
	uint32_t ranges, nr_ranges;
};

/**
 * struct replay_call - a call of a trace
 * @line: number of its line
 * @verb: enum replay_verb: which call
 * @has: REPLAY_HAS_*: the members that the line gave; for others the right value is used
 * @with_bitmap: true: unmap with a bitmap
 * @everything: true: unmap all
 * @type: type of a container: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
 * @prot: access: DMATRACK_MAP_READ and DMATRACK_MAP_WRITE; for pins the same values
 * @pointer: enum replay_pointer: address of a map's memory, or of the bitmap
 * @where: enum replay_where: which memory a map has
 * @area: index of the area in the trace's @areas
 * @argsz: argsz of the call's structure
 * @flags: flags of the call's structure
 * @iova: first IOVA; for ioctl the number of the call
 * @size: size in bytes; for pins number of pages; for ioctl the argument
 * @page_size: bytes of a page of the bitmap
 * @bytes: size of the bitmap in bytes, as given to the driver
 * @value: value that is written; for check the extension
 * @place: offset in the area, or recorded address: see @where
 * @expect: expected result
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
 * struct replay_area - memory of mappings
 * @name: name in the trace; or ""
 * @start: first recorded address; or 0
 * @size: size in bytes
 * @memory: the memory; NULL until it is allocated
 */
struct replay_area {
	char name[REPLAY_NAME];
	uint64_t start;
	uint64_t size;
	unsigned char *memory;
};

/**
 * struct replay_trace - a trace
 * @name: name of its file
 * @calls: its calls
 * @nr_calls: number of calls
 * @max_calls: number of calls that @calls has room for
 * @ranges: ranges of pages of all expectations
 * @nr_ranges: number of ranges
 * @max_ranges: number of ranges that @ranges has room for
 * @areas: areas with a name
 * @nr_areas: number of areas
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

/* Call replay_trace_free() even if this fails. */
int replay_read(struct replay_trace *t, FILE *file, const char *name);

/* replay_trace.c --------------------------------------------------------------- */

void replay_trace_free(struct replay_trace *t);

/* Add a call. Return: it, zeroed; NULL: no memory, or REPLAY_CALLS reached */
struct replay_call *replay_trace_add_call(struct replay_trace *t);

/* Add a range to the last call's expectation. Return: false: no memory, or REPLAY_RANGES reached */
bool replay_trace_add_range(struct replay_trace *t, uint64_t first,
			    uint64_t last);

/* replay_parse.c --------------------------------------------------------------- */

/**
 * struct replay_error - an error in a line
 * @column: its column, from 1 on
 * @text: message
 */
struct replay_error {
	unsigned int column;
	char text[160];
};

/**
 * replay_parse_line() - parse a line
 * @t: trace to which its call is added, if it has one
 * @line: the line without its newline; overwritten
 * @number: number of the line
 * @e: out: the error
 *
 * Return: false: there is an error.
 */
bool replay_parse_line(struct replay_trace *t, char *line, uint32_t number,
		       struct replay_error *e);

/* Word of a trace for a verb, for a pointer; NULL: no such verb */
const char *replay_parse_verb_name(enum replay_verb verb);
const char *replay_parse_pointer_name(enum replay_pointer pointer);

/* replay_memory.c -------------------------------------------------------------- */

/**
 * struct replay_memory - the mappings' memory
 * @named: the trace's areas
 * @nr_named: number of areas in @named
 * @recorded: areas of recorded addresses, ascending
 * @nr_recorded: number of areas in @recorded
 * @own: areas of mappings with memory of their own
 * @nr_own: number of areas in @own
 * @max_own: number of areas that @own has room for
 * @left: bytes that may still be allocated
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

/* @memory: out: address for a map */
int replay_memory_of(struct replay_memory *m, const struct replay_call *call,
		     const char *trace, void **memory);

/*
 * Return: an invalid address of that kind, with no memory of this process in the @size
 * bytes from there on; if that can't be, one in the kernel's half. NULL may also mean
 * that there is no room.
 */
void *replay_memory_wrong(struct replay_memory *m, enum replay_pointer pointer,
			  uint64_t size);

/* replay_player.c -------------------------------------------------------------- */

/**
 * struct replay_player - the container on which a trace is carried out
 * @device: name of the device, from --device; NULL: the engine
 * @v1: true: always use VFIO_TYPE1_IOMMU
 * @t: the container
 * @d: the device in it; NULL until a call needs it
 * @memory: the mappings' memory
 * @trace: the trace's name, for messages
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
 * struct replay_result - the result of a call
 * @ret: return value, or -errno; for unmap bytes unmapped
 * @bitmap: pages reported, or NULL
 * @npages: number of bits in @bitmap
 * @mapped: size of @bitmap's memory in bytes
 * @has_value: true: the call read @value
 * @mixed: true: the bytes read differ; @value is the first one's
 * @value: value of every byte read
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

bool replay_check(const struct replay_trace *t, const struct replay_call *call,
		  const struct replay_result *r);

/* replay_print.c --------------------------------------------------------------- */

void replay_print(FILE *to, const struct replay_trace *t,
		  const struct replay_call *call,
		  const struct replay_result *r);

/* Return: a call without its result, to be freed; NULL: no memory */
char *replay_print_text(const struct replay_trace *t,
			const struct replay_call *call);

/* Print the expected and the actual result to stderr. */
void replay_print_difference(const struct replay_trace *t,
			     const struct replay_call *call,
			     const struct replay_result *r);

/* Parts of lines, for the recorder as well */
void replay_print_address(FILE *to, uint64_t n); /* 0x100000 */
void replay_print_size(FILE *to, uint64_t n);	 /* 1M */
void replay_print_error(FILE *to, long ret);	 /* EINVAL */
void replay_print_pages(FILE *to, const uint64_t *bitmap, uint64_t npages,
			const char *more);

/* replay_json.c ----------------------------------------------------------------- */

/* @checked: the call has an expectation; @met: the result is as expected */
void replay_json(const struct replay_trace *t, const struct replay_call *call,
		 const struct replay_result *r, bool checked, bool met);

#endif
