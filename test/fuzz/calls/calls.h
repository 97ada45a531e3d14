/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Random calls of type1 and dmatrack: declarations shared by the fuzzer's files.
 *
 * main.c	options, rounds, reports of failures
 * round.c	one round: a process with a container, its threads
 * random.c	the calls
 * device.c	the devices' operations
 * company.c	other devices and processes that come and go meanwhile
 * arena.c	memory that is taken away while the kernel uses it
 *
 * A round is a process of its own with a fresh container. It ends by itself, or
 * is killed at some point. Calls race with each other, so every answer is right but
 * those that no rule allows (an errno that isn't documented, an answer that contradicts
 * itself); and nothing may break, hang or be left behind.
 *
 * A call never gets an address that may be this program's own memory, except for memory
 * meant to be written. Hostile addresses are those of the arena and the empty space
 * behind it, the kernel's, and the first page's.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "lib/util/random.h"

#define PAGE	    4096ULL
#define MiB	    (1ULL << 20)
#define GiB	    (1ULL << 30)

#define THREADS_MAX 16
#define DEVICES_MAX 4
#define LAST	    24 /* number of calls recorded for each thread */

/* The record of a call that a thread has made, or is making */
struct note {
	const char *
		name; /* a string of the program, at the same address in all processes */
	uint64_t arg[4];
	long ret;
	bool ended;
};

/**
 * struct news - a round's report to main(), in shared memory
 * @calls: number of calls that each thread has made
 * @note: a ring of each thread's last calls; the newest is number @calls - 1
 * @wrong: description of an answer that no rule allows; empty: there was none
 * @ended: the round ran to its end
 * @killed: the round kills itself now
 */
struct news {
	unsigned long calls[THREADS_MAX];
	struct note note[THREADS_MAX][LAST];
	char wrong[256];
	bool ended;
	bool killed;
};

/**
 * struct setup - parameters of a round
 * @seed: seed of the random numbers
 * @calls: number of calls of all threads together
 * @threads: number of threads that make calls
 * @memory: MiB that the kernel may use for the container; 0: any amount
 * @device: names of VFIO devices; the first is a mediated one, for the round's own
 *	    operations; none: use the engine
 * @nr_devices: number of @device
 */
struct setup {
	uint64_t seed;
	unsigned long calls;
	unsigned int threads;
	unsigned int memory;
	const char *device[DEVICES_MAX];
	unsigned int nr_devices;
};

/**
 * struct world - the round under way
 * @s: the round's setup
 * @news: its report
 * @t: its container
 * @d: the device in it; NULL: there are only groups behind an IOMMU
 * @engine: the container is in this process
 * @iommu: groups behind an IOMMU come and go, so mapped memory is pinned
 * @stop: tells threads other than the callers to end
 */
struct world {
	const struct setup *s;
	struct news *news;
	struct dmatrack *t;
	struct dev_device *d;
	bool engine;
	bool iommu;
	bool stop;
};
extern struct world world;

/**
 * struct caller - a thread that makes calls
 * @id: the thread's number; in a child process, the parent thread's
 * @rng: state of the thread's random numbers
 * @own: memory for answers, OWN bytes
 * @view: a view of the container, which the caller opens and closes; or NULL
 */
#define OWN (64 * 1024)
struct caller {
	unsigned int id;
	uint64_t rng;
	unsigned char *own;
	struct dmatrack *view;
};

static inline uint64_t any(struct caller *c, uint64_t below)
{
	return dml_random_below(&c->rng, below);
}

/* True once in @n times */
static inline bool once_in(struct caller *c, uint64_t n)
{
	return !any(c, n);
}

/* round.c: run a round in the calling process. Return: the process's exit status */
int round_run(const struct setup *s, struct news *news);
/* Record a call before it is made, and its result after. */
struct note *note_begin(struct caller *c, const char *name, uint64_t a,
			uint64_t b, uint64_t d, uint64_t e);
void note_end(struct note *n, long ret);
/* Report an answer that no rule allows, and end the round. */
_Noreturn void wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* random.c */
void caller_init(struct caller *c, unsigned int id, uint64_t seed);
void random_call(struct caller *c);
uint64_t random_iova(struct caller *c);
uint64_t random_size(struct caller *c);

/* device.c */
void device_call(struct caller *c);

/* company.c */
void company_deny(struct caller *c);
void company_start(uint64_t seed);
void company_stop(void);

/* arena.c */
enum argument {
	ARG_MAP,
	ARG_UNMAP,
	ARG_DIRTY,
	ARG_LIST,
	ARG_RANGES,
	ARG_BITMAP,
	ARG_INFO,
	ARG_DMATRACK,
};
bool arena_init(void);
void arena_start(void);
void arena_stop(void);
/* Take some of the arena away, or give it back. */
void arena_wreck(struct caller *c);
/* An address for an answer of @need bytes, maybe a bad one, never in this program's memory */
void *arena_hostile(struct caller *c, uint64_t need);
/* A copy of an argument in the arena, maybe cut off */
void *arena_copy(struct caller *c, enum argument kind, const void *data,
		 size_t size);
/* An address of @size bytes to map, maybe a bad one */
uint64_t arena_memory(struct caller *c, uint64_t *size);

#endif
