// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The heat map: time to the right, addresses down, the colour being how many of a
 * cell's pages were written.
 *
 * A row is a bin of the record, or a few of them. Shares go from a page among
 * hundreds of thousands to all of them, so colours go by 1, 2, 5, 10 ... Cells of a
 * column that are alike and adjacent are one stroke, those of one colour are one
 * path: at 1 TiB a column takes some kilobytes at the most.
 *
 * Memory is drawn without the holes between regions; where there is one, there is a
 * line, and the address after it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report.h"

#define ROWS		256u	/* at the most */
#define HEIGHT		512u
#define LABEL		15.0	/* between two labels */
#define LABELS		64
#define UNKNOWN		255	/* a level */

/**
 * struct map - the map while it is drawn
 * @r: the report
 * @out: where to
 * @y: of its top
 * @bins: of a row
 * @rows: how many
 * @height: of a row
 * @row_pages: pages of a row
 */
struct map {
	const struct report *r;
	FILE *out;
	double y;
	unsigned int bins;
	unsigned int rows;
	unsigned int height;
	uint64_t row_pages;
};

/* Labels of a side that are there already */
struct labels {
	double y[LABELS];
	unsigned int n;
};

/* Levels */

/* Level i + 1 is up to this share */
static const double upto[REPORT_LEVELS] = {
	0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1,
};

static unsigned int level_of(double share)
{
	unsigned int i = 0;

	if (share <= 0)
		return 0;
	while (i < REPORT_LEVELS - 1 && share > upto[i])
		i++;
	return i + 1;
}

/* What part of a row's pages round @round found dirty; negative: not known */
static double share(const struct map *m, unsigned int round, unsigned int row)
{
	const struct record_file *f = m->r->file;
	const float *heat = f->heat + (size_t)round * f->nbins;
	unsigned int i = row * m->bins, end = i + m->bins;
	double sum = 0, pages = 0;

	for (; i < end && i < f->nbins; i++) {
		uint64_t before = i * f->bin_pages;
		double n = (double)(f->pages - before < f->bin_pages ?
				    f->pages - before : f->bin_pages);

		if (heat[i] < 0)
			return -1;
		sum += (double)heat[i] * n;
		pages += n;
	}
	return pages > 0 ? sum / pages : 0;
}

/* The most that the harvests after a column's rounds found */
static unsigned int cell(const struct map *m, const struct report_column *c,
			 unsigned int row)
{
	unsigned int i = c->first + 1, end = i + c->count;
	double most = -1;

	for (; i < end && i < m->r->file->nrounds; i++)
		most = fmax(most, share(m, i, row));
	return most < 0 ? UNKNOWN : level_of(most);
}

/* Cells */

static void draw_level(const struct map *m, const unsigned char *level,
		       unsigned int which, double x, double width)
{
	unsigned int row, n, at = 0;
	bool any = false;

	for (row = 0; row < m->rows; row += n) {
		for (n = 1; row + n < m->rows && level[row + n] == level[row];)
			n++;
		if (level[row] != which)
			continue;
		if (!any)
			fprintf(m->out, "<path class=\"l%u\" stroke-width=\"%g\" d=\"M%g %u",
				which, width, x + width / 2, row * m->height);
		else
			fprintf(m->out, "m0 %u", row * m->height - at);
		fprintf(m->out, "v%u", n * m->height);
		at = (row + n) * m->height;
		any = true;
	}
	if (any)
		fputs("\"/>\n", m->out);
}

static void draw_column(const struct map *m, const struct report_column *c)
{
	double x = round(c->x), width = round(c->x + c->width) - x;
	unsigned char level[ROWS];
	bool known = c->written;
	unsigned int i;

	for (i = 0; i < m->rows && known; i++) {
		level[i] = (unsigned char)cell(m, c, i);
		known = level[i] != UNKNOWN;
	}
	if (!known)
		fprintf(m->out, "<rect class=\"blank\" x=\"%g\" y=\"0\" width=\"%g\" height=\"%u\"/>\n",
			x, width, m->rows * m->height);
	for (i = 1; i <= REPORT_LEVELS && known; i++)
		draw_level(m, level, i, x, width);
	if (c->x > REPORT_LEFT && width > 4)
		fprintf(m->out, "<path class=\"seam\" d=\"M%g 0v%u\"/>\n", x,
			m->rows * m->height);
}

static void draw_cells(const struct map *m)
{
	unsigned int i;

	fprintf(m->out, "<g transform=\"translate(0 %g)\">\n<rect class=\"none\" x=\"%g\" y=\"0\" width=\"%g\" height=\"%u\"/>\n<g class=\"heat\">\n",
		m->y, REPORT_LEFT, REPORT_RIGHT - REPORT_LEFT,
		m->rows * m->height);
	for (i = 0; i < m->r->ncolumns; i++)
		draw_column(m, &m->r->column[i]);
	fprintf(m->out, "</g>\n<rect class=\"frame\" x=\"%g\" y=\"0\" width=\"%g\" height=\"%u\"/>\n</g>\n",
		REPORT_LEFT, REPORT_RIGHT - REPORT_LEFT, m->rows * m->height);
}

/* Addresses */

static bool place(struct labels *l, double y)
{
	unsigned int i;

	for (i = 0; i < l->n; i++) {
		if (fabs(l->y[i] - y) < LABEL)
			return false;
	}
	if (l->n == LABELS)
		return false;
	l->y[l->n++] = y;
	return true;
}

static double y_of(const struct map *m, uint64_t page)
{
	return m->y + (double)page / (double)m->row_pages * m->height;
}

static void label_iova(const struct map *m, struct labels *l, double y,
		       uint64_t iova)
{
	if (place(l, y))
		fprintf(m->out, "<path class=\"tick\" d=\"M%g %gh-5\"/><text class=\"mono\" x=\"%g\" y=\"%g\" text-anchor=\"end\">%#" PRIx64 "</text>\n",
			REPORT_LEFT, y, REPORT_LEFT - 8, y + 4, iova);
}

static void label_size(const struct map *m, struct labels *l, double y,
		       const char *before, uint64_t bytes)
{
	char size[CLI_TEXT];

	if (place(l, y))
		fprintf(m->out, "<path class=\"tick\" d=\"M%g %gh5\"/><text x=\"%g\" y=\"%g\">%s%s</text>\n",
			REPORT_RIGHT, y, REPORT_RIGHT + 8, y + 4, before,
			bytes ? report_format_bytes(size, (double)bytes) : "0");
}

static void draw_hole(const struct map *m, struct labels *left,
		      struct labels *right, double y,
		      const struct dmatrack_region *after)
{
	fprintf(m->out, "<path class=\"under\" d=\"M%g %gH%g\"/><path class=\"hole\" d=\"M%g %gH%g\"/>\n",
		REPORT_LEFT, y, REPORT_RIGHT, REPORT_LEFT - 5, y,
		REPORT_RIGHT + 5);
	label_iova(m, left, y, after->iova);
	label_size(m, right, y, "hole ",
		   after->iova - (after[-1].iova + after[-1].size));
}

/* Return: how many there are; @drawn: how many there's room for to label */
static unsigned int draw_holes(const struct map *m, struct labels *left,
			       struct labels *right, unsigned int *drawn)
{
	const struct record_run *run = &m->r->file->run;
	uint64_t page = 0;
	double y, before = m->y;
	unsigned int i, n = 0;

	for (i = 0; i < run->nregions; i++) {
		const struct dmatrack_region *g = &run->region[i];

		if (i && g->iova != g[-1].iova + g[-1].size) {
			y = y_of(m, page);
			n++;
			if (y - before >= LABEL) {
				draw_hole(m, left, right, y, g);
				before = y;
				++*drawn;
			}
		}
		page += g->size / run->page_size;
	}
	return n;
}

/* The IOVA of a page, counted over all regions */
static uint64_t iova_of(const struct record_run *run, uint64_t page)
{
	const struct dmatrack_region *g = run->region;

	while (page >= g->size / run->page_size) {
		page -= g->size / run->page_size;
		g++;
	}
	return g->iova + page * run->page_size;
}

/* Between 4 and 8 of them, at powers of two */
static void label_ticks(const struct map *m, struct labels *left,
			struct labels *right)
{
	const struct record_file *f = m->r->file;
	uint64_t step = 1, page;

	while ((f->pages - 1) / step >= 8)
		step *= 2;
	for (page = step; page < f->pages; page += step) {
		label_iova(m, left, y_of(m, page), iova_of(&f->run, page));
		label_size(m, right, y_of(m, page), "",
			   page * f->run.page_size);
	}
}

static void label_ends(const struct map *m, struct labels *left,
		       struct labels *right)
{
	const struct record_file *f = m->r->file;
	const struct dmatrack_region *g = f->run.region;
	const struct dmatrack_region *last = g + f->run.nregions - 1;

	label_iova(m, left, m->y, g->iova);
	label_size(m, right, m->y, "", 0);
	label_iova(m, left, y_of(m, f->pages), last->iova + (last->size - 1));
	label_size(m, right, y_of(m, f->pages), "",
		   f->pages * f->run.page_size);
}

static void draw_addresses(const struct map *m)
{
	struct labels left = { .n = 0 }, right = { .n = 0 };
	unsigned int n, drawn = 0;
	char text[CLI_TEXT];

	label_ends(m, &left, &right);
	n = draw_holes(m, &left, &right, &drawn);
	label_ticks(m, &left, &right);
	if (n > drawn)
		fprintf(m->out, "<text class=\"soft\" x=\"%g\" y=\"%g\" text-anchor=\"end\">%s holes, those marked that there is room for</text>\n",
			REPORT_RIGHT, m->y - 8, cli_text_count(text, n));
}

/* Legend */

#define SWATCH	28.0

static void draw_legend(const struct map *m, double y)
{
	static const char *const names[] = { "0.1 %", "1 %", "10 %", "100 %" };
	double x = REPORT_LEFT, first = x + SWATCH + 10;
	char size[CLI_TEXT];
	unsigned int i;

	fprintf(m->out, "<rect class=\"none frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"11\"/><text class=\"small\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">0</text>\n<g class=\"heat\">",
		x + 0.5, y + 0.5, SWATCH, x + SWATCH / 2, y + 25);
	for (i = 1; i <= REPORT_LEVELS; i++)
		fprintf(m->out, "<path class=\"l%u\" stroke-width=\"12\" d=\"M%g %gh%g\"/>",
			i, first + (i - 1) * SWATCH, y + 6, SWATCH);
	fputs("</g>\n", m->out);
	for (i = 0; i < 4; i++)
		fprintf(m->out, "<text class=\"small\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>",
			first + 3 * (i + 1) * SWATCH, y + 25, names[i]);
	fprintf(m->out, "\n<text class=\"soft\" x=\"%g\" y=\"%g\">of the pages in a cell of %s</text>\n",
		first + REPORT_LEVELS * SWATCH + 24, y + 11,
		report_format_bytes(size, (double)m->row_pages *
				    (double)m->r->file->run.page_size));
	fprintf(m->out, "<rect class=\"blank frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"11\"/><text class=\"soft\" x=\"%g\" y=\"%g\">%s</text>\n",
		REPORT_RIGHT - 128.5, y + 0.5, SWATCH, REPORT_RIGHT - 92, y + 11,
		m->r->column[m->r->ncolumns - 1].stopped ? "devices stopped" :
		"not known");
}

double report_heat(const struct report *r, FILE *out, double y)
{
	unsigned int nbins = r->file->nbins;
	struct map m = { .r = r, .out = out, .y = y + 76 };

	m.bins = nbins / ROWS + !!(nbins % ROWS);
	m.rows = nbins / m.bins + !!(nbins % m.bins);
	m.height = HEIGHT / m.rows;
	m.row_pages = m.bins * r->file->bin_pages;
	fprintf(out, "<text class=\"title\" x=\"%g\" y=\"%g\">Pages %s, by time and address</text>\n",
		REPORT_LEFT, y + 14,
		r->file->run.refine ? "that had changed" : "written");
	draw_legend(&m, y + 24);
	fprintf(out, "<text class=\"soft\" x=\"%g\" y=\"%g\" text-anchor=\"end\">IOVA</text><text class=\"soft\" x=\"%g\" y=\"%g\">memory</text>\n",
		REPORT_LEFT - 8, m.y - 12, REPORT_RIGHT + 8, m.y - 12);
	draw_cells(&m);
	draw_addresses(&m);
	y = m.y + m.rows * m.height;
	report_time_axis(r, out, y);
	return y + 24;
}
