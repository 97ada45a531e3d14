// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The terminal, its keys, and the part of the memory that is shown: see screen.h. */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "cli/common/interrupt.h"
#include "cli/common/terminal.h"
#include "lib/util/clock.h"
#include "panel.h"

#define ESCAPE 27
#define MAPS_LAST \
	(10 * DML_NSEC) /* until the program's memory is looked up anew */
#define ZOOM	   16u
#define ZOOM_LEAST 64u /* pages */

/* Intervals that + and - choose, in ms */
static const uint64_t intervals[] = { 100,  200,  500,	 1000,
				      2000, 5000, 10000, 60000 };
#define INTERVALS (sizeof(intervals) / sizeof(*intervals))

/* The terminal ------------------------------------------------------------------ */

/* What a second signal restores, while a harvest keeps the loop from ending in order */
static struct {
	struct termios modes;
	char leave[128];
	size_t length;
} shell;

static void restore_shell(void)
{
	ssize_t n = write(STDOUT_FILENO, shell.leave, shell.length);

	(void)n;
	tcsetattr(STDIN_FILENO, TCSANOW, &shell.modes);
}

/* Text that ends the terminal's full screen, and shows its cursor */
static void note_leaving(void)
{
	static const char *const names[] = { "sgr0", "rmcup", "cnorm" };
	size_t i;

	for (shell.length = i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *text = tigetstr(names[i]);
		size_t n = text && text != (char *)-1 ? strlen(text) : 0;

		if (!n || n > sizeof(shell.leave) - shell.length)
			continue;
		memcpy(shell.leave + shell.length, text, n);
		shell.length += n;
	}
}

static void choose_colours(struct screen *s)
{
	const char *none = getenv("NO_COLOR");

	s->colour = has_colors() && (!none || !*none);
	if (!s->colour)
		return;
	start_color();
	use_default_colors();
	init_pair(PANEL_HOT, COLOR_RED, -1);
	init_pair(PANEL_WARM, COLOR_YELLOW, -1);
	init_pair(PANEL_COOL, COLOR_CYAN, -1);
	init_pair(PANEL_COLD, COLOR_BLUE, -1);
}

static void prepare_terminal(void)
{
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
}

int screen_open(struct screen *s, const struct show *show,
		struct sample *sample, uint64_t interval)
{
	*s = (struct screen){
		.show = show,
		.sample = sample,
		.interval = interval,
		.zoom = { { 0, UINT64_MAX } },
		.zooms = 1,
		.cursor = SCREEN_NO_CELL,
	};
	if (!isatty(STDIN_FILENO) || !cli_terminal_is(stdout))
		return -ENOTTY;
	setlocale(LC_CTYPE, "");
	s->wide = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (tcgetattr(STDIN_FILENO, &shell.modes))
		return -ENOTTY;
	s->term = newterm(NULL, stdout, stdin);
	if (!s->term)
		return -ENOTTY;
	note_leaving();
	cli_interrupt_before_end(restore_shell);
	prepare_terminal();
	choose_colours(s);
	heat_init(&s->heat, &sample->layout, &sample->watch->stamps);
	s->listener = (struct dml_stamps_listener){ heat_move, &s->heat, NULL };
	dml_stamps_listen(&sample->watch->stamps, &s->listener);
	return 0;
}

void screen_close(struct screen *s)
{
	if (s->term) {
		endwin();
		delscreen(s->term);
		cli_interrupt_before_end(NULL);
	}
	s->term = NULL;
	dml_stamps_unlisten(&s->sample->watch->stamps, &s->listener);
	heat_fini(&s->heat);
	maps_free(&s->maps);
}

/* The memory --------------------------------------------------------------------- */

int screen_fit(struct screen *s, unsigned int cells)
{
	const struct screen_zoom *z = &s->zoom[s->zooms - 1];
	int err;

	if (cells == s->cells)
		return 0;
	err = heat_show(&s->heat, z->first, z->pages, cells);
	s->cells = err ? 0 : cells;
	if (s->cursor != SCREEN_NO_CELL && s->cursor >= s->heat.nr)
		s->cursor = s->heat.nr ? s->heat.nr - 1 : SCREEN_NO_CELL;
	return err;
}

/* Mappings were made or removed: places are others now. */
static void start_over(struct screen *s)
{
	s->changes = s->sample->changes;
	s->zooms = 1;
	s->cells = 0;
	s->mapped = 0;
}

static void zoom_in(struct screen *s)
{
	uint64_t pages = s->heat.pages / ZOOM, middle, first;

	if (s->cursor == SCREEN_NO_CELL || s->zooms == SCREEN_ZOOMS ||
	    s->heat.pages <= ZOOM_LEAST)
		return;
	if (pages < ZOOM_LEAST)
		pages = ZOOM_LEAST;
	middle = s->heat.first + s->cursor * s->heat.each + s->heat.each / 2;
	first = middle > s->heat.first + pages / 2 ? middle - pages / 2 :
						     s->heat.first;
	if (first + pages > s->heat.first + s->heat.pages)
		first = s->heat.first + s->heat.pages - pages;
	s->zoom[s->zooms++] = (struct screen_zoom){ first, pages };
	s->cells = 0;
}

static void zoom_out(struct screen *s)
{
	if (s->zooms > 1) {
		s->zooms--;
		s->cells = 0;
	} else {
		s->cursor = SCREEN_NO_CELL;
	}
}

static void move_cursor(struct screen *s, int by)
{
	int64_t to = (int64_t)s->cursor + by;

	if (!s->heat.nr)
		return;
	if (s->cursor == SCREEN_NO_CELL)
		s->cursor = 0;
	else if (to >= 0 && to < s->heat.nr)
		s->cursor = (unsigned int)to;
}

/* Keys --------------------------------------------------------------------------- */

static void change_interval(struct screen *s, bool longer)
{
	unsigned int i = 0;

	while (i < INTERVALS - 1 && intervals[i] < s->interval)
		i++;
	if (longer && i < INTERVALS - 1 && intervals[i] <= s->interval)
		i++;
	else if (!longer && i)
		i--;
	s->interval = intervals[i];
}

static void pause_or_go_on(struct screen *s)
{
	struct dml_stamps *stamps = &s->sample->watch->stamps;

	s->paused = !s->paused;
	if (s->paused)
		dml_stamps_unlisten(stamps, &s->listener);
	else
		dml_stamps_listen(stamps, &s->listener);
	s->cells = 0;
}

static void take_arrow(struct screen *s, int key)
{
	int line = (int)s->across;

	move_cursor(s, key == KEY_LEFT	? -1 :
		       key == KEY_RIGHT ? 1 :
		       key == KEY_UP	? -line :
					  line);
}

static void take_key(struct screen *s, int key)
{
	bool help = s->help;

	s->help = false;
	switch (key) {
	case 'q':
	case 'Q':
		s->quit = true;
		break;
	case ' ':
		pause_or_go_on(s);
		break;
	case '+':
	case '-':
		change_interval(s, key == '+');
		break;
	case 'h':
	case '?':
		s->help = !help;
		break;
	case KEY_ENTER:
	case '\r':
	case '\n':
		zoom_in(s);
		break;
	case ESCAPE:
	case KEY_BACKSPACE:
		if (!help)
			zoom_out(s);
		break;
	case KEY_LEFT:
	case KEY_RIGHT:
	case KEY_UP:
	case KEY_DOWN:
		take_arrow(s, key);
		break;
	case 'L' & 0x1f: /* Ctrl-L, as everywhere */
		clearok(stdscr, TRUE);
		break;
	}
}

int screen_keys(struct screen *s)
{
	bool any = false;
	int key;

	while ((key = getch()) != ERR) {
		if (key == KEY_RESIZE)
			s->cells = 0;
		else
			take_key(s, key);
		any = true;
	}
	return any ? panel_draw(s) : 0;
}

/* Intervals ---------------------------------------------------------------------- */

static void look_up_memory(struct screen *s)
{
	uint64_t now = dml_clock_now();

	if (s->mapped && now - s->mapped < MAPS_LAST)
		return;
	maps_free(&s->maps);
	maps_read(&s->maps, "",
		  s->show->target->pid); /* else names are missing */
	s->mapped = now;
}

int screen_show(struct screen *s, const struct shown *shown)
{
	int n;

	if (s->changes != s->sample->changes)
		start_over(s);
	else if (s->paused)
		return 0;
	s->shown = *shown;
	if (shown->ns)
		s->history[s->intervals++ % SCREEN_HISTORY] = shown->rate;
	look_up_memory(s);
	n = hot_find(&s->sample->watch->stamps, &s->sample->layout, s->range,
		     SCREEN_RANGES);
	if (n < 0)
		return n;
	s->ranges = (unsigned int)n;
	return panel_draw(s);
}
