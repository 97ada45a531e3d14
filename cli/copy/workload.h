/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A workload: memory, and devices that write to it, for the subcommands that copy it.
 *
 *	workload.c		the container and its device
 *	workload_memory.c	the memory and its mappings
 *	workload_pinner.c	a driver that pins pages and writes through the pins
 *	workload_processor.c	a thread of this process that writes, which no device's log has
 *	workload_source.c	what reports the written pages
 *
 * Functions that return int return 0, or an exit status after an error message.
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

#define WORKLOAD_PAGE	  UINT64_C(4096)
#define WORKLOAD_MAPPINGS 64u
#define WORKLOAD_PINS	  1024u
#define WORKLOAD_SOURCES  3u
#define WORKLOAD_AUTO	  UINT64_MAX /* an option that wasn't given */

/**
 * struct workload_options - options of memory and devices
 * @device: PCI address or UUID; NULL: the engine, in this process
 * @size: bytes of memory; 0: the default for the device
 * @filled: bytes of memory, from the first on, that aren't zero at first; or WORKLOAD_AUTO
 * @hot: bytes of memory, from the first on, that devices write to; or WORKLOAD_AUTO
 * @threads: number of threads of the device
 * @rate: writes a second of all threads; 0: as fast as possible; or WORKLOAD_AUTO
 * @write_size: bytes of the largest write; or WORKLOAD_AUTO
 * @pins: number of pages pinned at a time
 * @mappings: number of mappings
 * @hole: bytes of IOVA space before the last mapping that are not mapped
 * @iova: IOVA of the first mapping; or WORKLOAD_AUTO
 * @seed: seed of the random writes
 * @source: list of sources, with commas between: see workload_source.c; NULL: the container
 * @v1: true: a VFIO_TYPE1_IOMMU container; false: VFIO_TYPE1v2_IOMMU
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
	const char *source;
	bool v1;
};

#define WORKLOAD_DEFAULTS \
	{ \
		.filled = WORKLOAD_AUTO, .hot = WORKLOAD_AUTO, .threads = 4, \
		.rate = WORKLOAD_AUTO, .write_size = WORKLOAD_AUTO, \
		.pins = 16, .mappings = 5, .hole = 2ull << 20, \
		.iova = WORKLOAD_AUTO, .seed = 1 \
	}

/* Entries of an option table that fill in @member, a struct workload_options, of @type */
#define WORKLOAD_OPTIONS(type, member) \
	CLI_STRING("device", type, member.device), \
		CLI_FLAG("v1", type, member.v1), \
		CLI_SIZE("size", type, member.size, WORKLOAD_PAGE, 1ull << 46, \
			 WORKLOAD_PAGE), \
		CLI_SIZE("filled", type, member.filled, 0, 1ull << 46, 1), \
		CLI_SIZE("hot", type, member.hot, 1, 1ull << 46, 1), \
		CLI_NUMBER("mappings", type, member.mappings, 1, \
			   WORKLOAD_MAPPINGS, 1), \
		CLI_SIZE("hole", type, member.hole, 0, 1ull << 46, \
			 WORKLOAD_PAGE), \
		CLI_SIZE("iova", type, member.iova, 0, UINT64_MAX - 1, \
			 WORKLOAD_PAGE), \
		CLI_NUMBER("threads", type, member.threads, 1, \
			   TDEV_THREADS_MAX, 1), \
		CLI_NUMBER("rate", type, member.rate, 0, 1000000000, 1), \
		CLI_SIZE("write-size", type, member.write_size, 1, 65536, 1), \
		CLI_NUMBER("pins", type, member.pins, 0, WORKLOAD_PINS, 1), \
		CLI_NUMBER("seed", type, member.seed, 0, UINT64_MAX, 1), \
		CLI_STRING("source", type, member.source)

/* Parts of help texts */
#define WORKLOAD_HELP_WHERE \
	"Where:\n" \
	"  (nothing)          in this process: the devices are threads\n" \
	"  --device ADDRESS   in the kernel, through /dev/vfio: a PCI device that is\n" \
	"                     bound to vfio-pci, such as 0000:00:03.0; it must be QEMU's\n" \
	"                     edu\n" \
	"  --device UUID      in the kernel: a mediated device of dmt_testdev, whose\n" \
	"                     threads write\n" \
	"  --v1               use a container of VFIO type 1 instead of 1v2\n" \
	"\n"
#define WORKLOAD_HELP_MEMORY \
	"  --filled SIZE      the first SIZE of it are not zero at first (default: all)\n" \
	"  --mappings N       map it by N mappings, of differing sizes (default: 5)\n" \
	"  --hole SIZE        unmapped IOVAs before the last mapping (default: 2M; 0:\n" \
	"                     none)\n" \
	"  --iova ADDRESS     IOVA of the first mapping (default: 4G; edu: 1M)\n" \
	"\n"
#define WORKLOAD_HELP_DEVICES \
	"Devices:\n" \
	"  --threads N        number of threads that write (default: 4)\n" \
	"  --rate N           writes a second, all threads together (default: 50000; with\n" \
	"                     a mediated device 20000; 0: as fast as possible, which is\n" \
	"                     edu's default, about five)\n" \
	"  --write-size SIZE  size of the largest write (default: 4K; edu: 2K)\n" \
	"  --hot SIZE         write only to the first SIZE of the memory (default: all)\n" \
	"  --pins N           pages that a driver keeps pinned at a time, and writes to\n" \
	"                     (default: 16; 0: none). A pinned page counts as written\n" \
	"  --seed N           seed of the random writes (default: 1)\n" \
	"\n" \
	"Sources:\n" \
	"  --source LIST      what reports the pages that were written, with commas\n" \
	"                     between (default: container): container, what devices\n" \
	"                     write; device, the log that the device keeps itself; process,\n" \
	"                     what this process's processors write, which a thread then\n" \
	"                     does, too\n" \
	"\n"

/**
 * struct workload_mapping - a mapping of a part of the memory
 * @iova: first IOVA
 * @size: size in bytes
 * @offset: offset in the memory in bytes
 */
struct workload_mapping {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
};

struct workload_pinner;
struct workload_processor;

/**
 * struct workload - memory and devices
 * @o: options; workload_open() replaces WORKLOAD_AUTO by values
 * @copies: how many times the memory must fit into the machine's; set before opening
 * @live: the memory
 * @size: size of the memory in bytes
 * @mapping: mappings, ascending
 * @nmappings: number of mappings
 * @last: last IOVA of all mappings
 * @hole: bytes of IOVA space before the last mapping that are not mapped
 * @t: the container
 * @device: the device that writes
 * @source: the sources: the container, or a log, as a container
 * @source_name: their names
 * @nsources: number of sources
 * @pinner: the driver that pins and writes; NULL while there is none
 * @processor: the thread that writes; NULL while there is none
 * @processor_writes: number of writes of those that have ended
 * @driver: name of the driver that tracks, from dmatrack_driver()
 * @kind: kind of the device, from dev_kind()
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
	struct dmatrack *source[WORKLOAD_SOURCES];
	const char *source_name[WORKLOAD_SOURCES];
	unsigned int nsources;
	struct workload_pinner *pinner;
	struct workload_processor *processor;
	uint64_t processor_writes;
	const char *driver;
	const char *kind;
};

/**
 * workload_open() - open a container with a device, and map memory
 * @w: zeroed, except @copies. Call workload_close() even if this fails
 * @o: its options; WORKLOAD_AUTO is replaced by values
 */
int workload_open(struct workload *w, struct workload_options *o);
void workload_close(struct workload *w);

/* Let the devices write, also again after workload_stop(). */
int workload_start(struct workload *w);
/* Statistics so far. @pinned: out, or NULL: number of writes through pins */
int workload_stats(struct workload *w, struct tdev_stats *stats,
		   uint64_t *pinned);
/* Stop the devices: when this returns, they write no more. @pinned: as above */
int workload_stop(struct workload *w, uint64_t *pinned);

/* IOVA of an offset in the memory */
uint64_t workload_memory_iova(const struct workload *w, uint64_t offset);

/* Bytes of memory that devices write to: all of it, or --hot */
uint64_t workload_memory_hot(const struct workload *w);

/* Allocate fresh memory, in huge pages if possible. Return: NULL: no memory */
unsigned char *workload_memory_allocate(uint64_t size);

/* For workload.c: choose the mappings; allocate and fill the memory. */
int workload_memory_layout(struct workload *w);
int workload_memory_fill(struct workload *w);
void workload_memory_free(struct workload *w);

/* Describe the devices; name the driver that tracks. */
void workload_print_devices(const struct workload *w, FILE *out);
const char *workload_tracker(const struct workload *w);

/* The pinner. w->device must have pins. Functions return 0 or -errno. */
int workload_pinner_start(struct workload_pinner **p, const struct workload *w);
uint64_t workload_pinner_writes(struct workload_pinner *p); /* so far */
/* Unpin all pages, and end. Return: 0, or -errno of the first call that failed */
int workload_pinner_stop(struct workload_pinner *p);

/* For workload.c: the sources, when memory is mapped. */
int workload_source_open(struct workload *w);
void workload_source_close(struct workload *w);
bool workload_source_has(const struct workload *w, const char *name);

/* The thread that writes. Return: 0 or -errno */
int workload_processor_start(struct workload_processor **p,
			     const struct workload *w);
uint64_t workload_processor_writes(const struct workload_processor *p);
void workload_processor_stop(struct workload_processor *p);

#endif
