// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Cancellation: see cancel.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cancel.h"
#include "clock.h"
#include "error.h"

/**
 * struct dmatrack_cancel - whether a program's calls are cancelled
 * @fd: an eventfd, readable after the cancellation
 * @at: time of the cancellation, by dml_clock_now(); 0: not cancelled. Atomic
 *
 * @at is set before @fd, so that a wait that @fd ends finds @at set.
 */
struct dmatrack_cancel {
	int fd;
	uint64_t at;
};

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

/* Async-signal-safe: takes no lock, allocates nothing, keeps errno */
void dmatrack_cancel_set(struct dmatrack_cancel *c)
{
	const uint64_t one = 1;
	uint64_t never = 0;
	int err = errno;
	ssize_t n;

	if (!c)
		return;
	__atomic_compare_exchange_n(&c->at, &never, dml_clock_now(), false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	/* fails only if the counter is at 2^64 - 2, and then @fd is readable already */
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

uint64_t dml_cancel_time(const struct dmatrack_cancel *c)
{
	uint64_t at = c ? __atomic_load_n(&c->at, __ATOMIC_SEQ_CST) : 0;

	return at ? at : DML_NEVER;
}

bool dml_cancel_is_set(const struct dmatrack_cancel *c)
{
	return dml_cancel_time(c) != DML_NEVER;
}

int dml_cancel_fd(const struct dmatrack_cancel *c)
{
	return c ? c->fd : -1;
}

int dml_cancel_sleep(const struct dmatrack_cancel *c, uint64_t end)
{
	struct pollfd p = { .fd = dml_cancel_fd(c), .events = POLLIN };
	int n = dml_clock_poll(&p, 1, end);

	if (n < 0)
		return dml_error(n, "poll: %s", strerror(-n));
	return n ? dml_error(-ECANCELED, "cancelled") : 0;
}
