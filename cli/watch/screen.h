/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The screen: an interval, shown live in a terminal, by ncurses.
 *
 *	screen.c	the terminal, the keys, and which part of the memory is shown
 *	panel.c		draws it
 */
#ifndef CLI_WATCH_SCREEN_H
#define CLI_WATCH_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/machine/machine.h"
#include "heat.h"
#include "hot.h"
#include "sample.h"
#include "show.h"

#define SCREEN_ZOOMS	16u
#define SCREEN_HISTORY	512u
#define SCREEN_RANGES	40u
#define SCREEN_NO_CELL	UINT32_MAX
#define SCREEN_INTERVAL 100u /* ms: the shortest */

/**
 * struct screen_zoom - a part of the memory
 * @first: place of its first page
 * @pages: number of its pages; UINT64_MAX: to the end
 */
struct screen_zoom {
	uint64_t first, pages;
};

/**
 * struct screen - what a screen shows
 * @term: the terminal, of ncurses
 * @show: how an interval is shown
 * @sample: the container
 * @shown: the interval that is shown
 * @interval: ms of an interval
 * @paused: whether the next intervals are left out
 * @help: whether the keys are explained
 * @quit: whether the user has asked to end
 * @wide: whether the terminal has characters for shades and bars
 * @colour: whether it has colours
 * @heat: the map
 * @listener: adds writes to @heat, unless @paused
 * @zoom: parts of the memory, each within the one before; the last one is shown
 * @zooms: number of them, at least 1
 * @cells: number of cells that the map has room for
 * @across: number of cells in a line
 * @cursor: cell that is looked at; SCREEN_NO_CELL: none
 * @changes: @sample->changes of the layout that the map is of
 * @maps: what the program's memory is
 * @mapped: ns of the clock when @maps was read; 0: never
 * @history: rates of the last intervals, by their number modulo SCREEN_HISTORY
 * @intervals: number of intervals
 * @range: the hottest ranges
 * @ranges: number of them
 */
struct screen {
	void *term;
	const struct show *show;
	struct sample *sample;
	struct shown shown;
	uint64_t interval;
	bool paused, help, quit;
	bool wide, colour;
	struct heat heat;
	struct dml_stamps_listener listener;
	struct screen_zoom zoom[SCREEN_ZOOMS];
	unsigned int zooms;
	unsigned int cells;
	unsigned int across;
	unsigned int cursor;
	unsigned int changes;
	struct maps maps;
	uint64_t mapped;
	uint64_t history[SCREEN_HISTORY];
	unsigned int intervals;
	struct hot_range range[SCREEN_RANGES];
	unsigned int ranges;
};

/*
 * Open the terminal of standard input and output. Return: 0; -ENOTTY: it is no terminal, or one that
 * ncurses doesn't know; or another -errno
 */
int screen_open(struct screen *s, const struct show *show,
		struct sample *sample, uint64_t interval);

/* Give the terminal back as it was. */
void screen_close(struct screen *s);

/* An interval has ended. Return: 0 or -ENOMEM */
int screen_show(struct screen *s, const struct shown *shown);

/* Take the keys that were pressed. Return: 0 or -errno */
int screen_keys(struct screen *s);

/* Have the map show @cells cells of the zoom that is chosen. Return: 0 or -ENOMEM */
int screen_fit(struct screen *s, unsigned int cells);

#endif
