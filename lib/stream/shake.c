// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Handshakes: running one alone, and the handshake that waits for a greeting. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "lines.h"
#include "shake.h"

/* Proofs ------------------------------------------------------------------------- */

#define ANSWER 16u /* bytes, as many as a greeting has */

/* The first bytes of a side by its proof, padded with zeros; with TLS only of a listener's answer */
static const struct {
	char first[DML_SHAKE_FIRST + 1];
	const char *words;
} proofs[] = {
	[DML_SHAKE_NONE] = { "DMTwire", "neither TLS nor a secret" },
	[DML_SHAKE_SECRET] = { "DMTproof", "a secret" },
	[DML_SHAKE_TLS] = { "DMTtls", "TLS" },
};

static enum dml_shake_proof proof_of(const unsigned char *first)
{
	int i;

	for (i = DML_SHAKE_NONE; i <= DML_SHAKE_TLS; i++) {
		if (!memcmp(first, proofs[i].first, DML_SHAKE_FIRST))
			return (enum dml_shake_proof)i;
	}
	if (!memcmp(first, DML_LINES_MAGIC, strlen(DML_LINES_MAGIC)))
		return DML_SHAKE_NONE;
	/* a record of TLS, alert or handshake */
	return (first[0] == 0x15 || first[0] == 0x16) && first[1] == 3 ?
		       DML_SHAKE_TLS :
		       DML_SHAKE_UNKNOWN;
}

int dml_shake_compare(enum dml_shake_proof ours, const void *first)
{
	enum dml_shake_proof theirs = proof_of(first);

	if (theirs == DML_SHAKE_UNKNOWN || theirs == ours)
		return 0;
	return dml_error(
		-EPROTO,
		"the other side uses %s, this side %s: both sides must use the same",
		proofs[theirs].words, proofs[ours].words);
}

/* Unread data would make close() discard the answer: read it first. */
static void answer(const struct dml_shake *s)
{
	char buf[4096] = { 0 };

	recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
	memset(buf, 0, ANSWER);
	memcpy(buf, proofs[s->proof].first, DML_SHAKE_FIRST);
	send(s->fd, buf, ANSWER, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The connecting side speaks first: until then a listener's step() must not read from the socket. */
static int meet(struct dml_shake *s, short *events)
{
	unsigned char first[DML_SHAKE_FIRST];
	ssize_t n = recv(s->fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
	int ret = 0;

	*events = POLLIN;
	if (n < 0 && s->listens && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	s->met = n > 0;
	if (n == sizeof(first))
		ret = dml_shake_compare(s->proof, first);
	if (ret && s->listens)
		answer(s);
	return ret;
}

int dml_shake_step(struct dml_shake *s, short *events)
{
	int ret = s->met ? 0 : meet(s, events);

	return ret ? ret : s->ops->step(s->state, events);
}

/* Running one alone -------------------------------------------------------------- */

static int run(struct dml_shake *s, const struct dml_limit *limit)
{
	short events = 0;
	int ret;

	while ((ret = dml_shake_step(s, &events)) == -EAGAIN) {
		ret = dml_limit_wait(limit, s->fd, events, limit->end);
		if (ret == -ETIMEDOUT)
			return dml_error(
				ret,
				"the other side does not complete the handshake");
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
			return dml_error(
				-ECONNRESET,
				"the other side closed the connection");
		if (n < 0 && errno == EINTR)
			continue;
		*events = POLLIN;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return -EAGAIN;
		if (n < 0)
			return dml_error(-errno, "channel: %s",
					 strerror(errno));
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
	*s = (struct dml_shake){ .ops = &greeting_ops,
				 .state = g,
				 .fd = fd,
				 .proof = DML_SHAKE_NONE,
				 .listens = true };
	return 0;
}
