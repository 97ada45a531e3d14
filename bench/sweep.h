/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The sweep: what a harvest costs, as a function of how many pages are dirty or pinned and
 * of where they lie.
 *
 *	sweep.c		the points, and the lines that are printed
 *	sweep_bed.c	a container in the kernel or in this process, at a point
 *
 * bench/sweep runs it, and judges.
 */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench.h"

#define SWEEP_DIRTY  (1u << 0)
#define SWEEP_PINNED (1u << 1)

/**
 * struct sweep_point - what a harvest finds
 * @size: bytes tracked, from the first mapping on
 * @mappings: number of mappings
 * @layout: where the pages lie
 * @what: SWEEP_DIRTY, SWEEP_PINNED, or both: pinned pages as @layout has them, and as
 *	  many dirty ones at random
 * @used: true: each chunk has been dirty before, and was harvested
 * @pages: number of pages
 */
struct sweep_point {
	uint64_t size;
	unsigned int mappings;
	enum bench_layout layout;
	unsigned int what;
	bool used;
	uint64_t pages;
};

/**
 * struct sweep_bed - a container, and what it is compared with
 * @b: what the user asked for
 * @v: the container in the kernel
 * @be: the container in this process
 * @bare: one bitmap of as many pages, or without words where that takes too much memory
 * @zero: /dev/zero
 * @point: what the next harvest finds
 * @sum: bytes in the ranges found
 */
struct sweep_bed {
	const struct bench *b;
	struct bench_vfio v;
	struct bench_engine be;
	struct bench_bare bare;
	int zero;
	const struct sweep_point *point;
	uint64_t sum;
};

/*
 * For all points with the size and the mappings of @point.
 * Return: false: the driver needs more memory for it than a small machine has
 */
bool sweep_bed_open(struct sweep_bed *bed, const struct bench *b,
		    const struct sweep_point *point);
void sweep_bed_close(struct sweep_bed *bed);

/* Before the passes of @point, and after them: the log's use, and pins */
void sweep_bed_enter(struct sweep_bed *bed, const struct sweep_point *point);
void sweep_bed_leave(struct sweep_bed *bed);

/* Passes of measure_row(): prepare, and harvest as a bitmap or as ranges; */
void sweep_bed_prepare(void *bed);
void sweep_bed_bitmap(void *bed);
void sweep_bed_ranges(void *bed);
/* the same pages in one bitmap; */
void sweep_bed_prepare_bare(void *bed);
void sweep_bed_bare_bitmap(void *bed);
void sweep_bed_bare_ranges(void *bed);
/* zeros written to the answer; before that, wait until the memory of a harvest is free */
void sweep_bed_settle(void *bed);
void sweep_bed_zero(void *bed);

#endif
