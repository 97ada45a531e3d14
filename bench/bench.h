/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The developers' benchmark: all rows, with goals. Only ratios within one run mean
 * anything on another day or machine, so goals are ratios wherever they can be.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "cli/bench/bench.h"
#include "lib/util/random.h"

struct dmatrack;
struct dmatrack_engine;

/* The tables of rows; a row without a name ends a table. */
extern const struct bench_row bench_mark_rows[];
extern const struct bench_row bench_more_harvest_rows[];
extern const struct bench_row bench_threads_rows[];
extern const struct bench_row bench_space_rows[];
extern const struct bench_row bench_precopy_rows[];
extern const struct bench_row bench_stream_rows[];
extern const struct bench_row bench_track_rows[];
extern const struct bench_row bench_views_rows[];
extern const struct bench_row bench_density_rows[];
extern const struct bench_row bench_testdev_rows[];
extern const struct bench_row bench_iommu_rows[];

/* All tables of the kernel driver's rows */
extern const struct bench_row *const bench_kernel_tables[];

/* main.c ------------------------------------------------------------------- */

/* Bind the calling thread to a processor. */
void bench_pin_thread(unsigned int cpu);

/* layout.c ----------------------------------------------------------------- */

/**
 * enum bench_layout - how pages lie in tracked memory
 * @BENCH_RANDOM: at random; a page may come twice
 * @BENCH_SPREAD: at equal distances
 * @BENCH_CLUSTERED: in runs of BENCH_CLUSTER pages, at equal distances
 * @BENCH_CHUNKS: one in each chunk of the log, in chunks at equal distances
 */
enum bench_layout {
	BENCH_RANDOM,
	BENCH_SPREAD,
	BENCH_CLUSTERED,
	BENCH_CHUNKS,
};

#define BENCH_CLUSTER 256

/**
 * bench_layout_run() - the next run of pages of a layout
 * @layout: the layout
 * @n: number of pages in it
 * @npages: number of pages tracked
 * @i: number of pages before the run; increased by the run's length
 * @first: out: the run's first page
 *
 * Return: pages in the run.
 */
uint64_t bench_layout_run(enum bench_layout layout, uint64_t n, uint64_t npages,
			  uint64_t *i, uint64_t *first);

/* Number of chunks of a log of @npages pages, whole ones */
uint64_t bench_layout_chunks(uint64_t npages);

/* sweep.c ------------------------------------------------------------------ */

/* Print a line of JSON for each point: of all, or of the coarse sweep */
void bench_sweep(const struct bench *b, bool all);

/* bare.c ------------------------------------------------------------------- */

/**
 * struct bench_bare - bitmaps with nothing around them, for limits
 * @words: the bitmap, a bit a page
 * @nwords: its length, a power of two
 * @answer: the bitmap that a harvest fills, @nwords long
 */
struct bench_bare {
	uint64_t *words;
	uint64_t nwords;
	uint64_t *answer;
};

void bench_bare_init(struct bench_bare *bare, uint64_t npages);
void bench_bare_fini(struct bench_bare *bare);

/* Set @n random bits, with a 'lock or' each. */
void bench_bare_mark(struct bench_bare *bare, uint64_t *rng, unsigned int n);

/*
 * The same with so many instructions after each that do nothing: a mark's are as many more than
 * the 'lock or' itself. It's the limit of a mark: how many of them wait for their cache lines at
 * a time depends on the instructions between them.
 */
#define BENCH_AMONG "65"
void bench_bare_mark_among(struct bench_bare *bare, uint64_t *rng,
			   unsigned int n);

/* As QEMU sets @n runs of @npages bits, a power of two: stores, a barrier */
void bench_bare_mark_run(struct bench_bare *bare, uint64_t *rng, unsigned int n,
			 uint64_t npages);

/*
 * The limit of a mark of 512 pages: its stores to a cache line, a 'lock or' of the summary, and as
 * many instructions as it has besides
 */
#define BENCH_LINE_AMONG "57"
void bench_bare_mark_line_among(struct bench_bare *bare, uint64_t *rng,
				unsigned int n);

/*
 * The limit of a harvest: one that is told which @n words aren't 0, in ascending order. It clears the
 * answer, exchanges them, and writes them there.
 */
void bench_bare_take_known(struct bench_bare *bare, const uint64_t *known,
			   uint64_t n);

/* Exchange word @known[i] for 0; the words that follow are fetched meanwhile. Return: the word */
uint64_t bench_bare_take_word(struct bench_bare *bare, const uint64_t *known,
			      uint64_t n, uint64_t i);

struct bench_run {
	uint64_t first;
	uint64_t last;
};

/*
 * Clear words from word @w on, and list the runs of set bits in each. Return: number of runs, at most
 * @room; @w: out: where to go on
 */
uint64_t bench_bare_take_runs(struct bench_bare *bare, uint64_t *w,
			      struct bench_run *runs, uint64_t room);

/* Set the bits of @n pages from @first on, word by word. */
void bench_bare_set(struct bench_bare *bare, uint64_t first, uint64_t n);

/* Fill the answer with zeros. */
void bench_bare_zero(struct bench_bare *bare);

/* As QEMU harvests: fill the answer, with an atomic exchange of each word that isn't 0. */
void bench_bare_harvest(struct bench_bare *bare);

/* engine.c ----------------------------------------------------------------- */

/**
 * struct bench_engine - a container in this process
 * @t: the container, which tracks
 * @e: the same container, as its device sees it
 * @size: bytes mapped, from IOVA 0 on
 * @answer: room for a harvest of all of it
 * @rng: random numbers
 *
 * Mappings are of addresses where there need not be any memory: marks and
 * harvests touch none.
 */
struct bench_engine {
	struct dmatrack *t;
	struct dmatrack_engine *e;
	uint64_t size;
	uint64_t *answer;
	uint64_t rng;
};

/* Map @size bytes as @mappings mappings of one size, rounded down to pages. */
void bench_engine_open(struct bench_engine *be, uint64_t size,
		       unsigned int mappings);
void bench_engine_close(struct bench_engine *be);

void bench_engine_mark(struct bench_engine *be, uint64_t iova, uint64_t size);
void bench_engine_mark_random(struct bench_engine *be, uint64_t n);
void bench_engine_harvest(struct bench_engine *be);

/* Harvest until there's nothing left and its memory has been freed. */
void bench_engine_clean(struct bench_engine *be);

/* Mark a page in each 512: chunks have bitmaps, and summaries are set. */
void bench_engine_warm(struct bench_engine *be);

/* End the program with a message if @ret isn't 0. */
void bench_check(int ret, const char *what);

/* vfio.c ------------------------------------------------------------------- */

/**
 * struct bench_vfio - a container in the kernel, with one device
 * @t: the container
 * @device: the device's descriptor
 * @memory: 1 GiB of addresses, or more, that map the same few MiB over and over, so that
 *	    much can be dirty in a machine that has little
 * @span: bytes of addresses at @memory
 * @answer: room for a harvest of 1 TiB and a page more
 * @seed: seed of the places that the device writes to
 */
struct bench_vfio {
	struct dmatrack *t;
	int device;
	char *memory;
	uint64_t span;
	uint64_t *answer;
	uint64_t seed;
};

/* The first IOVA to map; lower ones stay free */
#define BENCH_BASE BENCH_GIB

void bench_vfio_open(struct bench_vfio *v, const struct bench *b);
void bench_vfio_close(struct bench_vfio *v);

/*
 * Have @v->memory span @size bytes, if it doesn't: of huge pages, since a machine with
 * little memory has no room for so many page tables of small ones. They have to be
 * reserved: /proc/sys/vm/nr_hugepages.
 */
void bench_vfio_widen(struct bench_vfio *v, uint64_t size);

/* Is it the mediated device of test/testdev? */
bool bench_vfio_is_testdev(const struct bench *b);

void bench_vfio_map(struct bench_vfio *v, uint64_t iova, uint64_t size);
void bench_vfio_unmap(struct bench_vfio *v, uint64_t iova, uint64_t size);

/* @n mappings of @size each from BENCH_BASE on, all of the same memory */
void bench_vfio_map_all(struct bench_vfio *v, unsigned int n, uint64_t size);

void bench_vfio_start(struct bench_vfio *v);
void bench_vfio_stop(struct bench_vfio *v);

/* GET_BITMAP into @v->answer, which both drivers find zeroed */
void bench_vfio_get(struct bench_vfio *v, uint64_t iova, uint64_t size);
void bench_vfio_zero(struct bench_vfio *v, uint64_t size);

/* Have the device write to @n random places of [BENCH_BASE, + @size). */
void bench_vfio_dirty(struct bench_vfio *v, uint64_t size, uint64_t n);

/* Have it write to @n pages of [BENCH_BASE, + @size), or pin or unpin them for writing. */
void bench_vfio_dirty_layout(struct bench_vfio *v, uint64_t size,
			     enum bench_layout layout, uint64_t n);
void bench_vfio_pin_layout(struct bench_vfio *v, uint64_t size,
			   enum bench_layout layout, uint64_t n, bool pin);

/* GET_BITMAP of [BENCH_BASE, + @size) by calls of 1 TiB at most */
void bench_vfio_get_all(struct bench_vfio *v, uint64_t size);

/* Have the device pin or unpin @size bytes from BENCH_BASE + @at on. */
void bench_vfio_pin(struct bench_vfio *v, uint64_t at, uint64_t size, bool pin);

/* Free memory of the machine; memory that the command's control group is charged for */
double bench_memory_free(void);
double bench_memory_charged(void);

/* report.c ----------------------------------------------------------------- */

enum bench_format {
	BENCH_TABLE,
	BENCH_JSON,
	BENCH_RAW, /* for 'bench --merge' */
};

/**
 * struct bench_line - a row that was run
 * @row: the row
 * @size: bytes tracked, or 0
 * @result: its figures
 * @stock: its figures on the stock driver; @n is 0 if they aren't known
 */
struct bench_line {
	const struct bench_row *row;
	uint64_t size;
	struct measure_result result;
	struct measure_figure stock;
};

void bench_report_begin(const struct bench *b, enum bench_format format);
void bench_report_line(const struct bench *b, const struct bench_line *line,
		       enum bench_format format);

/* Raw results of the stock driver and of dmatrack.ko, side by side */
int bench_merge(const struct bench *b, const char *stock, const char *ours,
		enum bench_format format);

/* The number of the goal for this size; 0: none */
double bench_goal_limit(const struct bench_row *row, uint64_t size);

/* A random number in [0, 2^bits): part of what is measured */
static inline uint64_t bench_random_bits(uint64_t *state, unsigned int bits)
{
	return dml_random_next(state) >> (64 - bits);
}

static inline unsigned int bench_log2(uint64_t n)
{
	return 63 - (unsigned int)__builtin_clzll(n);
}

#endif
