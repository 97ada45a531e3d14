/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Serve: the numbers of an interval as text that Prometheus reads, over HTTP.
 *
 * Nothing a client does holds up watching: sockets don't block, a request and the number of clients have
 * limits, and one that isn't done in time is closed.
 */
#ifndef CLI_WATCH_SERVE_H
#define CLI_WATCH_SERVE_H

#include <poll.h>
#include <stdint.h>

#include "show.h"

#define SERVE_CLIENTS 16u
#define SERVE_REQUEST 4096u /* bytes of a request */

/**
 * struct serve_client - a connection
 * @fd: its socket; -1: none
 * @end: ns of the clock when it is closed
 * @got: bytes of the request that have come
 * @request: the request
 * @answer: the answer; NULL: the request isn't complete
 * @size: bytes of the answer
 * @sent: bytes of the answer that have been sent
 */
struct serve_client {
	int fd;
	uint64_t end;
	size_t got;
	char request[SERVE_REQUEST];
	char *answer;
	size_t size;
	size_t sent;
};

/**
 * struct serve - an address that is listened at
 * @fd: its socket; -1: none
 * @client: the connections
 * @show: what is watched
 * @shown: the interval whose numbers are served
 * @found: bytes found dirty, of all intervals
 * @harvests: number of harvests of all intervals
 * @cost: ns that they took
 */
struct serve {
	int fd;
	struct serve_client client[SERVE_CLIENTS];
	const struct show *show;
	struct shown shown;
	uint64_t found;
	uint64_t harvests;
	uint64_t cost;
};

/*
 * Listen. @address: HOST:PORT, [HOST]:PORT, or PORT of this machine's loopback. Return: 0, or an exit status
 * after an error message
 */
int serve_open(struct serve *s, const char *address);
void serve_close(struct serve *s);

/* An interval has ended. */
void serve_set(struct serve *s, const struct show *show,
	       const struct shown *shown);

/* Fill in what to wait for. @fds: SERVE_CLIENTS + 1 of them. Return: their number */
unsigned int serve_fds(const struct serve *s, struct pollfd *fds);

/* Accept, read, answer and close, as far as that is possible without waiting. */
void serve_work(struct serve *s);

#endif
