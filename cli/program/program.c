// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Another program, that is copied while it runs, and stopped at the end.
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
 *	2. with --quiesce its PCI devices stop writing, and what they have written has arrived
 *	3. mappings and areas are compared with those at the beginning
 *	4. the last harvests, of the view and of the log; then the last pages are read
 *	5. the view is asked, without clearing it, what devices have written since 4
 *	6. devices, then the process, go on
 *
 * After 1 no thread writes, and after 2 no quiet device: a write that is complete by then is in the harvests
 * of 4, or in one before the page was last read. So the copy has the memory as it is between 2 and 6. A
 * device that isn't quiet (without --quiesce; a mediated device) may write on. Its pages may then be older
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

#include "cli/common/cli.h"
#include "cli/machine/machine.h"
#include "program.h"

/* Opening ------------------------------------------------------------------------ */

static int open_process(struct program *p)
{
	char path[64];

	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0) {
		cli_error("process %d: %s", p->pid, process_explain(-errno));
		return CLI_FAILED;
	}
	snprintf(path, sizeof(path), "/proc/%d", p->pid);
	p->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->process < 0) {
		process_complain(p->pid, -errno);
		return CLI_FAILED;
	}
	p->pagemap = openat(p->process, "pagemap", O_RDONLY | O_CLOEXEC);
	p->name = process_name("", p->pid);
	return 0;
}

static int open_container(struct program *p)
{
	int fd = p->o->fd == PROGRAM_ANY_FD ? process_find_container(p->pid) :
					      (int)p->o->fd;
	int err;

	if (fd == -ENOENT && p->o->all)
		return 0;
	if (fd == -ENOENT)
		cli_error(
			"process %d has no container; --all copies all of its memory",
			p->pid);
	if (fd < 0 || process_open_container(&p->container, p->pid, fd))
		return CLI_FAILED;
	err = dmatrack_open_view(&p->view, p->container);
	if (!err)
		return 0;
	cli_error("%s", cli_error_why(err));
	return CLI_FAILED;
}

static int read_areas(struct program *p)
{
	int err = areas_read(&p->areas, p->process, NULL);

	if (err)
		cli_error("the areas of process %d: %s", p->pid,
			  err == -EACCES ? process_explain(-EPERM) :
					   strerror(-err));
	else if (!p->areas.n)
		cli_error(
			"process %d has no memory: it's a thread of the kernel, or has ended",
			p->pid);
	return err || !p->areas.n ? CLI_FAILED : 0;
}

int program_open(struct program *p, const struct program_options *o)
{
	int ret;

	p->o = o;
	p->pid = (int)o->pid;
	p->process = p->pidfd = p->pagemap = -1;
	if (p->pid == getpid())
		return cli_error_usage("--pid: that is this program itself");
	ret = open_process(p);
	if (!ret)
		ret = open_container(p);
	if (!ret)
		ret = read_areas(p);
	if (!ret && regions_choose(p))
		ret = CLI_FAILED;
	if (!ret)
		ret = writes_open(p);
	if (!ret && standstill_open(&p->still, p))
		ret = CLI_FAILED;
	return ret;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void program_close(struct program *p)
{
	standstill_close(p->still);
	writes_close(p);
	dmatrack_close(p->view);
	dmatrack_close(p->container);
	areas_free(&p->areas);
	areas_free(&p->reached);
	free(p->mapping);
	free(p->region);
	free(p->span);
	free(p->name);
	close_fd(p->pagemap);
	close_fd(p->process);
	close_fd(p->pidfd);
}

/* Stopping ----------------------------------------------------------------------- */

bool program_lives(const struct program *p)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };

	return poll(&end, 1, 0) == 0;
}

static void changed(void *to, uint64_t first, uint64_t end)
{
	writes_mark(to, first, end);
}

/* Areas that have changed count as written, so that they are read once more. */
static int compare(struct program *p)
{
	struct program_areas now;
	int err = areas_read(&now, p->process, &p->areas);

	if (err) {
		cli_error("the areas of process %d: %s", p->pid,
			  strerror(-err));
		return err;
	}
	err = regions_check(p, &now);
	if (err) {
		areas_free(&now);
		return err;
	}
	areas_missing(&now, &p->areas, p, changed);
	areas_missing(&p->areas, &now, p, changed);
	areas_free(&p->areas);
	p->areas = now;
	return 0;
}

int program_stop(struct program *p)
{
	int err = standstill_begin(p->still);

	p->stopped = !err;
	p->stop_time = (int64_t)time(NULL);
	if (!err && !program_lives(p)) {
		cli_error("the program has ended");
		err = -ESRCH;
	}
	return err ? err : compare(p);
}

static void count_busy(void *opaque, uint64_t iova, uint64_t size)
{
	struct program *p = opaque;

	(void)iova;
	p->busy_pages += size / PROGRAM_PAGE;
}

/* What have devices written since the last harvest? Once the copy has ended, the view is off. */
static void look_for_writes(struct program *p)
{
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 0 - (uint64_t)PROGRAM_PAGE,
		.page_size = PROGRAM_PAGE,
		.opaque = p,
		.found = count_busy,
		.flags = DMATRACK_RANGES_PEEK,
	};
	uint64_t before = p->busy_pages;

	p->busy_pages = 0;
	if (!p->view || dmatrack_harvest_ranges(p->view, &all))
		p->busy_pages = before;
}

int program_check(struct program *p)
{
	bool lives = program_lives(p);

	if (lives && standstill_holds(p->still)) {
		look_for_writes(p);
		return 0;
	}
	cli_error("%s",
		  lives ? "the program was set going while it was copied" :
			  "the program has ended");
	return -ESTALE;
}

int program_go_on(struct program *p)
{
	if (!p->stopped)
		return 0;
	p->stopped = false;
	return standstill_end(p->still);
}
