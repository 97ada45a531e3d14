// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Pages that a process has written: see soft_dirty.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/dmt_env.h"
#include "lib/util/error.h"
#include "soft_dirty.h"

#define STACK (256u << 10) /* bytes */

/* Whether the kernel has such bits: a page that was just written shows it. */
static bool has_bits(void)
{
	volatile char written = 1;
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n =
		pread(fd, &entry, sizeof(entry),
		      (off_t)((uintptr_t)&written / PAGE_SIZE * sizeof(entry)));

	if (fd >= 0)
		close(fd);
	return n == sizeof(entry) && entry & DML_ENTRY_SOFT_DIRTY;
}

static int open_file(struct dml_soft_dirty *d, const char *name, int flags,
		     int *fd)
{
	int err;

	*fd = openat(d->process, name, flags | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	err = -errno;
	return dml_error(err, "%s of the process: %s", name,
			 err == -EACCES ? "you may not trace that process" :
					  strerrordesc_np(-err));
}

static int open_all(struct dml_soft_dirty *d)
{
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d", (int)d->pid);
	d->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->process < 0)
		return dml_error(errno == ENOENT ? -ESRCH : -errno,
				 "there is no process %d", (int)d->pid);
	err = open_file(d, "pagemap", O_RDONLY, &d->pagemap);
	if (!err)
		err = open_file(d, "clear_refs", O_WRONLY, &d->clear);
	return err ? err : dml_freeze_grow(&d->frozen);
}

int dml_soft_dirty_open(struct dml_soft_dirty *d, pid_t pid)
{
	d->pid = pid;
	d->process = d->pagemap = d->clear = -1;
	if (!has_bits())
		return dml_error(-EOPNOTSUPP,
				 "this kernel doesn't log what processors "
				 "write: it was built without "
				 "CONFIG_MEM_SOFT_DIRTY");
	if (pid == getpid()) {
		d->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		if (d->stack == MAP_FAILED) {
			d->stack = NULL;
			return dml_no_memory();
		}
	}
	return open_all(d);
}

void dml_soft_dirty_close(struct dml_soft_dirty *d)
{
	dml_soft_dirty_end(d);
	if (d->clear >= 0)
		close(d->clear);
	if (d->pagemap >= 0)
		close(d->pagemap);
	if (d->process >= 0)
		close(d->process);
	if (d->stack)
		munmap(d->stack, STACK);
	dml_freeze_free(&d->frozen);
}

/* Processes whose bits this program uses. Each has one set of bits. */
static struct dml_soft_dirty *in_use;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int dml_soft_dirty_begin(struct dml_soft_dirty *d)
{
	const struct dml_soft_dirty *o;

	pthread_mutex_lock(&lock);
	for (o = in_use; o && o->pid != d->pid; o = o->next)
		;
	if (!o) {
		d->next = in_use;
		in_use = d;
		d->on = true;
	}
	pthread_mutex_unlock(&lock);
	return o ? dml_error(-EBUSY, "process %d is logged already",
			     (int)d->pid) :
		   0;
}

void dml_soft_dirty_end(struct dml_soft_dirty *d)
{
	struct dml_soft_dirty **at = &in_use;

	if (!d->on)
		return;
	pthread_mutex_lock(&lock);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->on = false;
	pthread_mutex_unlock(&lock);
}

/* While the process is stopped -------------------------------------------------- */

/* A word of the bitmaps, by the entries of 64 pages or fewer */
static void set_word(const struct dml_soft_dirty_area *a, uint64_t word,
		     const uint64_t *entry, unsigned int n)
{
	uint64_t there = 0, written = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint64_t is =
			!!(entry[i] & (DML_ENTRY_PRESENT | DML_ENTRY_SWAPPED));

		there |= is << i;
		written |= (is & !!(entry[i] & DML_ENTRY_SOFT_DIRTY)) << i;
	}
	a->there[word] = there;
	a->written[word] = written;
}

/* DML_SOFT_DIRTY_ENTRIES is a multiple of a word's bits. */
static int read_area(struct dml_soft_dirty *d,
		     const struct dml_soft_dirty_area *a)
{
	uint64_t first = a->addr / PAGE_SIZE,
		 pages = a->end / PAGE_SIZE - first;
	uint64_t at, n, i;

	for (at = 0; at < pages; at += n) {
		n = min(pages - at, (uint64_t)DML_SOFT_DIRTY_ENTRIES);
		if (pread(d->pagemap, d->entry, n * sizeof(d->entry[0]),
			  (off_t)((first + at) * sizeof(d->entry[0]))) !=
		    (ssize_t)(n * sizeof(d->entry[0])))
			return dml_error(-ESRCH,
					 "the process has exited, or runs "
					 "another program");
		for (i = 0; i < n; i += 64)
			set_word(a, (at + i) / 64, d->entry + i,
				 (unsigned int)min(n - i, (uint64_t)64));
	}
	return 0;
}

static int clear_bits(struct dml_soft_dirty *d)
{
	if (pwrite(d->clear, "4", 1, 0) == 1)
		return 0;
	return dml_error(-errno, "clear_refs of the process: %s",
			 strerrordesc_np(errno));
}

static int take_once(struct dml_soft_dirty *d,
		     const struct dml_soft_dirty_area *area, uint32_t n)
{
	int err = dml_freeze(&d->frozen, d->process);
	uint32_t i;

	if (err)
		return err;
	for (i = 0; i < n && !err; i++)
		err = read_area(d, &area[i]);
	if (!err)
		err = clear_bits(d);
	dml_freeze_end(&d->frozen);
	return err;
}

/* By a child -------------------------------------------------------------------- */

/**
 * struct order - what the child is to do
 * @d: the pages of this process
 * @area: array of areas
 * @n: number of them
 * @may: whether the child may trace this process; atomic
 * @result: out: what take_once() returned; 1: it hasn't
 */
struct order {
	struct dml_soft_dirty *d;
	const struct dml_soft_dirty_area *area;
	uint32_t n;
	bool may;
	int result;
};

/* It has the caller's thread-local memory: its errno and its text. The caller waits meanwhile. */
static int run_child(void *arg)
{
	struct order *o = arg;

	while (!__atomic_load_n(&o->may, __ATOMIC_ACQUIRE))
		sched_yield();
	o->result = take_once(o->d, o->area, o->n);
	return 0;
}

/* Signals are for this process's handlers, which the child must not run. No signal tells of its end. */
static pid_t start_child(struct order *o)
{
	sigset_t all, before;
	pid_t child;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = clone(run_child, (char *)o->d->stack + STACK,
		      CLONE_VM | CLONE_FS | CLONE_FILES, o);
	if (child < 0)
		child = -errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return child;
}

static int take_by_child(struct dml_soft_dirty *d,
			 const struct dml_soft_dirty_area *area, uint32_t n)
{
	struct order o = { .d = d, .area = area, .n = n, .result = 1 };
	pid_t child = start_child(&o);

	if (child < 0)
		return dml_error(child, "no process to stop this one: %s",
				 strerrordesc_np(-child));
	prctl(PR_SET_PTRACER, child); /* fails where it isn't needed */
	__atomic_store_n(&o.may, true, __ATOMIC_RELEASE);
	while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	return o.result == 1 ? dml_error(-EIO,
					 "process %d was killed while "
					 "it stopped this one",
					 (int)child) :
			       o.result;
}

int dml_soft_dirty_take(struct dml_soft_dirty *d,
			const struct dml_soft_dirty_area *area, uint32_t n)
{
	int err;

	for (;;) {
		err = d->stack ? take_by_child(d, area, n) :
				 take_once(d, area, n);
		if (err != -ENOBUFS)
			return err;
		err = dml_freeze_grow(&d->frozen);
		if (err)
			return err;
	}
}
