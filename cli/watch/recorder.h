/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Recorder: writes what was watched as a record, which 'dmatrack report' draws. Each interval is a round
 * in which nothing is sent: the pages that were written in it, and the downtime of a migration that begins
 * at its end.
 */
#ifndef CLI_WATCH_RECORDER_H
#define CLI_WATCH_RECORDER_H

#include "cli/report/record.h"
#include "sample.h"
#include "show.h"

/**
 * struct recorder - a record that is being written
 * @record: the record; NULL: there is none, or it is full
 * @sample: the container
 * @listener: to @sample's stamps
 * @since: first tick of the interval
 * @dirty: number of pages written in the interval, within the record's regions
 * @rounds: number of intervals
 * @elapsed: ns from the beginning to the last of them
 * @full: whether intervals were left out, as a record has no more
 */
struct recorder {
	struct record *record;
	struct sample *sample;
	struct dml_stamps_listener listener;
	uint64_t since;
	uint64_t dirty;
	uint32_t rounds;
	uint64_t elapsed;
	bool full;
};

/* Create the record. Return: 0, or an exit status after an error message */
int recorder_open(struct recorder *r, const char *path, const struct show *show,
		  struct sample *sample);

/* An interval has ended; with ns 0: begins. */
void recorder_add(struct recorder *r, const struct shown *shown);

/* End it. Return: 0, or an exit status after an error message */
int recorder_close(struct recorder *r, const char *path);

#endif
