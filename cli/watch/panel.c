// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Draws a screen: see panel.h. */
#include <curses.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "lib/util/clock.h"
#include "panel.h"

#define LEAST_LINES   16
#define LEAST_COLUMNS 60
#define LABEL	      13 /* columns before a line's value */
#define TEXT	      512

/* Characters --------------------------------------------------------------------- */

/* From nothing to full, in eighths */
static const wchar_t bars[] =
	L" \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588";
static const wchar_t plain_bars[] = L" ..::||##";
/* Less than a hundredth, a tenth, half, and more of a cell */
static const wchar_t shades[] = L"\u2591\u2592\u2593\u2588";
static const wchar_t plain_shades[] = L"+*%#";

/* Print at most @width columns at a place. */
__attribute__((format(printf, 4, 5))) static void put(int y, int x, int width,
						      const char *format, ...)
{
	char text[TEXT];
	wchar_t wide[TEXT];
	va_list args;
	size_t n, i;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = mbstowcs(wide, text, TEXT - 1);
	if (n ==
	    (size_t)-1) { /* cut within a character, or of another locale */
		for (n = 0; text[n]; n++)
			wide[n] = (signed char)text[n] > 0 ? (wchar_t)text[n] :
							     L'?';
	}
	for (i = 0; i < n; i++) {
		width -= wcwidth(wide[i]) > 0 ? wcwidth(wide[i]) : 0;
		if (width < 0)
			break;
	}
	mvaddnwstr(y, x, wide, (int)i);
}

static void put_one(int y, int x, wchar_t c)
{
	mvaddnwstr(y, x, &c, 1);
}

static void put_label(int y, const char *label)
{
	attron(A_BOLD);
	put(y, 0, LABEL - 1, "%s", label);
	attroff(A_BOLD);
}

static void paint(const struct screen *s, enum panel_colour colour)
{
	attrset(s->colour && colour ? (attr_t)COLOR_PAIR(colour) : A_NORMAL);
}

/* The lines above the map --------------------------------------------------------- */

/* "1:02:03" */
static const char *clock_text(char *buf, uint64_t ns)
{
	uint64_t s = ns / DML_NSEC;

	snprintf(buf, CLI_TEXT, "%" PRIu64 ":%02u:%02u", s / 3600,
		 (unsigned int)(s / 60 % 60), (unsigned int)(s % 60));
	return buf;
}

static void draw_head(const struct screen *s)
{
	const struct target *t = s->show->target;
	char elapsed[CLI_TEXT], interval[CLI_TEXT], right[TEXT];
	int at;

	snprintf(right, sizeof(right), "%severy %s  %s",
		 s->paused ? "PAUSED  " : "",
		 cli_text_time(interval, s->interval * (DML_NSEC / 1000)),
		 clock_text(elapsed, s->shown.elapsed));
	at = COLS - (int)strlen(right);
	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	put(0, 0, at - 2, "dmatrack watch: %s (process %d%s), %s", t->name,
	    t->pid, t->demo ? ", this one" : "", s->shown.driver);
	put(0, at, COLS - at, "%s", right);
	attroff(A_REVERSE);
}

static void draw_container(const struct screen *s, int y)
{
	char mapped[CLI_TEXT], pinned[CLI_TEXT], count[CLI_TEXT];
	const struct shown *v = &s->shown;
	uint64_t nr = s->sample->layout.nr;

	put_label(y, "Container");
	put(y, LABEL, COLS - LABEL,
	    "%s in %s mapping%s that devices may write, %s page%s pinned%s",
	    cli_text_size(mapped, v->mapped), cli_text_count(count, nr),
	    nr == 1 ? "" : "s", cli_text_count(pinned, v->pinned),
	    v->pinned == 1 ? "" : "s", show_readers(v));
}

/* A column of the graph, of @lines lines above @bottom */
static void draw_bar(const struct screen *s, int bottom, int x, int lines,
		     uint64_t value, uint64_t most)
{
	double eighths = most ? (double)value / (double)most * lines * 8 : 0;
	unsigned int left = value && eighths < 1 ? 1 : (unsigned int)eighths;
	int i;

	for (i = 0; i < lines; i++) {
		unsigned int part = left < 8 ? left : 8;

		put_one(bottom - i, x, (s->wide ? bars : plain_bars)[part]);
		left -= part;
	}
}

/* Return: number of the last intervals that @room columns can show */
static unsigned int find_most(const struct screen *s, unsigned int room,
			      uint64_t *most)
{
	unsigned int n = s->intervals, i;

	n = n < SCREEN_HISTORY ? n : SCREEN_HISTORY;
	n = n < room ? n : room;
	for (i = 1, *most = 0; i <= n; i++) {
		uint64_t v = s->history[(s->intervals - i) % SCREEN_HISTORY];

		*most = v > *most ? v : *most;
	}
	return n;
}

/* The last intervals, the newest at the right end */
static void draw_rate(const struct screen *s, int y, int lines)
{
	char rate[CLI_TEXT], text[CLI_TEXT + 8];
	int x = LABEL + 34;
	uint64_t most;
	unsigned int n = find_most(s, (unsigned int)(COLS - x), &most), i;

	snprintf(text, sizeof(text), "%s/s",
		 cli_text_size(rate, s->shown.rate));
	put_label(y, "Found dirty");
	put(y, LABEL, COLS - LABEL, "%-14s at most %s/s", text,
	    cli_text_size(rate, most));
	paint(s, PANEL_COOL);
	for (i = 1; i <= n; i++)
		draw_bar(s, y + lines - 1, COLS - (int)i, lines,
			 s->history[(s->intervals - i) % SCREEN_HISTORY], most);
	paint(s, PANEL_PLAIN);
}

static void draw_sets(const struct screen *s, int y)
{
	char text[CLI_TEXT];
	unsigned int i;
	int x = LABEL;

	put_label(y, "Written");
	for (i = 0; i < 3; i++, x += 22)
		put(y, x, COLS - x, "%s in %u s",
		    cli_text_size(text, s->shown.written[i]), show_windows[i]);
}

static void draw_migration(const struct screen *s, int y)
{
	char a[CLI_TEXT], b[CLI_TEXT], c[CLI_TEXT], d[CLI_TEXT];
	const struct dmatrack_outlook *o = &s->shown.outlook;

	put_label(y, "Migration");
	cli_text_size(a, s->show->bandwidth);
	cli_text_time(b, s->show->downtime);
	if (o->ends) {
		put(y, LABEL, COLS - LABEL,
		    "at %s/s: %u round%s, %s, of which %s down (%s allowed)", a,
		    o->rounds, o->rounds == 1 ? "" : "s",
		    cli_text_time(c, o->time), cli_text_time(d, o->downtime),
		    b);
		return;
	}
	paint(s, PANEL_HOT);
	attron(A_BOLD);
	if (o->enough)
		put(y, LABEL, COLS - LABEL,
		    "would not end at %s/s with %s down; at %s/s it would", a,
		    b, cli_text_size(c, o->enough));
	else
		put(y, LABEL, COLS - LABEL,
		    "would not end at %s/s with %s down, nor at any other", a,
		    b);
	attrset(A_NORMAL);
}

/* The map -------------------------------------------------------------------------- */

/* Return: the IOVA of a cell's first page */
static uint64_t cell_iova(const struct heat *h, unsigned int cell)
{
	uint64_t place = h->first + cell * h->each;
	const struct layout_part *p = layout_at(h->layout, place);

	return (p->first + (place - p->before)) * LAYOUT_PAGE;
}

static int label_width(const struct heat *h)
{
	uint64_t last = h->nr ? cell_iova(h, h->nr - 1) : 0;
	int digits = 10;

	while (digits < 16 && last >> (4 * digits))
		digits++;
	return digits + 3;
}

/* How much of a cell was written in the last second: 0 to 3 */
static unsigned int shade(const struct heat *h, unsigned int cell)
{
	double share = (double)h->cell[cell].now / (double)heat_pages(h, cell);

	return share < 0.01 ? 0 : share < 0.1 ? 1 : share < 0.5 ? 2 : 3;
}

static void draw_cell(const struct screen *s, int y, int x, unsigned int cell)
{
	uint64_t age = heat_age(&s->heat, cell);
	unsigned int n = shade(&s->heat, cell);
	wchar_t c = ' ';

	if (s->heat.cell[cell].now) {
		paint(s, n > 1 ? PANEL_HOT : PANEL_WARM);
		c = (s->wide ? shades : plain_shades)[n];
	} else if (age < DML_STAMPS_TICKS) {
		paint(s, age < 100 ? PANEL_COOL : PANEL_COLD);
		c = age < 100 ? ':' : '.';
	}
	if (cell == s->cursor)
		attron(A_REVERSE);
	put_one(y, x, c);
	attrset(A_NORMAL);
}

/* Right of column @least */
static void draw_legend(const struct screen *s, int y, int least)
{
	const wchar_t *c = s->wide ? shades : plain_shades;
	int width = 56;

	if (COLS - width >= least)
		put(y, COLS - width, width,
		    "in 1 s: %lc 50 %% %lc 10 %% %lc 1 %% %lc less; in 10 s :  in 60 s .",
		    (wint_t)c[3], (wint_t)c[2], (wint_t)c[1], (wint_t)c[0]);
}

static void draw_map_head(const struct screen *s, int y)
{
	char each[CLI_TEXT], part[CLI_TEXT];
	const struct heat *h = &s->heat;

	put_label(y, "Memory");
	if (s->zooms > 1)
		put(y, LABEL - 5, COLS, "%s of it, %s a cell",
		    cli_text_size(part, h->pages * LAYOUT_PAGE),
		    cli_text_size(each, h->each * LAYOUT_PAGE));
	else
		put(y, LABEL - 5, COLS, "%s a cell",
		    cli_text_size(each, h->each * LAYOUT_PAGE));
	draw_legend(s, y, LABEL + (s->zooms > 1 ? 30 : 8));
}

/* Where a page's memory is, in the program */
static const char *memory_name(const struct screen *s,
			       const struct layout_part *p, uint64_t page,
			       char *buf, size_t size)
{
	const char *name =
		p->vaddr ? maps_name(&s->maps, p->vaddr + (page - p->first) *
								  LAYOUT_PAGE) :
			   NULL;

	if (!name)
		return "";
	return *name ? cli_text_printable(buf, size, name) : "anonymous memory";
}

static void draw_cursor(const struct screen *s, int y)
{
	char size[CLI_TEXT], now[CLI_TEXT], name[TEXT / 2], last[64];
	const struct heat *h = &s->heat;
	uint64_t iova, age;

	if (s->cursor == SCREEN_NO_CELL || s->cursor >= h->nr) {
		attron(A_DIM);
		put(y, 0, COLS, "arrows look at a cell, Enter zooms in on it");
		attroff(A_DIM);
		return;
	}
	iova = cell_iova(h, s->cursor);
	age = heat_age(h, s->cursor);
	if (age < DML_STAMPS_TICKS)
		snprintf(last, sizeof(last), "last %.1f s ago",
			 (double)age / 10);
	else
		snprintf(last, sizeof(last), "not in 60 s");
	put(y, 0, COLS, "%#" PRIx64 " +%s: %s pages written in 1 s, %s  %s",
	    iova, cli_text_size(size, heat_pages(h, s->cursor) * LAYOUT_PAGE),
	    cli_text_count(now, h->cell[s->cursor].now), last,
	    memory_name(s, layout_at(h->layout, h->first + s->cursor * h->each),
			iova / LAYOUT_PAGE, name, sizeof(name)));
}

static int draw_map(struct screen *s, int y, int lines)
{
	int label = label_width(&s->heat), err, i;
	unsigned int cell;

	s->across = (unsigned int)(COLS - label) / 8 * 8;
	heat_advance(&s->heat, s->paused ? s->heat.tick : s->heat.stamps->now);
	err = screen_fit(s, s->across * (unsigned int)(lines - 2));
	if (err)
		return err;
	draw_map_head(s, y);
	for (cell = 0; cell < s->heat.nr; cell++) {
		i = (int)(cell / s->across);
		if (!(cell % s->across))
			put(y + 1 + i, 0, label, "%*s%#" PRIx64, 0, "",
			    cell_iova(&s->heat, cell));
		draw_cell(s, y + 1 + i, label + (int)(cell % s->across), cell);
	}
	draw_cursor(s, y + lines - 1);
	return 0;
}

/* The hottest ranges ----------------------------------------------------------------- */

static void draw_range(const struct screen *s, int y, const struct hot_range *r)
{
	char size[CLI_TEXT], rate[CLI_TEXT], name[TEXT / 2], text[CLI_TEXT + 8];
	uint64_t bytes = (uint64_t)(r->rate * LAYOUT_PAGE * DML_NSEC /
				    (double)SAMPLE_TICK);

	snprintf(text, sizeof(text), "%s/s", cli_text_size(rate, bytes));
	put(y, 0, COLS, "%#-18" PRIx64 " %10s %12s  %s", r->first * LAYOUT_PAGE,
	    cli_text_size(size, (r->last - r->first + 1) * LAYOUT_PAGE), text,
	    memory_name(s, r->part, r->first, name, sizeof(name)));
}

static void draw_ranges(const struct screen *s, int y, int lines)
{
	unsigned int i;

	attron(A_BOLD);
	put(y, 0, COLS, "%-18s %10s %12s  %s", "Hottest", "size", "found dirty",
	    "what it is in the program");
	attroff(A_BOLD);
	for (i = 0; i < s->ranges && (int)i < lines - 1; i++)
		draw_range(s, y + 1 + (int)i, &s->range[i]);
	if (!s->ranges && lines > 1)
		put(y + 1, 0, COLS, "nothing was written lately");
}

/* The last line, and the whole --------------------------------------------------------- */

static void draw_foot(const struct screen *s, int y)
{
	static const char keys[] = "q quit  space pause  h help";
	const struct shown *v = &s->shown;
	char memory[CLI_TEXT];
	/* before the first interval there is nothing to tell */
	double percent = v->ns ? 100 / (double)v->ns : 0;
	int at = COLS - (int)sizeof(keys) + 1;

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	put(y, 0, at - 1,
	    at > 76 ?
		    "Watching takes %.2g %% of a processor, %s; harvests %.2g %% of the time" :
		    "Watching takes %.2g %% of a processor, %s",
	    (double)v->processor * percent, cli_text_size(memory, v->memory),
	    (double)v->cost * percent);
	put(y, at, COLS - at, "%s", keys);
	attroff(A_REVERSE);
}

static const char *const help[] = {
	"q                quit",
	"space            pause: watching goes on, what is shown stays",
	"+ -              longer, shorter intervals",
	"arrows           look at a cell of the map",
	"Enter            zoom in on it: a sixteenth of what is shown",
	"Esc              zoom out",
	"h                these lines; any key ends them",
	"",
	"Found dirty: a page counts once in each harvest, ten times a second.",
	"Written: different bytes, within that time.",
	"Migration: as it would be if it began now; processors' writes, which",
	"are not seen here, come on top.",
	"Memory: cells are equal parts of what is mapped, without the holes.",
	NULL,
};

static void draw_help(void)
{
	int i;

	put_label(2, "Keys");
	for (i = 0; help[i] && 4 + i < LINES; i++)
		put(4 + i, 2, COLS - 2, "%s", help[i]);
}

/* From the line @y on */
static int draw_memory(struct screen *s, int y)
{
	int blank = LINES >= 20, rest = LINES - 1 - y - 2 * blank;
	int hottest = rest * 2 / 5 < 11 ? rest * 2 / 5 : 11;
	int err = draw_map(s, y + blank, rest - hottest);

	draw_ranges(s, LINES - 1 - hottest, hottest);
	return err;
}

int panel_draw(struct screen *s)
{
	int lines = LINES >= 36 ? 3 : 1, err = 0;

	erase();
	if (LINES < LEAST_LINES || COLS < LEAST_COLUMNS) {
		put(0, 0, COLS, "the terminal needs %d by %d", LEAST_COLUMNS,
		    LEAST_LINES);
		refresh();
		return 0;
	}
	draw_head(s);
	if (s->help) {
		draw_help();
	} else {
		draw_container(s, 1);
		draw_rate(s, 2, lines);
		draw_sets(s, 2 + lines);
		draw_migration(s, 3 + lines);
		err = draw_memory(s, 4 + lines);
	}
	draw_foot(s, LINES - 1);
	refresh();
	return err;
}
