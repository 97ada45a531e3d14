// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"

static void more(struct lines *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	ssize_t n;

	NEED(l->used < sizeof(l->data) - 1);
	do
		NEED(poll(&p, 1, PATIENCE) == 1);
	while (!p.revents);
	n = read(l->fd, l->data + l->used, sizeof(l->data) - 1 - l->used);
	NEED(n > 0);
	l->used += n;
}

/* Return: the next line, without its newline; valid until the next call */
char *lines_next(struct lines *l)
{
	char *end;

	l->used -= l->taken;
	memmove(l->data, l->data + l->taken, l->used);
	l->taken = 0;
	while (!(end = memchr(l->data, '\n', l->used)))
		more(l);
	*end = '\0';
	l->taken = end + 1 - l->data;
	return l->data;
}
