/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Random calls on a container, each compared with the model: its return value and
 * every byte and bit of its answer; also calls that must be refused and change
 * nothing. One thread, so that a seed gives the same calls on the engine, on
 * dmatrack.ko and on the stock driver. No other program uses the container.
 */
#ifndef EXACT_EXACT_H
#define EXACT_EXACT_H

#include <stdbool.h>
#include <stdint.h>

struct dmatrack;
struct dev_device;

/**
 * struct exact_setup - the container to compare, and the calls to make
 * @t: an empty container
 * @d: a device in it that pins and writes; without an IOMMU
 * @base: first IOVA of the window of MODEL_WINDOW pages
 * @plain: make only calls that the stock driver answers right
 * @views: also open views, which harvest in turn with the container
 * @calls: number of calls
 * @seed: seed of the random numbers
 * @refused: also make calls that must be refused
 */
struct exact_setup {
	struct dmatrack *t;
	struct dev_device *d;
	uint64_t base;
	bool plain;
	bool views;
	unsigned long calls;
	uint64_t seed;
	bool refused;
};

/**
 * exact_run() - make random calls and compare their answers with the model's
 * @setup: the container and the calls
 * @why: out: the call that was answered wrong, its answer and the right one, in at most
 * EXACT_WHY bytes
 *
 * Return: number of calls made; fewer than @setup->calls if one was answered wrong.
 */
unsigned long exact_run(const struct exact_setup *setup, char *why);
#define EXACT_WHY 256

#endif
