/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Random calls of type1 and dmatrack: what the files of the fuzzer share.
 *
 *	main.c		options, rounds, what is said of a failure
 *	round.c		one round: a process with a container, its threads
 *	random.c	the calls
 *	device.c	what devices do
 *	company.c	what comes and goes beside: other devices, other processes
 *	arena.c		memory that is taken away while the kernel uses it
 *
 * A round is a process of its own with a fresh container. It ends by itself, or
 * is killed in the midst of it. A container doesn't care what its user does to it;
 * so every answer is right but those that no rule allows (an errno that isn't
 * documented, an answer that contradicts itself), and what counts is that nothing
 * breaks, hangs or is left behind.
 *
 * Never given to a call: an address that might be this program's own memory, but
 * for what is meant to be written. What is called hostile is the arena with the
 * empty space behind it, the kernel's addresses, and the first page.
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
#include "test/random.h"

#define PAGE		4096ULL
#define MiB		(1ULL << 20)
#define GiB		(1ULL << 30)

#define THREADS_MAX	16
#define DEVICES_MAX	4
#define LAST		24		/* calls that are remembered */

/* One call that a thread has made, or is making */
struct note {
	const char *name;	/* the program's, the same in all processes */
	uint64_t arg[4];
	long ret;
	bool ended;
};

/**
 * struct news - what a round tells main(), in shared memory
 * @calls: made by each thread
 * @note: the last ones of each thread; @calls says which is the newest
 * @wrong: an answer that can't be: what; empty: none
 * @ended: the round came to its end
 * @killed: it is killing itself
 */
struct news {
	unsigned long calls[THREADS_MAX];
	struct note note[THREADS_MAX][LAST];
	char wrong[256];
	bool ended;
	bool killed;
};

/**
 * struct setup - of a round
 * @seed: of its random numbers
 * @calls: of all threads
 * @threads: that make them
 * @memory: MiB that the kernel may use for the container; 0: any amount
 * @device: VFIO devices; the first, a mediated one, is used; none: the engine
 * @nr_devices: how many
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
 * @s: its setup
 * @news: see there
 * @t: container
 * @d: device in it; NULL: there are groups with an IOMMU alone
 * @engine: it's in this process
 * @iommu: groups with an IOMMU come and go: what is mapped is pinned
 * @stop: threads beside the callers are to end
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
 * @id: its number; in a child process its parent's
 * @rng: state of its random numbers
 * @own: memory for answers, OWN bytes
 */
#define OWN	(64 * 1024)
struct caller {
	unsigned int id;
	uint64_t rng;
	unsigned char *own;
};

static inline uint64_t any(struct caller *c, uint64_t below)
{
	return random_below(&c->rng, below);
}

/* True once in @n times */
static inline bool once_in(struct caller *c, uint64_t n)
{
	return !any(c, n);
}

/* round.c: runs in the round's process and returns its exit status. */
int round_run(const struct setup *s, struct news *news);
/* A call begins; its answer comes. */
struct note *note_begin(struct caller *c, const char *name, uint64_t a,
			uint64_t b, uint64_t d, uint64_t e);
void note_end(struct note *n, long ret);
/* No rule allows this answer: the round ends. */
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
	ARG_MAP, ARG_UNMAP, ARG_DIRTY, ARG_LIST, ARG_RANGES, ARG_INFO,
	ARG_DMATRACK,
};
bool arena_init(void);
void arena_start(void);
void arena_stop(void);
/* Take some of it away, or give it back. */
void arena_wreck(struct caller *c);
/* For an answer: an address that may be bad, with @need bytes that aren't ours */
void *arena_hostile(struct caller *c, uint64_t need);
/* A copy of an argument, as far as there is memory */
void *arena_copy(struct caller *c, enum argument kind, const void *data,
		 size_t size);
/* Memory to be mapped: its address for @size bytes; may be bad */
uint64_t arena_memory(struct caller *c, uint64_t *size);

#endif
