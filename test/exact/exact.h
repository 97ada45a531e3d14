/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Random calls on a container, each compared with the model: what it returns,
 * every byte and bit of its answer; also calls that must be refused and change
 * nothing. One thread, so that a seed is the same calls on the engine, on
 * dmatrack.ko and on the stock driver. The container is this test's alone.
 */
#ifndef EXACT_EXACT_H
#define EXACT_EXACT_H

#include <stdbool.h>
#include <stdint.h>

struct dmatrack;
struct dev_device;

/**
 * struct exact_setup - what to run on
 * @t: an empty container
 * @d: a device in it that pins and writes; without an IOMMU
 * @base: first IOVA of the window of MODEL_WINDOW pages
 * @plain: keep to what the stock driver does right
 * @calls: how many
 * @seed: of the random numbers
 * @refused: calls that must be refused are among them
 */
struct exact_setup {
	struct dmatrack *t;
	struct dev_device *d;
	uint64_t base;
	bool plain;
	unsigned long calls;
	uint64_t seed;
	bool refused;
};

/**
 * exact_run() - call and compare
 * @setup: see above
 * @why: out: which call answered what instead of what; room for EXACT_WHY bytes
 *
 * Return: calls made; fewer than asked for where one was answered wrong.
 */
unsigned long exact_run(const struct exact_setup *setup, char *why);
#define EXACT_WHY	256

#endif
