// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Puts the records, as JSON, into the page in place of its mark.
 *
 * Most of a record is heat: 10,000 rounds of 2048 bins are 20 million numbers, of
 * which no screen shows more than some hundred thousand. So rounds, from the second on
 * (in the first everything is dirty), and bins are merged until there are at most
 * REPORT_COLUMNS columns and REPORT_CELLS cells: rounds to their maximum, bins to their
 * sum.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "cli/common/cli.h"
#include "report.h"

#define MARK "@DATA@"

/* The page, linked into the command */
extern const char _binary_page_html_start[], _binary_page_html_end[];

/**
 * struct merge - how the heat map is merged
 * @rounds: number of rounds in a column
 * @bins: number of bins in a row
 * @rows: number of rows of a column
 */
struct merge {
	unsigned int rounds;
	unsigned int bins;
	unsigned int rows;
};

static unsigned int divide(unsigned int n, unsigned int by)
{
	return n / by + !!(n % by);
}

static struct merge choose_merge(const struct record_file *f)
{
	unsigned int rounds = f->nrounds > 1 ? f->nrounds - 1 : 1;
	struct merge m = { .rounds = divide(rounds, REPORT_COLUMNS),
			   .bins = 1 };

	while (divide(f->nbins, m.bins) * divide(rounds, m.rounds) >
	       REPORT_CELLS)
		m.bins *= 2;
	m.rows = divide(f->nbins, m.bins);
	return m;
}

/* Raise the values in @row to those of round @round. Return: false: its heat isn't known */
static bool raise_row(const struct record_file *f, const struct merge *m,
		      unsigned int round, uint64_t *row)
{
	const uint64_t *heat = f->heat + (size_t)round * f->nbins;
	unsigned int i, bin;

	if (*heat == RECORD_UNKNOWN)
		return false;
	for (i = 0; i < m->rows; i++) {
		uint64_t sum = 0;

		for (bin = i * m->bins;
		     bin < (i + 1) * m->bins && bin < f->nbins; bin++)
			sum += heat[bin];
		if (sum > row[i])
			row[i] = sum;
	}
	return true;
}

static json_t *pack_column(const struct record_file *f, const struct merge *m,
			   unsigned int first)
{
	uint64_t row[RECORD_BINS] = { 0 };
	bool known = false;
	unsigned int i;

	for (i = first; i < first + m->rounds && i < f->nrounds; i++)
		known |= raise_row(f, m, i, row);
	return known ? record_pack_heat(row, m->rows) : json_null();
}

static json_t *pack_heat(const struct record_file *f)
{
	struct merge m = choose_merge(f);
	json_t *column = json_array();
	unsigned int i;

	for (i = 1; i < f->nrounds; i += m.rounds) {
		if (json_array_append_new(column, pack_column(f, &m, i))) {
			json_decref(column);
			return NULL;
		}
	}
	return json_pack("{s:i, s:I, s:i, s:o}", "rounds", (int)m.rounds,
			 "pages", (json_int_t)(m.bins * f->bin_pages), "rows",
			 (int)m.rows, "column", column);
}

static json_t *pack(const struct report *r)
{
	json_t *records = json_array();
	unsigned int i;

	for (i = 0; i < r->n; i++) {
		const struct record_file *f = &r->file[i];

		if (json_array_append_new(records,
					  json_pack("{s:s, s:O, s:o}", "name",
						    r->name[i], "line", f->line,
						    "heat", pack_heat(f)))) {
			json_decref(records);
			return NULL;
		}
	}
	return json_pack("{s:s, s:s?, s:i, s:o}", "version", DMATRACK_RELEASE,
			 "title", r->title, "reload", r->reload, "records",
			 records);
}

static int write_escaped(const char *text, size_t size, void *out)
{
	const char *end = text + size, *at;

	while ((at = memchr(text, '<', (size_t)(end - text)))) {
		fwrite(text, 1, (size_t)(at - text), out);
		fputs("\\u003c", out);
		text = at + 1;
	}
	fwrite(text, 1, (size_t)(end - text), out);
	return 0;
}

int report_page(const struct report *r, FILE *out)
{
	const char *page = _binary_page_html_start,
		   *end = _binary_page_html_end;
	const char *mark =
		memmem(page, (size_t)(end - page), MARK, strlen(MARK));
	json_t *data = pack(r);
	int ret = -ENOMEM;

	if (mark && data) {
		fwrite(page, 1, (size_t)(mark - page), out);
		ret = json_dump_callback(data, write_escaped, out,
					 JSON_COMPACT | JSON_ENSURE_ASCII) ?
			      -ENOMEM :
			      0;
		mark += strlen(MARK);
		fwrite(mark, 1, (size_t)(end - mark), out);
	}
	json_decref(data);
	return ret;
}
