// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Waits with a deadline, which can be cancelled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "wait.h"

/**
 * struct dmatrack_cancel - whether a program's calls are cancelled
 * @fd: an eventfd, readable once they are
 * @at: when, by dml_now(); 0: not yet. Atomic
 *
 * @at is set before @fd: a wait that @fd ends finds it set.
 */
struct dmatrack_cancel {
	int fd;
	uint64_t at;
};

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec) {
		.tv_sec = (time_t)(ns / DML_NSEC),
		.tv_nsec = (long)(ns % DML_NSEC),
	};
}

uint64_t dml_deadline(int ms)
{
	return ms < 0 ? DML_NEVER : dml_now() + (uint64_t)ms * (DML_NSEC / 1000);
}

int dml_poll(struct pollfd *fds, nfds_t n, uint64_t end)
{
	struct timespec left;
	uint64_t now;
	int ret;

	do {
		now = end == DML_NEVER ? 0 : dml_now();
		left = timespec_of(end > now ? end - now : 0);
		ret = ppoll(fds, n, end == DML_NEVER ? NULL : &left, NULL);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int dml_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int err = pthread_condattr_init(&attr);

	if (err)
		return -err;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	err = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return -err;
}

bool dml_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t end)
{
	struct timespec at = timespec_of(end);

	if (end == DML_NEVER)
		return pthread_cond_wait(cond, lock) == ETIMEDOUT;
	return pthread_cond_timedwait(cond, lock, &at) == ETIMEDOUT;
}

int dmatrack_cancel_create(struct dmatrack_cancel **out)
{
	struct dmatrack_cancel *c;
	int err;

	if (dml_lacks(out))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return dml_no_memory();
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->fd < 0) {
		err = errno;
		free(c);
		return dml_error(-err, "eventfd: %s", strerror(err));
	}
	*out = c;
	return 0;
}

/* Async-signal-safe: no lock, no memory, errno as it was */
void dmatrack_cancel_set(struct dmatrack_cancel *c)
{
	const uint64_t one = 1;
	uint64_t never = 0;
	int err = errno;
	ssize_t n;

	if (!c)
		return;
	__atomic_compare_exchange_n(&c->at, &never, dml_now(), false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	/* fails only where it has been written to 2^64 - 2 times: readable anyway */
	n = write(c->fd, &one, sizeof(one));
	(void)n;
	errno = err;
}

void dmatrack_cancel_destroy(struct dmatrack_cancel *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}

/* When it was cancelled; DML_NEVER: it wasn't */
static uint64_t cancelled_at(const struct dmatrack_cancel *c)
{
	uint64_t at = c ? __atomic_load_n(&c->at, __ATOMIC_SEQ_CST) : 0;

	return at ? at : DML_NEVER;
}

bool dml_cancelled(const struct dmatrack_cancel *c)
{
	return cancelled_at(c) != DML_NEVER;
}

int dml_cancel_fd(const struct dmatrack_cancel *c)
{
	return c ? c->fd : -1;
}

int dml_cancel_sleep(const struct dmatrack_cancel *c, uint64_t end)
{
	struct pollfd p = { .fd = dml_cancel_fd(c), .events = POLLIN };
	int n = dml_poll(&p, 1, end);

	if (n < 0)
		return dml_error(n, "poll: %s", strerror(-n));
	return n ? dml_error(-ECANCELED, "cancelled") : 0;
}

uint64_t dml_limit_deadline(const struct dml_limit *l)
{
	return dml_earlier(l->end, dml_deadline(l->patience));
}

static int timed_out(short events, uint64_t began)
{
	return dml_error(-ETIMEDOUT,
			 "channel: the other side has %s nothing for %.1f s",
			 events & POLLIN ? "sent" : "taken",
			 (double)(dml_now() - began) / DML_NSEC);
}

/* As dml_limit_wait(), which may be cancelled at once */
static int wait_cancellable(const struct dml_limit *l, int fd, short events,
			    uint64_t end)
{
	struct pollfd p[] = {
		{ .fd = fd, .events = events },
		{ .fd = dml_cancel_fd(l->cancel), .events = POLLIN },
	};
	uint64_t began = dml_now();
	int n = dml_poll(p, 2, end);

	if (n < 0)
		return dml_error(n, "channel: %s", strerror(-n));
	if (p[1].revents)
		return dml_error(-ECANCELED, "channel: cancelled");
	return n ? 0 : timed_out(events, began);
}

int dml_limit_wait(const struct dml_limit *l, int fd, short events, uint64_t end)
{
	struct dml_limit uncancelled = { 0 };
	uint64_t at, grace;
	int ret;

	ret = wait_cancellable(l, fd, events, end);
	if (ret != -ECANCELED || (!(events & POLLOUT) && !l->parting))
		return ret;
	at = cancelled_at(l->cancel);
	grace = at + DML_GRACE;
	ret = wait_cancellable(&uncancelled, fd, events, dml_earlier(end, grace));
	if (ret == -ETIMEDOUT && grace <= end)
		return dml_error(-ECANCELED, "channel: cancelled");
	return ret;
}
