// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Pages that this process has written: see written.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "written.h"

/* Of <linux/userfaultfd.h>, since Linux 5.19, 6.4 and 6.7 */
#define WP_SHARED      (1ull << 12) /* shared and huge TLB memory, too */
#define WP_UNPOPULATED (1ull << 13)
#define WP_ASYNC       (1ull << 15)

int dml_written_open(struct dml_written *w)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | WP_SHARED |
			    WP_UNPOPULATED | WP_ASYNC,
	};

	w->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (w->pagemap < 0)
		return dml_error(-errno, "/proc/self/pagemap: %s",
				 strerrordesc_np(errno));
	/* in user mode only: any user may; no fault is ever reported */
	w->uffd = (int)syscall(SYS_userfaultfd,
			       O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (w->uffd >= 0 && !ioctl(w->uffd, UFFDIO_API, &api))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return dml_error(-errno, "userfaultfd: %s",
				 strerrordesc_np(errno));
	return dml_error(-EOPNOTSUPP,
			 "the log of this process needs asynchronous write "
			 "protection by userfaultfd, which Linux has since "
			 "6.7, unless it was built without");
}

void dml_written_close(struct dml_written *w)
{
	if (w->uffd >= 0)
		close(w->uffd);
	if (w->pagemap >= 0)
		close(w->pagemap);
}

int dml_written_watch(struct dml_written *w, uint64_t addr, uint64_t end)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = end - addr },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int err;

	if (!ioctl(w->uffd, UFFDIO_REGISTER, &reg))
		return 0;
	err = -errno;
	return dml_error(err, "memory at 0x%llx to 0x%llx can't be watched: %s",
			 (unsigned long long)addr, (unsigned long long)end - 1,
			 err == -EBUSY ?
				 "another userfaultfd has a part of it" :
			 err == -EINVAL || err == -ENOMEM ?
				 "there is no memory, or only a device's" :
				 strerrordesc_np(-err));
}

void dml_written_unwatch(struct dml_written *w, uint64_t addr, uint64_t end)
{
	struct uffdio_range range = { .start = addr, .len = end - addr };

	ioctl(w->uffd, UFFDIO_UNREGISTER, &range);
}

/*
 * Absent pages count as written, but aren't asked for: to protect them, the kernel would make page tables
 * for all of them. When one is touched, it is present, and without protection.
 */
int dml_written_take(struct dml_written *w, uint64_t addr, uint64_t end,
		     void (*seen)(void *arg, const struct dml_stretch *s),
		     void *arg)
{
	struct dml_scan scan = {
		.size = sizeof(scan),
		.flags = DML_SCAN_PROTECT | DML_SCAN_CHECK,
		.end = end,
		.vec = (uintptr_t)w->found,
		.vec_len = DML_WRITTEN_STRETCHES,
		.any_of = DML_PAGE_PRESENT | DML_PAGE_SWAPPED,
		.returned = DML_PAGE_WRITTEN | DML_PAGE_PRESENT |
			    DML_PAGE_SWAPPED | DML_PAGE_ZERO,
	};
	int n, i;

	while (addr < end) {
		scan.start = addr;
		n = ioctl(w->pagemap, DML_SCAN, &scan);
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++)
			seen(arg, &w->found[i]);
		if (scan.walk_end <= addr)
			return -EIO;
		addr = scan.walk_end;
	}
	return 0;
}
