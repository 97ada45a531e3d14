/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Are pages of fresh memory that are read all the same page of zeros? Some kernels give each its own. */
#ifndef TEST_ZERO_PAGE_H
#define TEST_ZERO_PAGE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define ZERO_PAGE_FRAME \
	((1ull << 55) - 1) /* of an entry of pagemap; 0: not told */

static inline bool has_zero_page(void)
{
	const uint64_t page = 4096;
	volatile char *m = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry[2] = { 0, 0 };
	char read = (char)(m[0] | m[page]);
	bool same = pread(fd, entry, sizeof(entry),
			  (off_t)((uintptr_t)m / page * sizeof(*entry))) ==
			    sizeof(entry) &&
		    !((entry[0] ^ entry[1]) & ZERO_PAGE_FRAME);

	close(fd);
	munmap((void *)m, 2 * page);
	return same && !read;
}

#endif
