// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Two drivers' raw results side by side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define RAW_MAX 256

/**
 * struct raw - a line of 'bench --raw'
 * @row: name of the row
 * @size: bytes tracked, or 0
 * @work: the row's figure
 * @beside: the baseline's figure, or 0
 * @name: name of the baseline
 */
struct raw {
	char row[64];
	unsigned long long size;
	struct measure_figure work;
	double beside;
	char name[32];
};

struct results {
	struct raw raw[RAW_MAX];
	unsigned int n;
};

static bool parse_line(const char *line, struct raw *raw)
{
	raw->work.n = 1;
	return sscanf(line, "%63s %llu %lf %lf %lf %lf %31[^\r\n]", raw->row,
		      &raw->size, &raw->work.median, &raw->work.min,
		      &raw->work.max, &raw->beside, raw->name) == 7;
}

/* Other lines of the file are skipped. */
static struct results *read_results(const char *path)
{
	struct results *all = calloc(1, sizeof(*all));
	FILE *f = fopen(path, "r");
	char line[256];

	if (!all || !f)
		bench_check(-errno, path);
	while (all->n < RAW_MAX && fgets(line, sizeof(line), f))
		all->n += parse_line(line, &all->raw[all->n]);
	fclose(f);
	return all;
}

static const struct raw *find(const struct results *all, const char *row)
{
	unsigned int i;

	for (i = 0; i < all->n; i++)
		if (!strcmp(all->raw[i].row, row))
			return &all->raw[i];
	return NULL;
}

static void merge_row(const struct bench *b, const struct bench_row *row,
		      const struct raw *stock, const struct raw *ours,
		      enum bench_format format)
{
	struct bench_line line = { .row = row };

	if (stock)
		line.stock = stock->work;
	if (ours) {
		line.result.work = ours->work;
		line.result.nr_beside = ours->beside > 0;
		line.result.beside[0].median = ours->beside;
		line.result.name[0] = ours->name;
	}
	if (stock || ours)
		bench_report_line(b, &line, format);
}

int bench_merge(const struct bench *b, const char *stock, const char *ours,
		enum bench_format format)
{
	struct results *s = read_results(stock), *o = read_results(ours);
	const struct bench_row *const *table, *row;
	struct bench merged = *b;

	merged.merged = true;
	bench_report_begin(&merged, format);
	for (table = bench_kernel_tables; *table; table++)
		for (row = *table; row->name; row++)
			merge_row(&merged, row, find(s, row->name),
				  find(o, row->name), format);
	free(s);
	free(o);
	return 0;
}
