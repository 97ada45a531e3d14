// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lastword: a connection that breaks at COMMIT, the sender's last message. The sender
 * is at standard input and output, the receiver at a Unix socket; all bytes before are
 * forwarded both ways.
 *
 *	lastword PATH lost	COMMIT doesn't arrive
 *	lastword PATH arrives	it does, and the answer doesn't
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING 16
#define HEAD	 56
#define TYPE	 4 /* offset in a frame's head */
#define LENGTH	 32
#define COMMIT	 13

/**
 * struct stream - the bytes from the sender
 * @skip: bytes to forward before the next head
 * @head: the head of a frame, of which @n bytes have come
 */
struct stream {
	uint64_t skip;
	unsigned char head[HEAD];
	size_t n;
};

static void put(int fd, const void *data, size_t size)
{
	const char *at = data;
	ssize_t n;

	for (; size; at += n, size -= (size_t)n) {
		n = write(fd, at, size);
		if (n <= 0)
			exit(1);
	}
}

/* A whole head has come. */
static void end_head(struct stream *s, int to, bool arrives)
{
	uint32_t length;
	char byte;

	if (s->head[TYPE] == COMMIT) {
		if (arrives) {
			put(to, s->head, HEAD);
			exit(read(to, &byte, 1) != 1);
		}
		exit(0);
	}
	put(to, s->head, HEAD);
	memcpy(&length, s->head + LENGTH, sizeof(length));
	s->skip = length;
	s->n = 0;
}

static void forward(struct stream *s, const char *data, size_t size, int to,
		    bool arrives)
{
	size_t n;

	for (; size; data += n, size -= n) {
		if (s->skip) {
			n = size < s->skip ? size : s->skip;
			put(to, data, n);
			s->skip -= n;
			continue;
		}
		n = size < HEAD - s->n ? size : HEAD - s->n;
		memcpy(s->head + s->n, data, n);
		s->n += n;
		if (s->n == HEAD)
			end_head(s, to, arrives);
	}
}

static int reach(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror(path);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct stream s = { .skip = GREETING };
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN },
			       { .events = POLLIN } };
	static char buf[65536];
	ssize_t n;

	if (argc != 3)
		return 2;
	p[1].fd = reach(argv[1]);
	while (poll(p, 2, -1) > 0) {
		if (p[0].revents) {
			n = read(0, buf, sizeof(buf));
			if (n <= 0)
				return 0;
			forward(&s, buf, (size_t)n, p[1].fd,
				!strcmp(argv[2], "arrives"));
		}
		if (p[1].revents) {
			n = read(p[1].fd, buf, sizeof(buf));
			if (n <= 0)
				return 0;
			put(1, buf, (size_t)n);
		}
	}
	return 1;
}
