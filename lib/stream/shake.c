// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Handshakes: running one alone, and the handshake that waits for a greeting. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "shake.h"

static int run(struct dml_shake *s, const struct dml_limit *limit)
{
	short events = 0;
	int ret;

	while ((ret = s->ops->step(s->state, &events)) == -EAGAIN) {
		ret = dml_limit_wait(limit, s->fd, events, limit->end);
		if (ret == -ETIMEDOUT)
			return dml_error(ret, "the other side does not complete the handshake");
		if (ret)
			return ret;
	}
	return ret;
}

int dml_shake_run(struct dml_shake *s, const struct dml_limit *limit,
		  struct dmatrack_channel **ch)
{
	int ret = run(s, limit);

	if (!ret)
		ret = s->ops->channel(s->state, ch);
	if (ret)
		s->ops->drop(s->state);
	return ret;
}

/* Waiting for a greeting --------------------------------------------------------- */

/**
 * struct greeter - a peer that must send a greeting first
 * @fd: its socket
 * @n: bytes of @head received so far
 * @head: the greeting
 */
struct greeter {
	int fd;
	size_t n;
	unsigned char head[DML_CHANNEL_HEAD];
};

static int greeting_step(void *opaque, short *events)
{
	struct greeter *g = opaque;
	ssize_t n;

	while (g->n < sizeof(g->head)) {
		n = recv(g->fd, g->head + g->n, sizeof(g->head) - g->n,
			 MSG_DONTWAIT);
		if (!n)
			return dml_error(-ECONNRESET, "the other side closed the connection");
		if (n < 0 && errno == EINTR)
			continue;
		*events = POLLIN;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return -EAGAIN;
		if (n < 0)
			return dml_error(-errno, "channel: %s", strerror(errno));
		g->n += (size_t)n;
	}
	return 0;
}

static int greeting_channel(void *opaque, struct dmatrack_channel **ch)
{
	struct greeter *g = opaque;
	int ret = dml_channel_socket(ch, g->fd, g->head);

	if (!ret)
		free(g);
	return ret;
}

static void greeting_drop(void *opaque)
{
	struct greeter *g = opaque;

	close(g->fd);
	free(g);
}

static const struct dml_shake_ops greeting_ops = {
	.step = greeting_step,
	.channel = greeting_channel,
	.drop = greeting_drop,
};

int dml_shake_greeting(struct dml_shake *s, int fd)
{
	struct greeter *g = calloc(1, sizeof(*g));

	if (!g)
		return dml_no_memory();
	g->fd = fd;
	*s = (struct dml_shake){ .ops = &greeting_ops, .state = g, .fd = fd };
	return 0;
}
