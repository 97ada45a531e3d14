/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A workload: memory, and devices that write to it, for the subcommands that copy
 * what somebody writes.
 *
 *	workload.c		the container, its device, and when that writes
 *	workload_memory.c	the memory, and where devices see it
 *	workload_pinner.c	a driver that pins pages and writes through them
 *
 * Functions that return int return 0, or an exit status after they have said on
 * stderr what's wrong.
 */
#ifndef CLI_COPY_WORKLOAD_H
#define CLI_COPY_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/common/cli.h"
#include "cli/common/options.h"
#include "devices/device.h"
#include "dmatrack.h"

#define WORKLOAD_PAGE		UINT64_C(4096)
#define WORKLOAD_MAPPINGS	64u
#define WORKLOAD_PINS		1024u
#define WORKLOAD_AUTO		UINT64_MAX	/* an option that wasn't given */

/**
 * struct workload_options - what the user wants
 * @device: NULL: in this process
 * @size: bytes of memory; or 0: so much as there's for the device
 * @filled: so many bytes of it aren't zero, from the first on; or WORKLOAD_AUTO
 * @hot: devices write to so many bytes of it, from the first on; or WORKLOAD_AUTO
 * @threads: of the device
 * @rate: writes a second of all threads; 0: flat out; or WORKLOAD_AUTO
 * @write_size: bytes a write at the most; or WORKLOAD_AUTO
 * @pins: pages pinned at a time; 0: none
 * @mappings: how many
 * @hole: bytes that are not mapped, before the last mapping
 * @iova: of the first mapping; or WORKLOAD_AUTO
 * @seed: of the order of writes
 * @v1: a VFIO_TYPE1_IOMMU container; else v2
 */
struct workload_options {
	const char *device;
	uint64_t size;
	uint64_t filled;
	uint64_t hot;
	uint64_t threads;
	uint64_t rate;
	uint64_t write_size;
	uint64_t pins;
	uint64_t mappings;
	uint64_t hole;
	uint64_t iova;
	uint64_t seed;
	bool v1;
};

#define WORKLOAD_DEFAULTS { \
	.filled = WORKLOAD_AUTO, .hot = WORKLOAD_AUTO, .threads = 4, \
	.rate = WORKLOAD_AUTO, .write_size = WORKLOAD_AUTO, .pins = 16, \
	.mappings = 5, .hole = 2ull << 20, .iova = WORKLOAD_AUTO, .seed = 1 }

/* For a table: the options that set @member, a struct workload_options, of @type */
#define WORKLOAD_OPTIONS(type, member) \
	CLI_STRING("device", type, member.device), \
	CLI_FLAG("v1", type, member.v1), \
	CLI_SIZE("size", type, member.size, WORKLOAD_PAGE, 1ull << 46, \
		 WORKLOAD_PAGE), \
	CLI_SIZE("filled", type, member.filled, 0, 1ull << 46, 1), \
	CLI_SIZE("hot", type, member.hot, 1, 1ull << 46, 1), \
	CLI_NUMBER("mappings", type, member.mappings, 1, WORKLOAD_MAPPINGS, 1), \
	CLI_SIZE("hole", type, member.hole, 0, 1ull << 46, WORKLOAD_PAGE), \
	CLI_SIZE("iova", type, member.iova, 0, UINT64_MAX - 1, WORKLOAD_PAGE), \
	CLI_NUMBER("threads", type, member.threads, 1, \
		   TDEV_THREADS_MAX, 1), \
	CLI_NUMBER("rate", type, member.rate, 0, 1000000000, 1), \
	CLI_SIZE("write-size", type, member.write_size, 1, 65536, 1), \
	CLI_NUMBER("pins", type, member.pins, 0, WORKLOAD_PINS, 1), \
	CLI_NUMBER("seed", type, member.seed, 0, UINT64_MAX, 1)

/* And for a help text */
#define WORKLOAD_HELP_WHERE \
"Where:\n" \
"  (nothing)          in this process: the devices are threads\n" \
"  --device ADDRESS   in the kernel, by /dev/vfio: a PCI device that is bound to\n" \
"                     vfio-pci, such as 0000:00:03.0; QEMU's edu is supported\n" \
"  --device UUID      a mediated device of dmt_testdev, whose threads write\n" \
"  --v1               a container of VFIO type 1 instead of 1v2\n" \
"\n"
#define WORKLOAD_HELP_MEMORY \
"  --filled SIZE      so much of it isn't zero at first (default: all of it)\n" \
"  --mappings N       in how many mappings, of differing sizes (default: 5)\n" \
"  --hole SIZE        not mapped, before the last mapping (default: 2M; 0: none)\n" \
"  --iova ADDRESS     where devices see it (default: 4G; edu: 1M)\n" \
"\n"
#define WORKLOAD_HELP_DEVICES \
"Devices:\n" \
"  --threads N        how many write (default: 4)\n" \
"  --rate N           writes a second of all of them (default: 50000; with a\n" \
"                     mediated device 20000; 0: flat out, as edu always, which\n" \
"                     manages about five)\n" \
"  --write-size SIZE  bytes of a write at the most (default: 4K; edu: 2K)\n" \
"  --hot SIZE         they write to so much of the memory (default: all of it)\n" \
"  --pins N           pages that a driver keeps pinned at a time, and writes to\n" \
"                     (default: 16; 0: none). A pinned page counts as written\n" \
"  --seed N           of the order of writes (default: 1)\n" \
"\n"

/**
 * struct workload_mapping - a part of the memory
 * @iova: where devices see it
 * @size: in bytes
 * @offset: of it in the memory
 */
struct workload_mapping {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
};

struct workload_pinner;

/**
 * struct workload - memory and devices
 * @o: what the user wants, complete once it's open
 * @copies: how often the memory must fit into this machine; set before it's opened
 * @live: the memory
 * @size: in bytes
 * @mapping: ascending
 * @nmappings: how many
 * @last: last IOVA of all
 * @hole: bytes between two of the mappings
 * @t: the container
 * @device: that writes
 * @pinner: that writes as well, while it does; or NULL
 * @driver: who tracks
 * @kind: of the device
 */
struct workload {
	struct workload_options *o;
	unsigned int copies;
	unsigned char *live;
	uint64_t size;
	struct workload_mapping mapping[WORKLOAD_MAPPINGS];
	unsigned int nmappings;
	uint64_t last;
	uint64_t hole;
	struct dmatrack *t;
	struct dev_device *device;
	struct workload_pinner *pinner;
	const char *driver;
	const char *kind;
};

/**
 * workload_open() - memory that devices can write to
 * @w: zeroed, but for @copies; to be closed in any case
 * @o: what's left to us is filled in
 */
int workload_open(struct workload *w, struct workload_options *o);
void workload_close(struct workload *w);

/* Devices write. Once. */
int workload_start(struct workload *w);
/* What they have done so far, and through pins that are kept. @pinned may be NULL. */
int workload_stats(struct workload *w, struct tdev_stats *stats,
		   uint64_t *pinned);
/* They write no more when this returns. @pinned may be NULL, otherwise as above */
int workload_stop(struct workload *w, uint64_t *pinned);

/* The IOVA of a place in memory */
uint64_t workload_memory_iova(const struct workload *w, uint64_t offset);

/* What devices may write to: less than all of it with --hot */
uint64_t workload_memory_hot(const struct workload *w);

/* Pages of nobody yet, huge ones if they can be had. Return: NULL: there are none */
unsigned char *workload_memory_allocate(uint64_t size);

/* For workload.c: choose where devices see the memory; allocate and fill it. */
int workload_memory_layout(struct workload *w);
int workload_memory_fill(struct workload *w);
void workload_memory_free(struct workload *w);

/* A line for people: which devices these are */
void workload_print_devices(const struct workload *w, FILE *out);
const char *workload_who_tracks(const struct workload *w);

/* The pinner. w->device must have pins. Functions return 0 or -errno. */
int workload_pinner_start(struct workload_pinner **p, const struct workload *w);
uint64_t workload_pinner_writes(struct workload_pinner *p);	/* so far */
/* Unpins all. Return: 0 or what went wrong at any time */
int workload_pinner_stop(struct workload_pinner *p);

#endif
