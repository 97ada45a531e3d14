// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Copy a process by a pre-copy, whose functions about the memory are these; others are the program's. */
#include <errno.h>

#include "lib/util/sized.h"
#include "process.h"

/**
 * struct errand - a copy of a process
 * @p: the process
 * @c: what the program asked for
 * @err: -errno: it didn't stand still, or didn't go on; or 0
 * @why: text of @err
 */
struct errand {
	struct dmatrack_process *p;
	struct dmatrack_precopy c;
	int err;
	struct dml_text why;
};

/* Return: what a function of the program's returned; its error gets a text */
#define ASK(errand, name, ...) \
	dml_error_foreign((errand)->c.name((errand)->c.opaque, ##__VA_ARGS__), \
			  #name "()")

/* If it fails, start() isn't called. */
static int stop(void *opaque)
{
	struct errand *e = opaque;
	int err = dml_process_stop(e->p);
	struct dml_text why;

	if (!err && e->c.stop)
		err = ASK(e, stop);
	if (err) {
		why = dml_error_save(err);
		dml_process_go_on(e->p);
		dml_error_restore(&why);
	}
	return err;
}

static int dirty(void *opaque, unsigned int region, uint64_t *bitmap)
{
	const struct errand *e = opaque;

	return dml_writes_dirty(e->p, region, bitmap);
}

static int read_memory(void *opaque, unsigned int region, uint64_t offset,
		       void *buf, size_t size)
{
	const struct errand *e = opaque;

	return dml_memory_read(e->p, e->p->region[region].iova + offset, buf,
			       size);
}

static int progress(void *opaque, const struct dmatrack_round *round)
{
	struct errand *e = opaque;

	return e->c.progress ? ASK(e, progress, round) : DMATRACK_GO_ON;
}

/* A copy of memory that didn't stand still must not be completed. After release() that is known. */
static int check_still(struct errand *e)
{
	if (e->p->stopped)
		return dml_process_check(e->p);
	if (e->err)
		dml_error_restore(&e->why);
	return e->err;
}

static int end_round(void *opaque, const struct dmatrack_round *round)
{
	struct errand *e = opaque;
	int err = round->last ? check_still(e) : 0;

	if (err)
		return err;
	return e->c.round ? ASK(e, round, round) : DMATRACK_GO_ON;
}

/* There is no copy. */
static int start(void *opaque)
{
	struct errand *e = opaque;
	int err = dml_process_go_on(e->p);

	return err || !e->c.start ? err : ASK(e, start);
}

static int release(void *opaque)
{
	struct errand *e = opaque;

	e->err = dmatrack_process_go_on(e->p);
	e->why = dml_error_save(e->err);
	return e->err ?: ASK(e, release);
}

static void tell(void *opaque, const struct dmatrack_event *event)
{
	const struct errand *e = opaque;

	if (e->c.event)
		e->c.event(e->c.opaque, event);
}

/* What is copied is the process's memory, and nothing else. */
static int check(const struct dmatrack_precopy *c)
{
	const char *taken = c->containers ? "containers" :
			    c->regions	  ? "regions" :
			    c->dirty	  ? "dirty()" :
			    c->read	  ? "read()" :
					    NULL;

	if (taken)
		return dml_error(
			-EINVAL,
			"%s must be NULL: the process is what is copied",
			taken);
	if (c->ncontainers || c->nregions)
		return dml_error(-EINVAL, "ncontainers and nregions must be 0");
	if (c->page_size && c->page_size != DML_PROCESS_PAGE)
		return dml_error(
			-EINVAL,
			"page size %u: a process is copied by pages of %u",
			c->page_size, DML_PROCESS_PAGE);
	return 0;
}

int dmatrack_process_copy(struct dmatrack_process *p,
			  const struct dmatrack_precopy *precopy,
			  struct dmatrack_totals *totals)
{
	struct errand e = { .p = p };
	struct dmatrack_precopy c;
	int err;

	if (dml_lacks(p, precopy))
		return -EINVAL;
	if (totals)
		*totals = (struct dmatrack_totals){ 0 };
	if (p->copied)
		return dml_error(
			-EALREADY,
			"the process was copied already: open it again");
	err = DML_SIZED_TAKE(&e.c, precopy, struct dmatrack_precopy, stop);
	if (!err)
		err = check(&e.c);
	if (err)
		return err;
	c = e.c;
	c.size = sizeof(c);
	c.containers = &p->view;
	c.ncontainers = !!p->view;
	c.regions = p->region;
	c.nregions = p->nregions;
	c.page_size = DML_PROCESS_PAGE;
	c.opaque = &e;
	c.stop = stop;
	c.dirty = dirty;
	c.read = read_memory;
	c.progress = progress;
	c.round = end_round;
	c.start = start;
	c.release = e.c.release ? release : NULL;
	c.event = tell;
	p->copied = true;
	err = dmatrack_precopy_run(&c, totals);
	if (err && err != -DMATRACK_NOT_DURABLE && err != -EINPROGRESS &&
	    !dml_process_lives(p))
		err = dml_error(-ESRCH, "the process has ended");
	return err;
}
