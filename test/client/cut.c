// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cut: a connection that breaks. Listens at a Unix socket and forwards bytes to another
 * one, both ways, until a random number of bytes has passed; then it closes both. After
 * CUTS connections it lets the rest through. One cut in four counts the few bytes that
 * come back: acknowledgements, the end. With PIDFILE, also kills the process that
 * listens at TARGET at each cut. Prints on stdout where it cut.
 *
 *	cut LISTEN TARGET SEED CUTS MOST [PIDFILE]
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util/random.h"

#define BACK_MOST 600 /* cut among the first so many bytes that come back */

/**
 * struct plan - when to cut
 * @random: state of the random numbers
 * @cuts: number of connections still to cut
 * @most: cut within so many forward bytes
 * @pidfile: file with the ID of the process to kill, or NULL
 */
struct plan {
	uint64_t random;
	unsigned long cuts;
	uint64_t most;
	const char *pidfile;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_un name(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(a.sun_path, path);
	return a;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = name(path);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(path);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 8))
		die(path);
	return s;
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = name(path);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	if (s < 0)
		die("socket");
	if (connect(s, (struct sockaddr *)&a, sizeof(a))) {
		close(s);
		return -1;
	}
	return s;
}

/* Forward the bytes that are there, at most @left. Return: their number; -1: the end */
static ssize_t forward(int from, int to, uint64_t left)
{
	static char buf[65536];
	ssize_t n = read(from, buf, left < sizeof(buf) ? left : sizeof(buf));
	ssize_t done = 0, m;

	if (n <= 0)
		return -1;
	while (done < n) {
		m = write(to, buf + done, (size_t)(n - done));
		if (m <= 0)
			return -1;
		done += m;
	}
	return n;
}

/*
 * Forward until a side closes, or @there or @back bytes have passed. Return: true if the
 * bytes have passed
 */
static bool carry(int a, int b, uint64_t there, uint64_t back)
{
	uint64_t left[2] = { there, back };
	struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
	ssize_t n;
	int i;

	while (left[0] && left[1]) {
		if (poll(p, 2, -1) < 0)
			die("poll");
		for (i = 0; i < 2; i++) {
			if (!p[i].revents)
				continue;
			n = forward(p[i].fd, p[!i].fd, left[i]);
			if (n < 0)
				return false;
			left[i] -= (uint64_t)n;
		}
	}
	return true;
}

static void kill_listener(const char *pidfile)
{
	FILE *in = fopen(pidfile, "r");
	int pid = 0;

	if (in && fscanf(in, "%d", &pid) == 1 && pid > 1)
		kill(pid, SIGKILL);
	if (in)
		fclose(in);
}

/* A random number up to @most; half of the time its logarithm is uniform, for small ones */
static uint64_t draw(struct plan *p, uint64_t most)
{
	uint64_t n = dml_random_below(&p->random, most) + 1;

	if (dml_random_below(&p->random, 2))
		n >>= dml_random_below(&p->random, 24);
	return n ? n : 1;
}

static void serve(int client, const char *target, struct plan *p)
{
	uint64_t there = UINT64_MAX, back = UINT64_MAX;
	int s = connect_to(target);

	if (s < 0) {
		close(client);
		return;
	}
	if (p->cuts && !dml_random_below(&p->random, 4))
		back = draw(p, BACK_MOST);
	else if (p->cuts)
		there = draw(p, p->most);
	if (carry(client, s, there, back)) {
		p->cuts--;
		if (p->pidfile)
			kill_listener(p->pidfile);
		printf("cut after %" PRIu64 " bytes %s\n",
		       there != UINT64_MAX ? there : back,
		       there != UINT64_MAX ? "there" : "back");
		fflush(stdout);
	}
	close(s);
	close(client);
}

int main(int argc, char **argv)
{
	struct plan p;
	int l, s;

	if (argc < 6) {
		fputs("usage: cut LISTEN TARGET SEED CUTS MOST [PIDFILE]\n",
		      stderr);
		return 2;
	}
	p = (struct plan){
		.random = strtoull(argv[3], NULL, 0),
		.cuts = strtoul(argv[4], NULL, 0),
		.most = strtoull(argv[5], NULL, 0),
		.pidfile = argv[6],
	};
	signal(SIGPIPE, SIG_IGN);
	l = listen_at(argv[1]);
	for (;;) {
		s = accept(l, NULL, NULL);
		if (s < 0)
			die("accept");
		serve(s, argv[2], &p);
	}
}
