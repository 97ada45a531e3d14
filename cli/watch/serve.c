// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Serving metrics: see serve.h. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/common/cli.h"
#include "lib/util/clock.h"
#include "metrics.h"

#define PATIENCE (10 * DML_NSEC) /* for a client */
#define LINGER	 DML_NSEC	 /* ... that has its answer */
#define BEYOND	 (64u << 10)	 /* bytes it may send beyond its request */
#define LOOPBACK "127.0.0.1"

/* Listening ----------------------------------------------------------------------- */

/**
 * struct serve_place - a host and a port
 * @host: the host
 * @port: the port
 */
struct serve_place {
	char host[256];
	char port[16];
};

/* Return: whether @address is one */
static bool parse(struct serve_place *p, const char *address)
{
	const char *colon = strrchr(address, ':');
	const char *port = colon ? colon + 1 : address;
	size_t length = colon ? (size_t)(colon - address) : 0;
	uint64_t number;

	if (colon && length > 2 && *address == '[' && colon[-1] == ']') {
		address++;
		length -= 2;
	} else if (colon && memchr(address, ':', length)) {
		return false; /* IPv6 needs its brackets: which colon is the port's? */
	}
	if (!cli_text_parse_number(port, &number) || number > 65535 ||
	    (colon && !length) || length >= sizeof(p->host))
		return false;
	snprintf(p->host, sizeof(p->host), "%.*s",
		 colon ? (int)length : (int)sizeof(LOOPBACK),
		 colon ? address : LOOPBACK);
	snprintf(p->port, sizeof(p->port), "%u", (unsigned int)number);
	return true;
}

/* Return: a socket that listens, or -errno */
static int listen_at(const struct addrinfo *a)
{
	int fd = socket(a->ai_family,
			a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			a->ai_protocol);
	int one = 1, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, SERVE_CLIENTS))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Where it listens: the port may have been chosen by the system. */
static void announce(int fd)
{
	struct sockaddr_storage at;
	socklen_t size = sizeof(at);
	char host[64], port[16];

	if (!getsockname(fd, (struct sockaddr *)&at, &size) &&
	    !getnameinfo((struct sockaddr *)&at, size, host, sizeof(host), port,
			 sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		fprintf(stderr, "metrics: http://%s%s%s:%s/metrics\n",
			strchr(host, ':') ? "[" : "", host,
			strchr(host, ':') ? "]" : "", port);
}

int serve_open(struct serve *s, const char *address)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE };
	struct addrinfo *list;
	struct serve_place p;
	unsigned int i;
	int err;

	for (i = 0; i < SERVE_CLIENTS; i++)
		s->client[i].fd = -1;
	if (!parse(&p, address))
		return cli_error_usage("--listen: '%s' is not HOST:PORT, "
				       "[HOST]:PORT or PORT",
				       address);
	err = getaddrinfo(p.host, p.port, &hints, &list);
	if (err) {
		cli_error("--listen: %s: %s", p.host, gai_strerror(err));
		return CLI_FAILED;
	}
	s->fd = listen_at(list);
	freeaddrinfo(list);
	if (s->fd < 0) {
		cli_error("--listen: can't listen at %s: %s", address,
			  strerror(-s->fd));
		return CLI_FAILED;
	}
	announce(s->fd);
	return 0;
}

static void close_client(struct serve_client *c)
{
	close(c->fd);
	free(c->answer);
	c->fd = -1;
	c->answer = NULL;
}

void serve_close(struct serve *s)
{
	unsigned int i;

	if (s->fd < 0)
		return;
	for (i = 0; i < SERVE_CLIENTS; i++)
		if (s->client[i].fd >= 0)
			close_client(&s->client[i]);
	close(s->fd);
	s->fd = -1;
}

void serve_set(struct serve *s, const struct show *show,
	       const struct shown *shown)
{
	s->show = show;
	s->shown = *shown;
	s->found += shown->found;
	s->harvests += shown->harvests;
	s->cost += shown->cost;
}

/* Answers ------------------------------------------------------------------------- */

/* @body: NULL: the status alone */
static void answer(struct serve_client *c, const char *status, const char *body,
		   size_t size)
{
	FILE *out = open_memstream(&c->answer, &c->size);

	if (!out)
		return;
	fprintf(out,
		"HTTP/1.1 %s\r\n"
		"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		"Content-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		status, body ? size : strlen(status) + 1);
	if (body)
		fwrite(body, 1, size, out);
	else
		fprintf(out, "%s\n", status);
	if (fclose(out)) {
		free(c->answer);
		c->answer = NULL;
	}
}

static void answer_metrics(const struct serve *s, struct serve_client *c)
{
	char *body = NULL;
	size_t size;
	FILE *out = open_memstream(&body, &size);

	if (out)
		metrics_print(s, out);
	if (out && !fclose(out))
		answer(c, "200 OK", body, size);
	free(body);
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* Answer a request once its head is complete; what it says beside its first line doesn't matter. */
static void take_request(const struct serve *s, struct serve_client *c)
{
	const char *path;

	c->request[c->got] = '\0';
	if (!strstr(c->request, "\r\n\r\n") && !strstr(c->request, "\n\n")) {
		if (c->got == SERVE_REQUEST - 1)
			answer(c, "431 Request Header Fields Too Large", NULL,
			       0);
		return;
	}
	path = c->request + 4;
	if (!begins(c->request, "GET "))
		answer(c, "405 Method Not Allowed", NULL, 0);
	else if (begins(path, "/metrics ") || begins(path, "/metrics?"))
		answer_metrics(s, c);
	else
		answer(c, "404 Not Found", NULL, 0);
}

/* Clients ------------------------------------------------------------------------- */

/* Return: false: there's nothing more to expect of the client */
static bool read_some(const struct serve *s, struct serve_client *c)
{
	ssize_t n = recv(c->fd, c->request + c->got, SERVE_REQUEST - 1 - c->got,
			 MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!n)
		return false;
	c->got += (size_t)n;
	take_request(s, c);
	return true;
}

/* Return: false: it can't be sent */
static bool send_some(struct serve_client *c)
{
	uint64_t end = dml_clock_now() + LINGER;
	ssize_t n = send(c->fd, c->answer + c->sent, c->size - c->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)n;
	if (c->sent < c->size)
		return true;
	shutdown(c->fd, SHUT_WR);
	c->end = dml_clock_earlier(c->end, end);
	return true;
}

/*
 * The answer has been sent. Closing a socket that has something to read resets the connection, and the
 * client might lose the answer: read until it closes. Return: false: it has, or sends too much
 */
static bool drain(struct serve_client *c)
{
	ssize_t n = recv(c->fd, c->request, SERVE_REQUEST, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->got += (size_t)n;
	return n && c->got < BEYOND;
}

static void work_for(const struct serve *s, struct serve_client *c)
{
	bool more = dml_clock_now() < c->end;

	if (more && !c->answer)
		more = read_some(s, c);
	else if (more && c->sent == c->size)
		more = drain(c);
	if (more && c->answer && c->sent < c->size)
		more = send_some(c);
	if (!more)
		close_client(c);
}

static struct serve_client *free_client(struct serve *s)
{
	unsigned int i;

	for (i = 0; i < SERVE_CLIENTS; i++)
		if (s->client[i].fd < 0)
			return &s->client[i];
	return NULL;
}

static void accept_clients(struct serve *s)
{
	struct serve_client *c;

	while ((c = free_client(s))) {
		int fd = accept4(s->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		c->fd = fd;
		c->end = dml_clock_now() + PATIENCE;
		c->got = c->sent = 0;
	}
}

unsigned int serve_fds(const struct serve *s, struct pollfd *fds)
{
	unsigned int i, n = 0;
	bool room = false;

	if (s->fd < 0)
		return 0;
	for (i = 0; i < SERVE_CLIENTS; i++) {
		const struct serve_client *c = &s->client[i];

		room = room || c->fd < 0;
		if (c->fd >= 0)
			fds[n++] = (struct pollfd){
				.fd = c->fd,
				.events = c->answer && c->sent < c->size ?
						  POLLOUT :
						  POLLIN,
			};
	}
	if (room)
		fds[n++] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
	return n;
}

void serve_work(struct serve *s)
{
	unsigned int i;

	if (s->fd < 0)
		return;
	for (i = 0; i < SERVE_CLIENTS; i++)
		if (s->client[i].fd >= 0)
			work_for(s, &s->client[i]);
	accept_clients(s);
}
