// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Another process, that is copied while it runs, and stopped at the end.
 *
 * What writes to its memory, and what reports it:
 *
 *	devices, by DMA		a view of its container
 *	processors		a log of its process; what that can't see counts as written always
 *
 * Both are on before the first page is read, since the pre-copy starts its sources before its first round.
 * The order at the end is:
 *
 *	1. the process is frozen, and all its threads are seen stopped
 *	2. with DMATRACK_PROCESS_QUIESCE its PCI devices stop writing, and what they have written has arrived
 *	3. mappings and areas are compared with those at the beginning
 *	4. the last harvests, of the view and of the log; then the last pages are read
 *	5. the view is asked, without clearing it, what devices have written since 4
 *	6. devices, then the process, go on
 *
 * After 1 no thread writes, and after 2 no quiet device: a write that is complete by then is in the harvests
 * of 4, or in one before the page was last read. So the copy has the memory as it is between 2 and 6. A
 * device that isn't quiet (without that flag; a mediated device) may write on. Its pages may then be older
 * than the rest, or of two times in part; 5 counts them. If it counts none, the copy is exact, too: a
 * write is reported as soon as it's complete.
 *
 * If mappings have changed in 3, the copy fails: its regions are fixed, and memory that devices could reach
 * for a while may be missing. Areas may change. Where they have, memory counts as written.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/util/descriptors.h"
#include "lib/util/sized.h"
#include "process.h"

#define FLAGS (DMATRACK_PROCESS_ALL | DMATRACK_PROCESS_QUIESCE)

/* Opening ------------------------------------------------------------------------ */

static int take(struct dmatrack_process *p,
		const struct dmatrack_process_config *config)
{
	struct dmatrack_process_config c;
	int err =
		DML_SIZED_TAKE(&c, config, struct dmatrack_process_config, fd);

	if (err)
		return err;
	if (c.flags & ~FLAGS || c.reserved)
		return dml_error(-EINVAL, "unknown flags 0x%x",
				 c.reserved ?: c.flags & ~FLAGS);
	if (c.pid <= 0 || c.pid == getpid())
		return dml_error(-EINVAL, "process %d is not another process",
				 c.pid);
	p->pid = c.pid;
	p->fd = c.fd;
	p->all = c.flags & DMATRACK_PROCESS_ALL;
	p->quiesce = c.flags & DMATRACK_PROCESS_QUIESCE;
	return 0;
}

static int open_process(struct dmatrack_process *p)
{
	char path[64];

	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0)
		return dml_error(-errno, "process %d: %s", p->pid,
				 dml_descriptors_explain(-errno));
	snprintf(path, sizeof(path), "/proc/%d", p->pid);
	p->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->process < 0)
		return dml_descriptors_error(-errno, p->pid);
	p->pagemap = openat(p->process, "pagemap", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int open_container(struct dmatrack_process *p)
{
	int fd = p->fd < 0 ? dml_descriptors_container(p->pid) : p->fd, ours,
	    err;

	if (fd == -ENODEV && p->all)
		return 0;
	if (fd < 0)
		return fd;
	ours = dml_descriptors_borrow(p->pid, fd);
	if (ours < 0)
		return ours;
	err = dmatrack_open_fd(&p->container, ours);
	close(ours);
	return err ? err : dmatrack_open_view(&p->view, p->container);
}

static int no_areas(const struct dmatrack_process *p, int err)
{
	return dml_error(err, "the areas of process %d: %s", p->pid,
			 err == -EACCES ? dml_descriptors_explain(-EPERM) :
					  strerror(-err));
}

static int read_areas(struct dmatrack_process *p)
{
	int err = dml_areas_read(&p->areas, p->process, NULL);

	if (err)
		return no_areas(p, err);
	return p->areas.n ?
		       0 :
		       dml_error(
			       -ESRCH,
			       "process %d has no memory: it's a thread of the kernel, or has ended",
			       p->pid);
}

static int open_all(struct dmatrack_process *p)
{
	int err = open_process(p);

	if (!err)
		err = open_container(p);
	if (!err)
		err = read_areas(p);
	if (!err)
		err = dml_extent_choose(p);
	if (!err)
		err = dml_writes_open(p);
	return err ? err : dml_standstill_open(&p->still, p);
}

int dmatrack_process_open(struct dmatrack_process **process,
			  const struct dmatrack_process_config *config)
{
	struct dmatrack_process *p;
	int err;

	if (dml_lacks(process, config))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return dml_no_memory();
	p->process = p->pidfd = p->pagemap = -1;
	err = take(p, config);
	if (!err)
		err = open_all(p);
	if (err)
		dmatrack_process_close(p);
	else
		*process = p;
	return err;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void dmatrack_process_close(struct dmatrack_process *p)
{
	DML_KEEP_TEXT;

	if (!p)
		return;
	dml_standstill_close(p->still);
	dml_writes_close(p);
	dmatrack_close(p->view);
	dmatrack_close(p->container);
	dml_areas_free(&p->areas);
	dml_areas_free(&p->reached);
	free(p->mapping);
	free(p->region);
	free(p->span);
	close_fd(p->pagemap);
	close_fd(p->process);
	close_fd(p->pidfd);
	free(p);
}

const struct dmatrack_process_info *
dmatrack_process_get_info(struct dmatrack_process *p)
{
	if (!p)
		return NULL;
	p->info.container = p->view;
	p->info.log = p->log;
	p->info.no_log = p->no_log.words;
	p->info.regions = p->region;
	p->info.nregions = p->nregions;
	p->info.spans = p->span;
	p->info.nspans = p->nspans;
	p->info.way = (uint32_t)dml_standstill_way(p->still);
	p->info.devices = dml_standstill_devices(p->still);
	return &p->info;
}

/* Stopping ----------------------------------------------------------------------- */

/* Return: whether the process still exists after @ms milliseconds */
static bool lives_on(const struct dmatrack_process *p, int ms)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };

	return poll(&end, 1, ms) == 0;
}

bool dml_process_lives(const struct dmatrack_process *p)
{
	return lives_on(p, 0);
}

static void changed(void *to, uint64_t first, uint64_t end)
{
	dml_writes_mark(to, first, end);
}

/* Areas that have changed count as written, so that they are read once more. */
static int compare(struct dmatrack_process *p)
{
	struct dml_areas now;
	int err = dml_areas_read(&now, p->process, &p->areas);

	if (err)
		return no_areas(p, err);
	err = dml_extent_check(p, &now);
	if (err) {
		dml_areas_free(&now);
		return err;
	}
	dml_areas_missing(&now, &p->areas, p, changed);
	dml_areas_missing(&p->areas, &now, p, changed);
	dml_areas_free(&p->areas);
	p->areas = now;
	return 0;
}

static int has_ended(void)
{
	return dml_error(-ESRCH, "the process has ended");
}

int dml_process_stop(struct dmatrack_process *p)
{
	int err = dml_standstill_begin(p->still);

	p->stopped = !err;
	p->info.stop_time = (int64_t)time(NULL);
	if (!err && !dml_process_lives(p))
		err = has_ended();
	return err ? err : compare(p);
}

static void count_written(void *opaque, uint64_t iova, uint64_t size)
{
	struct dmatrack_process *p = opaque;

	(void)iova;
	p->info.written += size;
}

/* What have devices written since the last harvest? Once the copy has ended, the view is off. */
static void look_for_writes(struct dmatrack_process *p)
{
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 0 - (uint64_t)DML_PROCESS_PAGE,
		.page_size = DML_PROCESS_PAGE,
		.opaque = p,
		.found = count_written,
		.flags = DMATRACK_RANGES_PEEK,
	};
	uint64_t before = p->info.written;

	p->info.written = 0;
	if (!p->view || dmatrack_harvest_ranges(p->view, &all))
		p->info.written = before;
}

/* One that runs may be about to end: a signal that kills it sets it going first. */
int dml_process_check(struct dmatrack_process *p)
{
	bool holds = dml_standstill_holds(p->still);

	if (!lives_on(p, holds ? 0 : 100))
		return has_ended();
	if (!holds)
		return dml_error(
			-ESTALE,
			"the process was set going while it was copied");
	look_for_writes(p);
	return 0;
}

int dml_process_go_on(struct dmatrack_process *p)
{
	if (!p->stopped)
		return 0;
	p->stopped = false;
	return dml_standstill_end(p->still);
}

int dmatrack_process_go_on(struct dmatrack_process *p)
{
	struct dml_text why;
	int err = 0, ret;

	if (dml_lacks(p))
		return -EINVAL;
	if (p->stopped)
		err = dml_process_check(p);
	why = dml_error_save(err);
	ret = dml_process_go_on(p);
	if (ret)
		return ret;
	dml_error_restore(&why);
	return err;
}
