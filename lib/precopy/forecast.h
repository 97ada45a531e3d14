/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Forecast: what stopping the devices now would cost, and whether waiting helps.
 *
 * The last round harvests, looks at each page that is pending (reads it, compares
 * it), and sends those that must be sent:
 *
 *	downtime = harvest + pending * time to look at a page + left / rate
 *
 * Times are those of the rounds so far. What a page's sending takes is the time spent
 * within the destination, not that in which a bandwidth limit made us wait, since
 * the last round has none. A destination that only takes notes, and sends later, looks
 * quicker than it is, so small rounds are taken together until they have sent enough
 * to tell.
 *
 * With refinement not all that's pending has changed. How much of it has is taken
 * from the round before, in which pages had at least as long to change.
 */
#ifndef DML_PRECOPY_FORECAST_H
#define DML_PRECOPY_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct dml_gauge - a measured rate: @amount in @ns
 * @amount: 0: not known
 * @ns: 0 where the clock is too coarse
 * @sum, @sum_ns: of what was measured since, and isn't enough
 * @enough: amount that is
 * @firm: it's of an amount that was enough
 */
struct dml_gauge {
	uint64_t amount, ns;
	uint64_t sum, sum_ns;
	uint64_t enough;
	bool firm;
};

/**
 * struct dml_forecast - what is known
 * @sent: bytes sent, in time within the destination
 * @looked: pages read and compared
 * @dirty: pages that were reported for the last round that tells
 * @changed: of those had changed
 * @past: what was left after the last rounds, the latest first
 * @npast: how many of them there are
 * @stuck: rounds in a row that brought nothing
 */
struct dml_forecast {
	struct dml_gauge sent;
	struct dml_gauge looked;
	uint64_t dirty, changed;
	uint64_t past[3];
	unsigned int npast;
	unsigned int stuck;
};

void dml_forecast_init(struct dml_forecast *f);

void dml_forecast_sent(struct dml_forecast *f, uint64_t bytes, uint64_t ns);
void dml_forecast_looked(struct dml_forecast *f, uint64_t pages, uint64_t ns);
/* Of @dirty pages only @changed had to be sent: only with refinement */
void dml_forecast_changed(struct dml_forecast *f, uint64_t dirty,
			  uint64_t changed);

/* Of @dirty pages how many will have changed, rounded up */
uint64_t dml_forecast_left(const struct dml_forecast *f, uint64_t dirty);

/* Bytes a second; 0: not known */
uint64_t dml_forecast_rate(const struct dml_forecast *f);

/* In ns: a harvest of @harvest, @pending pages, @left bytes. UINT64_MAX: not known */
uint64_t dml_forecast_downtime(const struct dml_forecast *f, uint64_t harvest,
			       uint64_t pending, uint64_t left);

/* A round ended with @left bytes. Return: it doesn't become less any more */
bool dml_forecast_diverges(struct dml_forecast *f, uint64_t left);

#endif
