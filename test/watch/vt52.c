// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vt52 COLUMNSxLINES COMMAND...
 *
 * Run a command in a terminal of that size, a VT52, which has the least that a full screen needs. Lines of
 * standard input say what to do:
 *
 *	wait TEXT	wait until TEXT is on the screen
 *	gone TEXT	wait until it isn't
 *	type TEXT	type it; \e is Escape, \r Enter
 *	size CxL	change the terminal's size; what it shows is lost
 *	kill SIGNAL	send a signal, by its number, to the command
 *	show		print the screen, each line behind "| "
 *	end		wait until the command ends, and print "status N", and "modes kept" if the
 *			terminal has the modes that it had before
 *
 * Exit status: 0, or 1 if something did not happen within a minute, after a message on standard error.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define COLUMNS	 400
#define LINES	 200
#define CELL	 8  /* bytes of a character */
#define PATIENCE 60 /* seconds */

/**
 * struct terminal - a VT52
 * @fd: the other side of its line
 * @pid: the command
 * @before: its modes before the command ran
 * @size: its size
 * @x: column of the cursor
 * @y: line of the cursor
 * @escape: bytes of an escape sequence that have come
 * @escaped: their number
 * @cell: the characters
 */
static struct terminal {
	int fd;
	pid_t pid;
	struct termios before;
	struct winsize size;
	int x, y;
	char escape[4];
	unsigned int escaped;
	char cell[LINES][COLUMNS][CELL];
} t;

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "vt52: %s: %s\n", what, text);
	kill(t.pid, SIGKILL);
	exit(1);
}

/* What comes out ----------------------------------------------------------------- */

static void clear(int y, int x)
{
	for (; x < COLUMNS; x++)
		strcpy(t.cell[y][x], " ");
}

static void clear_from(int y, int x)
{
	for (clear(y++, x); y < LINES; y++)
		clear(y, 0);
}

static void line_feed(void)
{
	if (++t.y < t.size.ws_row)
		return;
	t.y--;
	memmove(t.cell[0], t.cell[1], sizeof(t.cell[0]) * (size_t)t.y);
	clear(t.y, 0);
}

static void move(int y, int x)
{
	t.y = y < 0 ? 0 : y < t.size.ws_row ? y : t.size.ws_row - 1;
	t.x = x < 0 ? 0 : x < t.size.ws_col ? x : t.size.ws_col - 1;
}

static void back_up(void)
{
	if (t.y)
		t.y--;
	else
		memmove(t.cell[1], t.cell[0], sizeof(t.cell[0]) * (LINES - 1));
}

/* Take a sequence once it is complete: ESC Y has two more characters, the others none. */
static void take_escape(void)
{
	if (t.escape[0] == 'Y' && t.escaped < 3)
		return;
	switch (t.escape[0]) {
	case 'A':
		move(t.y - 1, t.x);
		break;
	case 'B':
		move(t.y + 1, t.x);
		break;
	case 'C':
		move(t.y, t.x + 1);
		break;
	case 'D':
		move(t.y, t.x - 1);
		break;
	case 'H':
		move(0, 0);
		break;
	case 'I':
		back_up();
		break;
	case 'J':
		clear_from(t.y, t.x);
		break;
	case 'K':
		clear(t.y, t.x);
		break;
	case 'Y':
		move(t.escape[1] - ' ', t.escape[2] - ' ');
		break;
	}
	t.escaped = 0;
}

static void take_control(char c)
{
	if (c == '\r')
		t.x = 0;
	else if (c == '\n')
		line_feed();
	else if (c == '\b' && t.x)
		t.x--;
	else if (c == '\t')
		move(t.y, (t.x / 8 + 1) * 8);
}

static void take_character(char c)
{
	bool more = (c & 0xc0) == 0x80; /* of UTF-8 */
	char *cell = more && t.x ? t.cell[t.y][t.x - 1] : NULL;

	if (cell && strlen(cell) < CELL - 1) {
		strncat(cell, &c, 1);
	} else if (!more && t.x < t.size.ws_col) {
		t.cell[t.y][t.x][0] = c;
		t.cell[t.y][t.x++][1] = '\0';
	}
}

static void take(char c)
{
	static bool escaping;

	if (c == '\033') {
		escaping = true;
		t.escaped = 0;
	} else if (escaping) {
		t.escape[t.escaped++] = c;
		take_escape();
		escaping = t.escaped;
	} else if ((unsigned char)c < ' ') {
		take_control(c);
	} else {
		take_character(c);
	}
}

/* Take what comes within a tenth of a second. Return: false: the command has closed the line */
static bool listen_a_bit(void)
{
	struct pollfd fd = { .fd = t.fd, .events = POLLIN };
	char buf[4096];
	ssize_t n, i;

	if (poll(&fd, 1, 100) <= 0)
		return true;
	n = read(t.fd, buf, sizeof(buf));
	for (i = 0; i < n; i++)
		take(buf[i]);
	return n > 0;
}

/* What goes in --------------------------------------------------------------------- */

static void show_line(char *line, int y)
{
	int x;

	*line = '\0';
	for (x = 0; x < t.size.ws_col; x++)
		strcat(line, t.cell[y][x]);
}

static bool has_ended(void)
{
	siginfo_t info = { .si_pid = 0 };

	return !waitid(P_PID, (id_t)t.pid, &info,
		       WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid;
}

static bool is_shown(const char *text)
{
	char line[COLUMNS * CELL];
	int y;

	for (y = 0; y < t.size.ws_row; y++) {
		show_line(line, y);
		if (strstr(line, text))
			return true;
	}
	return false;
}

static void show(void)
{
	char line[COLUMNS * CELL];
	int y;

	for (y = 0; y < t.size.ws_row; y++) {
		show_line(line, y);
		printf("| %s\n", line);
	}
	fflush(stdout);
}

static void await(const char *text, bool there)
{
	time_t end = time(NULL) + PATIENCE;
	unsigned int ended = 0; /* what it printed last may still be read */

	while (is_shown(text) != there) {
		ended += has_ended();
		if (!listen_a_bit() || ended > 10 || time(NULL) > end) {
			show();
			fail(there ? "not on the screen" :
				     "still on the screen",
			     text);
		}
	}
}

static void type(const char *text)
{
	char c;

	for (; *text; text++) {
		c = *text;
		if (c == '\\' && text[1])
			c = *++text == 'e' ? '\033' : '\r';
		if (write(t.fd, &c, 1) != 1)
			fail("can't type", text);
	}
}

static void resize(const char *text)
{
	if (sscanf(text, "%hux%hu", &t.size.ws_col, &t.size.ws_row) != 2 ||
	    t.size.ws_col >= COLUMNS || t.size.ws_row >= LINES)
		fail("not a size", text);
	clear_from(0, 0);
	ioctl(t.fd, TIOCSWINSZ, &t.size);
}

static bool same_modes(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag &&
	       a->c_lflag == b->c_lflag && a->c_cflag == b->c_cflag;
}

static void end(void)
{
	time_t until = time(NULL) + PATIENCE;
	struct termios after;
	int status;

	while (waitpid(t.pid, &status, WNOHANG) != t.pid) {
		listen_a_bit();
		if (time(NULL) > until)
			fail("it doesn't end", "");
	}
	printf("status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) :
						  128 + WTERMSIG(status));
	if (!tcgetattr(t.fd, &after) && same_modes(&t.before, &after))
		puts("modes kept");
	fflush(stdout);
}

static void obey(char *line)
{
	char *text = strchr(line, ' ');

	text = text ? text + 1 : line + strlen(line);
	if (!strncmp(line, "wait ", 5))
		await(text, true);
	else if (!strncmp(line, "gone ", 5))
		await(text, false);
	else if (!strncmp(line, "type ", 5))
		type(text);
	else if (!strncmp(line, "size ", 5))
		resize(text);
	else if (!strncmp(line, "kill ", 5))
		kill(t.pid, atoi(text));
	else if (!strcmp(line, "show"))
		show();
	else if (!strcmp(line, "end"))
		end();
	else
		fail("not an order", line);
}

int main(int argc, char **argv)
{
	char line[1024];
	int keep;

	if (argc < 3)
		fail("no size and no command", "");
	resize(argv[1]);
	/* a descriptor of the command's side keeps its modes readable to the end */
	if (openpty(&t.fd, &keep, NULL, NULL, &t.size) ||
	    tcgetattr(keep, &t.before))
		fail("no terminal", strerror(errno));
	t.pid = fork();
	if (!t.pid) {
		login_tty(keep);
		setenv("TERM", "vt52", 1);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	return 0;
}
