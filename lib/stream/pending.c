// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Connections in their handshakes, side by side. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/util/error.h"
#include "pending.h"

static void remove_entry(struct dml_pending *p, unsigned int i)
{
	p->n--;
	memmove(&p->entry[i], &p->entry[i + 1],
		(p->n - i) * sizeof(p->entry[0]));
}

static void drop(struct dml_pending *p, unsigned int i)
{
	p->entry[i].shake.ops->drop(p->entry[i].shake.state);
	remove_entry(p, i);
}

bool dml_pending_shed(struct dml_pending *p)
{
	unsigned int i;

	if (!p->n)
		return false;
	for (i = 0; i < p->n && p->entry[i].heard; i++)
		;
	drop(p, i < p->n ? i : 0);
	return true;
}

void dml_pending_add(struct dml_pending *p, const struct dml_shake *shake,
		     uint64_t end)
{
	if (p->n == DML_PENDING)
		dml_pending_shed(p);
	p->entry[p->n++] = (struct dml_pending_entry){
		.shake = *shake,
		.end = end,
		.events = POLLIN,
	};
}

void dml_pending_free(struct dml_pending *p)
{
	while (p->n)
		drop(p, p->n - 1);
}

static bool has_data(int fd)
{
	int n = 0;

	return !ioctl(fd, FIONREAD, &n) && n;
}

/* Return: as the handshake's step(), or -ETIMEDOUT */
static int step(struct dml_pending_entry *e)
{
	int ret;

	e->heard = e->heard || has_data(e->shake.fd);
	ret = dml_shake_step(&e->shake, &e->events);
	if (ret == -EAGAIN && dml_clock_now() >= e->end)
		return dml_error(
			-ETIMEDOUT,
			"the other side does not complete the handshake");
	return ret;
}

bool dml_pending_step(struct dml_pending *p, struct dmatrack_channel **ch,
		      dml_pending_failed *failed, void *opaque)
{
	unsigned int i = 0;
	int ret;

	while (i < p->n) {
		struct dml_shake *s = &p->entry[i].shake;

		ret = step(&p->entry[i]);
		if (ret == -EAGAIN) {
			i++;
			continue;
		}
		if (!ret)
			ret = s->ops->channel(s->state, ch);
		if (!ret) {
			remove_entry(p, i);
			return true;
		}
		drop(p, i);
		failed(opaque, ret);
	}
	return false;
}

uint64_t dml_pending_poll(const struct dml_pending *p, struct pollfd *fds)
{
	uint64_t end = DML_NEVER;
	unsigned int i;

	for (i = 0; i < p->n; i++) {
		const struct dml_pending_entry *e = &p->entry[i];

		fds[i] = (struct pollfd){ .fd = e->shake.fd,
					  .events = e->events };
		end = dml_clock_earlier(end, e->end);
	}
	return end;
}
