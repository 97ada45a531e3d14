/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Forecast: the downtime if the devices were stopped now, and whether more rounds would
 * reduce it.
 *
 * The last round harvests, reads and compares each pending page, and sends those that must
 * be sent:
 *
 *	downtime = harvest + pending * time to read and compare a page + left / rate
 *
 * The times are measured in the rounds so far. The time to send is that spent within the
 * destination, without waits for a bandwidth limit, since the last round has none. A
 * destination that only queues, and sends later, seems faster than it is, so small rounds
 * are added up until they have sent enough for a rate.
 *
 * With refinement not all pending pages have changed. The share that has is that of the
 * round before, in which pages had at least as long to change.
 */
#ifndef DML_PRECOPY_FORECAST_H
#define DML_PRECOPY_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct dml_gauge - a measured rate: @amount in @ns
 * @amount: bytes or pages; 0: rate not known
 * @ns: time for @amount; 0 if the clock is too coarse
 * @sum: bytes or pages measured since
 * @sum_ns: time for @sum
 * @enough: bytes or pages that make a firm rate
 * @firm: whether @amount reached @enough
 */
struct dml_gauge {
	uint64_t amount, ns;
	uint64_t sum, sum_ns;
	uint64_t enough;
	bool firm;
};

/**
 * struct dml_forecast - measurements of the rounds so far
 * @sent: rate of bytes sent, by the time within the destination
 * @compared: rate of pages read and compared
 * @dirty: pages reported dirty for the last round that had any
 * @changed: pages of @dirty that had changed
 * @past: bytes left after the last three rounds, the latest first
 * @npast: number of rounds in @past
 * @stuck: number of rounds in a row without progress
 */
struct dml_forecast {
	struct dml_gauge sent;
	struct dml_gauge compared;
	uint64_t dirty, changed;
	uint64_t past[3];
	unsigned int npast;
	unsigned int stuck;
};

void dml_forecast_init(struct dml_forecast *f);

void dml_forecast_sent(struct dml_forecast *f, uint64_t bytes, uint64_t ns);
void dml_forecast_compared(struct dml_forecast *f, uint64_t pages, uint64_t ns);
/* With refinement only: of @dirty pages, @changed had to be sent */
void dml_forecast_changed(struct dml_forecast *f, uint64_t dirty,
			  uint64_t changed);

/* Return: how many of @dirty pages will have changed, rounded up */
uint64_t dml_forecast_left(const struct dml_forecast *f, uint64_t dirty);

/* Return: bytes per second; 0: not known */
uint64_t dml_forecast_rate(const struct dml_forecast *f);

/* @harvest: ns; @pending: pages; @left: bytes. Return: ns; UINT64_MAX: not known */
uint64_t dml_forecast_downtime(const struct dml_forecast *f, uint64_t harvest,
			       uint64_t pending, uint64_t left);

/* A round ended with @left bytes. Return: whether the last rounds made no progress */
bool dml_forecast_diverges(struct dml_forecast *f, uint64_t left);

#endif
