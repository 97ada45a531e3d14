// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Events for programs: see events.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events.h"
#include "json.h"
#include "lib/util/clock.h"
#include "lib/util/quiet.h"

#define LAST_WAIT 1000 /* ms, for a reader to take the last event */

/**
 * struct events - where events go
 * @fd: the descriptor, of an open file of our own unless it's a socket; -1: none
 * @named: its number on the command line
 * @socket: whether it is a socket
 * @gone: whether the reader has closed its end
 * @began: ns of the clock when it was opened
 * @number: number of events so far, with those dropped
 * @dropped: number of events that couldn't be written
 * @rest: end of a line whose beginning has been written
 * @nrest: bytes of it
 */
static struct events {
	int fd;
	int named;
	bool socket;
	bool gone;
	uint64_t began;
	uint64_t number;
	uint64_t dropped;
	char rest[PIPE_BUF];
	size_t nrest;
} events = { .fd = -1 };

/* Opening ------------------------------------------------------------------------ */

/*
 * The descriptor's file is shared with the program that opened it, so it must not become non-blocking:
 * a pipe or a terminal is opened anew. Return: a descriptor, or -errno; -ENXIO: a pipe without a reader
 */
static int reopen(int fd, mode_t mode)
{
	char path[32];
	int own;

	if (S_ISFIFO(mode) || S_ISCHR(mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (own >= 0 || errno == ENXIO)
			return own >= 0 ? own : -ENXIO;
	}
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return own < 0 ? -errno : own;
}

/* Programs that the command starts must not keep the reader waiting for the end. */
static void keep_to_ourselves(int fd)
{
	if (fd > STDERR_FILENO)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int refuse(int fd, const char *why)
{
	cli_error("--events: descriptor %d %s", fd, why);
	return CLI_USAGE;
}

int cli_events_open(uint64_t fd)
{
	struct events *e = &events;
	struct stat s;
	int flags;

	if (fd == CLI_EVENTS_NONE)
		return 0;
	e->named = (int)fd;
	flags = fcntl(e->named, F_GETFL);
	if (flags < 0 || fstat(e->named, &s))
		return refuse(e->named, "is not open");
	if ((flags & O_ACCMODE) == O_RDONLY)
		return refuse(e->named, "is open for reading only");
	e->fd = reopen(e->named, s.st_mode);
	if (e->fd < 0 && e->fd != -ENXIO)
		return refuse(e->named, strerror(-e->fd));
	e->gone = e->fd < 0;
	e->socket = S_ISSOCK(s.st_mode);
	e->began = dml_clock_now();
	keep_to_ourselves(e->named);
	return 0;
}

/* Writing ------------------------------------------------------------------------ */

/* Return: number of bytes written, or -errno; -EAGAIN: the reader is slow */
static ssize_t write_now(const struct events *e, const char *text, size_t size)
{
	struct dml_quiet quiet;
	ssize_t n;

	if (e->socket)
		n = send(e->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	else {
		dml_quiet_begin(&quiet);
		n = write(e->fd, text, size);
		dml_quiet_end(&quiet);
	}
	return n < 0 ? -errno : n;
}

/* May it be written to without waiting? Where the file could not be opened anew, it would wait. */
static bool is_ready(const struct events *e, int ms)
{
	struct pollfd p = { .fd = e->fd, .events = POLLOUT };

	return poll(&p, 1, ms) > 0;
}

/* Write what is left of a line. Return: whether nothing is left */
static bool write_rest(struct events *e, int ms)
{
	ssize_t n;

	while (e->nrest && !e->gone && is_ready(e, ms)) {
		n = write_now(e, e->rest, e->nrest);
		if (n == -EAGAIN || n == -EINTR)
			return false;
		if (n < 0) {
			e->gone = true;
			return false;
		}
		e->nrest -= (size_t)n;
		memmove(e->rest, e->rest + n, e->nrest);
	}
	return !e->nrest && !e->gone;
}

/* Write a line or, if a part of it can't be written, keep that. Return: whether it was begun */
static bool write_line(struct events *e, const char *text, int ms)
{
	size_t size = strlen(text);

	if (!write_rest(e, ms) || size >= sizeof(e->rest) || !is_ready(e, ms))
		return false;
	memcpy(e->rest, text, size);
	e->rest[size] = '\n';
	e->nrest = size + 1;
	write_rest(e, ms);
	/* what no byte was written of is no beginning of a line */
	if (e->nrest < size + 1)
		return true;
	e->nrest = 0;
	return false;
}

static void send_event(json_t *event, int ms)
{
	struct events *e = &events;
	char *text;

	cli_json_number(event, "number", e->number++);
	cli_json_number(event, "dropped", e->dropped);
	cli_json_number(event, "time_ns", dml_clock_now() - e->began);
	text = json_dumps(event, JSON_REAL_PRECISION(6));
	if (!text || !write_line(e, text, ms))
		e->dropped++;
	free(text);
	json_decref(event);
}

json_t *cli_events_new(const char *name)
{
	json_t *event;

	if (events.fd < 0 && !events.gone)
		return NULL;
	event = json_object();
	cli_json_string(event, "event", name);
	return event;
}

void cli_events_send(json_t *event)
{
	if (event)
		send_event(event, 0);
}

void cli_events_end(int status)
{
	struct events *e = &events;
	json_t *event = cli_events_new("end");

	if (!event)
		return;
	cli_json_number(event, "status", (uint64_t)status);
	cli_json_string(event, "error", status ? cli_error_said() : NULL);
	send_event(event, LAST_WAIT);
	e->dropped += e->nrest != 0; /* its beginning was written */
	if (e->dropped)
		cli_error(
			"%" PRIu64 " of %" PRIu64
			" events were dropped: the reader of descriptor %d %s",
			e->dropped, e->number, e->named,
			e->gone ? "has closed it" : "is too slow");
	if (e->fd >= 0)
		close(e->fd);
	*e = (struct events){ .fd = -1 };
}
