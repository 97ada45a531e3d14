// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Read the process's memory, by process_vm_readv(2). What was never written in private memory without a
 * file isn't read, as that would fill in page tables: pagemap tells that it is zeros.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dmatrack.h"
#include "lib/util/error.h"
#include "lib/util/pagemap.h"
#include "process.h"

#define ENTRIES 512

static int fail(const struct dmatrack_process *p, int err, uint64_t address)
{
	if (err == -ESRCH)
		return dml_error(err, "the process has ended");
	return dml_error(err,
			 "memory of process %d at %#" PRIx64
			 " can't be read: %s",
			 p->pid, address, strerror(-err));
}

/* @zeros: true: what isn't mapped any more reads as zeros */
static int read_memory(const struct dmatrack_process *p, uint64_t address,
		       char *buf, uint64_t size, bool zeros)
{
	while (size) {
		const struct iovec local = { buf, size };
		const struct iovec remote = { (void *)address, size };
		ssize_t n = process_vm_readv(p->pid, &local, 1, &remote, 1, 0);

		if (n <= 0 && (n == 0 || errno == EFAULT) && zeros) {
			n = DML_PROCESS_PAGE - address % DML_PROCESS_PAGE;
			memset(buf, 0, (size_t)n);
		} else if (n <= 0) {
			return fail(p, n ? -errno : -EFAULT, address);
		}
		buf += n;
		address += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Are the pages of the area zeros where there are none? */
static bool is_plain(const struct dml_area *a)
{
	return !a->inode && !a->shared && !a->huge;
}

/* Up to ENTRIES pages of such an area */
static int read_plain(const struct dmatrack_process *p, uint64_t address,
		      char *buf, uint64_t size, bool zeros)
{
	uint64_t entry[ENTRIES], n = size / DML_PROCESS_PAGE, i, end;
	ssize_t got =
		pread(p->pagemap, entry, n * sizeof(*entry),
		      (off_t)(address / DML_PROCESS_PAGE * sizeof(*entry)));
	int err = 0;

	if (got != (ssize_t)(n * sizeof(*entry)))
		return read_memory(p, address, buf, size, zeros);
	for (i = 0; i < n && !err; i = end) {
		bool there = entry[i] & (DML_ENTRY_PRESENT | DML_ENTRY_SWAPPED);
		char *to = buf + i * DML_PROCESS_PAGE;

		for (end = i + 1;
		     end < n && there == !!(entry[end] & (DML_ENTRY_PRESENT |
							  DML_ENTRY_SWAPPED));
		     end++)
			;
		if (there)
			err = read_memory(p, address + i * DML_PROCESS_PAGE, to,
					  (end - i) * DML_PROCESS_PAGE, zeros);
		else
			memset(to, 0, (end - i) * DML_PROCESS_PAGE);
	}
	return err;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/**
 * struct stretch - addresses that are read alike
 * @size: bytes
 * @area: the area that they are in; NULL: none
 * @zeros: true: they are copied as zeros
 */
struct stretch {
	uint64_t size;
	const struct dml_area *area;
	bool zeros;
};

/* Return: the bytes of [@address, @address + @size) up to the first border of @all; @in: the area, or NULL */
static uint64_t cut(const struct dml_areas *all, uint64_t address,
		    uint64_t size, const struct dml_area **in)
{
	const struct dml_area *a = dml_areas_from(all, address);

	*in = NULL;
	if (a == all->area + all->n)
		return size;
	if (a->first > address)
		return smaller(size, a->first - address);
	*in = a;
	return smaller(size, a->end - address);
}

/* @other: memory that is copied by its address: what is writable, and copied by no IOVA */
static struct stretch find_stretch(const struct dmatrack_process *p,
				   uint64_t address, uint64_t size, bool other)
{
	const struct dml_area *reached = NULL;
	struct stretch s = { .size = size };

	s.size = cut(&p->areas, address, size, &s.area);
	if (!other)
		return s;
	s.size = cut(&p->reached, address, s.size, &reached);
	s.zeros = reached || !s.area || s.area->foreign || !s.area->writable;
	return s;
}

/* Read whole pages at an address. */
static int read_address(const struct dmatrack_process *p, uint64_t address,
			char *buf, uint64_t size, bool other)
{
	struct stretch s;
	int err = 0;

	for (; size && !err; address += s.size, buf += s.size, size -= s.size) {
		s = find_stretch(p, address, size, other);
		if (s.zeros) {
			memset(buf, 0, s.size);
		} else if (s.area && is_plain(s.area)) {
			s.size = smaller(s.size, ENTRIES * DML_PROCESS_PAGE);
			err = read_plain(p, address, buf, s.size, other);
		} else {
			err = read_memory(p, address, buf, s.size, other);
		}
	}
	return err;
}

/* Are these whole pages of one region? */
static bool holds(const struct dmatrack_process *p, uint64_t iova, size_t size)
{
	unsigned int i = 0;

	if ((iova | size) % DML_PROCESS_PAGE)
		return false;
	while (i < p->nregions &&
	       p->region[i].iova + (p->region[i].size - 1) < iova)
		i++;
	return i < p->nregions && iova >= p->region[i].iova &&
	       size <= p->region[i].size - (iova - p->region[i].iova);
}

/* Return: the span that holds @iova, which is in a region */
static const struct dmatrack_process_span *
find(const struct dmatrack_process *p, uint64_t iova)
{
	size_t low = 0, high = p->nspans, mid;

	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (p->span[mid].iova <= iova)
			low = mid;
		else
			high = mid;
	}
	return &p->span[low];
}

int dml_memory_read(const struct dmatrack_process *p, uint64_t iova, void *buf,
		    size_t size)
{
	const struct dmatrack_process_span *s;
	uint64_t left = size, n;
	char *to = buf;
	int err = 0;

	if (p->all && iova >= DMATRACK_PROCESS_ADDRESSES)
		return read_address(p, iova - DMATRACK_PROCESS_ADDRESSES, buf,
				    size, true);
	for (; left && !err; iova += n, to += n, left -= n) {
		s = find(p, iova);
		n = smaller(left, s->iova + s->size - iova);
		err = read_address(p, s->address + (iova - s->iova), to, n,
				   false);
	}
	return err;
}

int dmatrack_process_read(const struct dmatrack_process *p, uint64_t iova,
			  void *buf, size_t size)
{
	if (dml_lacks(p, buf))
		return -EINVAL;
	if (!holds(p, iova, size))
		return dml_error(-EINVAL,
				 "0x%zx bytes at 0x%" PRIx64
				 " are not whole pages of one region",
				 size, iova);
	return dml_memory_read(p, iova, buf, size);
}
