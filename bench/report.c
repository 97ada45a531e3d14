// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The table, and the same as JSON.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"
#include "cli/common/json.h"

#define BIG (512 * BENCH_GIB)

/* Text --------------------------------------------------------------------- */

static void size_text(char *to, size_t room, uint64_t size)
{
	if (size >= 1024 * BENCH_GIB && !(size % (1024 * BENCH_GIB)))
		snprintf(to, room, "%llu TiB",
			 (unsigned long long)(size / BENCH_GIB / 1024));
	else
		snprintf(to, room, "%llu GiB",
			 (unsigned long long)(size / BENCH_GIB));
}

/* A figure with three digits or more, and its unit */
static void scaled_text(char *to, size_t room, double v, double step,
			const char *const *units)
{
	while (v >= step * 10 && units[1]) {
		v /= step;
		units++;
	}
	if (v < 10)
		snprintf(to, room, "%.2f %s", v, *units);
	else if (v < 100)
		snprintf(to, room, "%.1f %s", v, *units);
	else
		snprintf(to, room, "%.0f %s", v, *units);
}

static void figure_text(char *to, size_t room, const struct bench *b,
			enum bench_unit unit, double v)
{
	static const char *const ns[] = { "ns", "us", "ms", "s", NULL };
	static const char *const instructions[] = { "", "k", "M", "G", NULL };
	static const char *const bytes[] = { "B", "KiB", "MiB", "GiB", NULL };

	if (unit == BENCH_SHARE)
		snprintf(to, room, "%.1f %%", v * 100);
	else if (unit == BENCH_RATE)
		snprintf(to, room, "%.0f /s", v);
	else if (unit == BENCH_BYTES)
		scaled_text(to, room, v, 1024, bytes);
	else
		scaled_text(to, room, v, 1000,
			    b->how.alone ? instructions : ns);
}

/*
 * The compiler and its flags, from the debug information: "GNU C11 12.2.0
 * -mtune=generic ... -O2 ...", in the executable as a string.
 */
static const char *producer(char *to, size_t room)
{
	const char *exe, *at;
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	snprintf(to, room, "%s, flags unknown", __VERSION__);
	if (fd < 0 || fstat(fd, &st))
		return to;
	exe = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (exe == MAP_FAILED)
		return to;
	for (at = exe; at; at++) {
		at = memmem(at, (size_t)(exe + st.st_size - at), "GNU C1", 6);
		if (at && memmem(at, strnlen(at, 512), " -std=", 6)) {
			snprintf(to, room, "%.*s", (int)strnlen(at, 512), at);
			break;
		}
		if (!at)
			break;
	}
	munmap((void *)exe, (size_t)st.st_size);
	return to;
}

/* Goals -------------------------------------------------------------------- */

double bench_goal_limit(const struct bench_row *row, uint64_t size)
{
	return size >= BIG ? row->goal.big : row->goal.limit;
}

static double ratio(const struct measure_result *r, unsigned int i)
{
	return i < r->nr_beside && r->beside[i].median > 0 ?
		       r->work.median / r->beside[i].median :
		       0;
}

/* 1: met; 0: not; -1: no goal */
static int is_met(const struct bench_line *line)
{
	const struct measure_result *r = &line->result;
	double limit = bench_goal_limit(line->row, line->size);

	if (!limit || r->skip)
		return -1;
	switch (line->row->goal.kind) {
	case BENCH_AT_MOST:
		return ratio(r, 0) <= limit;
	case BENCH_AT_LEAST:
		return ratio(r, 0) >= limit;
	case BENCH_VALUE_AT_MOST:
		return r->work.median <= limit;
	case BENCH_VALUE_AT_LEAST:
		return r->work.median >= limit;
	case BENCH_OF_STOCK:
		return line->stock.n ?
			       r->work.median <= line->stock.median * limit :
			       -1;
	default:
		return -1;
	}
}

static void goal_text(char *to, size_t room, const struct bench *b,
		      const struct bench_line *line)
{
	double limit = bench_goal_limit(line->row, line->size);
	char figure[32];

	*to = '\0';
	if (!limit)
		return;
	figure_text(figure, sizeof(figure), b, line->row->unit, limit);
	switch (line->row->goal.kind) {
	case BENCH_AT_MOST:
		snprintf(to, room, "<= %.3g x", limit);
		break;
	case BENCH_AT_LEAST:
		snprintf(to, room, ">= %.3g x", limit);
		break;
	case BENCH_VALUE_AT_MOST:
		snprintf(to, room, "<= %s", figure);
		break;
	case BENCH_VALUE_AT_LEAST:
		snprintf(to, room, ">= %s", figure);
		break;
	case BENCH_OF_STOCK:
		snprintf(to, room, "<= %.3g stock", limit);
		break;
	default:
		break;
	}
}

static const char *met_text(int met)
{
	return met < 0 ? "" : met ? "yes" : "NO";
}

/* The table ---------------------------------------------------------------- */

static void work_text(char *to, size_t room, const struct bench_line *line)
{
	char size[32];

	size_text(size, sizeof(size), line->size);
	snprintf(to, room, "%s%s%s", line->row->work, line->size ? ", " : "",
		 line->size ? size : "");
}

static void beside_text(char *to, size_t room, const struct bench *b,
			const struct bench_line *line, unsigned int i)
{
	const struct measure_result *r = &line->result;
	char figure[32];

	*to = '\0';
	if (i >= r->nr_beside)
		return;
	figure_text(figure, sizeof(figure), b, line->row->unit,
		    r->beside[i].median);
	snprintf(to, room, "%s %s", r->name[i], figure);
}

static void table_line(const struct bench *b, const struct bench_line *line)
{
	const struct measure_result *r = &line->result;
	char work[80], median[32], low[32], high[32], spread[72], beside[64],
		goal[40], times[16] = "";
	unsigned int i;

	work_text(work, sizeof(work), line);
	if (r->skip) {
		if (*r->skip)
			printf("%-54s %s\n", work, r->skip);
		return;
	}
	figure_text(median, sizeof(median), b, line->row->unit, r->work.median);
	figure_text(low, sizeof(low), b, line->row->unit, r->work.min);
	figure_text(high, sizeof(high), b, line->row->unit, r->work.max);
	snprintf(spread, sizeof(spread), "%s .. %s", low, high);
	goal_text(goal, sizeof(goal), b, line);
	beside_text(beside, sizeof(beside), b, line, 0);
	if (r->nr_beside)
		snprintf(times, sizeof(times), "%.2f x", ratio(r, 0));
	printf("%-54s %9s %22s  %-21s %7s  %-10s %s\n", work, median, spread,
	       beside, times, goal, met_text(is_met(line)));
	for (i = 1; i < r->nr_beside; i++) {
		beside_text(beside, sizeof(beside), b, line, i);
		printf("%-54s %9s %22s  %-21s %5.2f x\n", "", "", "", beside,
		       ratio(r, i));
	}
}

/* With two drivers */
static void table_merged(const struct bench *b, const struct bench_line *line)
{
	const struct measure_result *r = &line->result;
	char median[32] = "", stock[32] = "", beside[64] = "", goal[40],
	     of_stock[16] = "", of_beside[16] = "";

	if (line->stock.n)
		figure_text(stock, sizeof(stock), b, line->row->unit,
			    line->stock.median);
	if (r->work.n)
		figure_text(median, sizeof(median), b, line->row->unit,
			    r->work.median);
	if (r->work.n && line->stock.n && line->stock.median > 0)
		snprintf(of_stock, sizeof(of_stock), "%.3f x",
			 r->work.median / line->stock.median);
	if (r->nr_beside) {
		beside_text(beside, sizeof(beside), b, line, 0);
		snprintf(of_beside, sizeof(of_beside), "%.2f x", ratio(r, 0));
	}
	goal_text(goal, sizeof(goal), b, line);
	printf("%-45s %9s %9s %10s  %-22s %8s  %-14s %s\n", line->row->work,
	       stock, median, of_stock, beside, of_beside, goal,
	       r->work.n ? met_text(is_met(line)) : "");
}

/* JSON --------------------------------------------------------------------- */

static void add_figure(json_t *o, const char *name,
		       const struct measure_figure *f)
{
	json_object_set_new(o, name,
			    json_pack("{s:f, s:f, s:f, s:i, s:i}", "median",
				      f->median, "min", f->min, "max", f->max,
				      "passes", (int)f->n, "thrown_out",
				      (int)f->thrown));
}

static void json_line(const struct bench *b, const struct bench_line *line)
{
	static const char *const units[] = { "ns", "bytes", "per_s", "share" };
	const struct measure_result *r = &line->result;
	bool counted = b->how.alone && line->row->unit == BENCH_TIME;
	json_t *o = json_object();
	int met = is_met(line);
	char goal[40];
	unsigned int i;

	cli_json_string(o, "name", line->row->name);
	cli_json_string(o, "description", line->row->work);
	cli_json_number(o, "size_bytes", line->size);
	cli_json_string(o, "unit",
			counted ? "instructions" : units[line->row->unit]);
	cli_json_string(o, "skipped", r->skip);
	if (!r->skip)
		add_figure(o, "work", &r->work);
	if (line->stock.n)
		add_figure(o, "stock", &line->stock);
	for (i = 0; i < r->nr_beside; i++)
		add_figure(o, r->name[i], &r->beside[i]);
	goal_text(goal, sizeof(goal), b, line);
	cli_json_string(o, "goal", goal);
	json_object_set_new(o, "met",
			    met < 0 ? json_null() : json_boolean(met));
	json_array_append_new(json_object_get(cli_json(), "rows"), o);
}

/* Raw: what merge.c reads */
static void raw_line(const struct bench_line *line)
{
	const struct measure_result *r = &line->result;

	printf("%s\t%llu\t%.3f\t%.3f\t%.3f\t%.3f\t%s\n", line->row->name,
	       (unsigned long long)line->size, r->work.median, r->work.min,
	       r->work.max, r->nr_beside ? r->beside[0].median : 0.0,
	       r->nr_beside ? r->name[0] : "-");
}

/*  ------------------------------------------------------------------------- */

void bench_report_begin(const struct bench *b, enum bench_format format)
{
	char flags[512];
	struct utsname u;

	uname(&u);
	producer(flags, sizeof(flags));
	if (format == BENCH_JSON) {
		cli_json_string(cli_json(), "system", u.release);
		cli_json_string(cli_json(), "compiler", flags);
		json_object_set_new(cli_json(), "rows", json_array());
	}
	if (format != BENCH_TABLE)
		return;
	if (b->merged) {
		printf("%-45s %9s %9s %10s  %-22s %8s  %-14s %s\n", "work",
		       "stock", "dmatrack", "of stock", "beside", "of that",
		       "goal", "met");
		return;
	}
	printf("%s %s %s; %s\n", u.sysname, u.release, u.machine, flags);
	printf("medians of %u passes; 'beside' was measured in turn with it\n"
	       "\n",
	       b->how.reps);
	printf("%-54s %9s %22s  %-21s %7s  %-10s %s\n", "work", "median",
	       "min .. max", "beside", "ratio", "goal", "met");
}

void bench_report_line(const struct bench *b, const struct bench_line *line,
		       enum bench_format format)
{
	if (format == BENCH_TABLE && b->merged)
		table_merged(b, line);
	else if (format == BENCH_TABLE)
		table_line(b, line);
	else if (format == BENCH_JSON)
		json_line(b, line);
	else if (!line->result.skip)
		raw_line(line);
	fflush(stdout);
}
