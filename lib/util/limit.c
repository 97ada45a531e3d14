// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Limits: see limit.h. */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "limit.h"

uint64_t dml_limit_deadline(const struct dml_limit *l)
{
	return dml_clock_earlier(l->end, dml_clock_deadline(l->patience));
}

static int timed_out(short events, uint64_t began)
{
	return dml_error(-ETIMEDOUT,
			 "channel: the other side has %s nothing for %.1f s",
			 events & POLLIN ? "sent" : "taken",
			 (double)(dml_clock_now() - began) / DML_NSEC);
}

/* As dml_limit_wait(), but without DML_GRACE: a cancellation ends it at once */
static int wait_cancellable(const struct dml_limit *l, int fd, short events,
			    uint64_t end)
{
	bool stops = events & POLLIN && !l->parting;
	struct pollfd p[] = {
		{ .fd = fd, .events = events },
		{ .fd = dml_cancel_fd(l->cancel), .events = POLLIN },
		{ .fd = dml_cancel_fd(stops ? l->stop : NULL),
		  .events = POLLIN },
	};
	uint64_t began = dml_clock_now();
	int n = dml_clock_poll(p, 3, end);

	if (n < 0)
		return dml_error(n, "channel: %s", strerror(-n));
	if (p[1].revents || p[2].revents)
		return dml_error(-ECANCELED, "channel: cancelled");
	return n ? 0 : timed_out(events, began);
}

int dml_limit_wait(const struct dml_limit *l, int fd, short events,
		   uint64_t end)
{
	struct dml_limit uncancelled = { 0 };
	uint64_t at, grace;
	int ret;

	ret = wait_cancellable(l, fd, events, end);
	if (ret != -ECANCELED || (!(events & POLLOUT) && !l->parting))
		return ret;
	at = dml_cancel_time(l->cancel);
	grace = at + DML_GRACE;
	ret = wait_cancellable(&uncancelled, fd, events,
			       dml_clock_earlier(end, grace));
	if (ret == -ETIMEDOUT && grace <= end)
		return dml_error(-ECANCELED, "channel: cancelled");
	return ret;
}
