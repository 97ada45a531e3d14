// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Pages that another process has written: see soft_dirty.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/dmt_env.h"
#include "lib/util/error.h"
#include "soft_dirty.h"

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

int dml_soft_dirty_open(struct dml_soft_dirty *d, pid_t pid)
{
	char path[32];
	int err;

	if (!has_bits())
		return dml_error(-EOPNOTSUPP,
				 "this kernel doesn't log what other processes "
				 "write: it was built without "
				 "CONFIG_MEM_SOFT_DIRTY");
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	d->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->process < 0)
		return dml_error(errno == ENOENT ? -ESRCH : -errno,
				 "there is no process %d", (int)pid);
	err = open_file(d, "pagemap", O_RDONLY, &d->pagemap);
	return err ? err : open_file(d, "clear_refs", O_WRONLY, &d->clear);
}

void dml_soft_dirty_close(struct dml_soft_dirty *d)
{
	if (d->clear >= 0)
		close(d->clear);
	if (d->pagemap >= 0)
		close(d->pagemap);
	if (d->process >= 0)
		close(d->process);
}

int dml_soft_dirty_begin(struct dml_soft_dirty *d)
{
	return dml_freeze(&d->frozen, d->process);
}

void dml_soft_dirty_end(struct dml_soft_dirty *d)
{
	dml_freeze_end(&d->frozen);
}

static uint64_t categories(uint64_t entry)
{
	if (!(entry & (DML_ENTRY_PRESENT | DML_ENTRY_SWAPPED)))
		return 0;
	return DML_PAGE_PRESENT |
	       (entry & DML_ENTRY_SOFT_DIRTY ? DML_PAGE_WRITTEN : 0);
}

int dml_soft_dirty_read(struct dml_soft_dirty *d, uint64_t addr, uint64_t end,
			void (*seen)(void *arg, const struct dml_stretch *s),
			void *arg)
{
	struct dml_stretch s = { 0 };
	size_t size;
	ssize_t n;
	size_t i;

	for (; addr < end; addr += (uint64_t)n * PAGE_SIZE) {
		size = min((end - addr) / PAGE_SIZE,
			   (uint64_t)DML_SOFT_DIRTY_ENTRIES) *
		       sizeof(d->entry[0]);
		n = pread(d->pagemap, d->entry, size,
			  (off_t)(addr / PAGE_SIZE * sizeof(d->entry[0])));
		n = n < 0 ? -1 : n / (ssize_t)sizeof(d->entry[0]);
		if (n <= 0)
			return dml_error(n ? -errno : -ESRCH,
					 "the process has exited, or runs "
					 "another program");
		for (i = 0; i < (size_t)n; i++) {
			struct dml_stretch page = {
				.first = addr + i * PAGE_SIZE,
				.end = addr + (i + 1) * PAGE_SIZE,
				.categories = categories(d->entry[i]),
			};

			if (s.categories == page.categories &&
			    s.end == page.first) {
				s.end = page.end;
				continue;
			}
			if (s.categories)
				seen(arg, &s);
			s = page;
		}
	}
	if (s.categories)
		seen(arg, &s);
	return 0;
}

int dml_soft_dirty_clear(struct dml_soft_dirty *d)
{
	if (pwrite(d->clear, "4", 1, 0) == 1)
		return 0;
	return dml_error(-errno, "clear_refs of the process: %s",
			 strerrordesc_np(errno));
}
