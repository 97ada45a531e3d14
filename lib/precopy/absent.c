// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Absent: reads /proc/self/maps, smaps and pagemap.
 *
 * The kernel walks all page tables of the process to print smaps: 7 ms per GiB present. So maps,
 * which costs nothing, is read first: it shows which mappings may have absent pages; and
 * smaps only when the first absent page is found. Where all memory was touched, it's never read.
 *
 * Where mincore() doesn't show that all pages are present, pagemap is asked by ioctl, which skips
 * absent page tables as a whole, or, before Linux 6.7, read: an entry per page.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/util/pagemap.h"
#include "absent.h"

#define ENTRIES	  8192	       /* of pagemap that are read at once */
#define STRETCHES 1024	       /* of a window */
#define REACH	  (1ull << 30) /* bytes of a window: it must not delay progress() */

/**
 * struct dml_absent - the state of the search
 * @fd: descriptor of pagemap
 * @page: bytes of a page that an entry stands for
 * @scans: whether the kernel may have the ioctl
 * @checked: whether @spans is by smaps; it's by maps until then
 * @spans: array of the ranges in which absent pages are zero; ascending, without overlaps
 * @nspans: number of ranges
 * @window: range that was searched last
 * @present: the ranges of it that have to be read; ascending, without overlaps
 * @npresent: number of ranges
 * @entry: entries of pagemap
 */
struct dml_absent {
	int fd;
	size_t page;
	bool scans;
	bool checked;
	struct dml_stretch *spans;
	size_t nspans;
	struct dml_stretch window;
	struct dml_stretch present[STRETCHES];
	size_t npresent;
	uint64_t entry[ENTRIES];
};

/* Return: the first of @n ranges that ends after @addr; NULL: none does */
static const struct dml_stretch *find(const struct dml_stretch *s, size_t n,
				      uint64_t addr)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n ? &s[low] : NULL;
}

/* Mappings -------------------------------------------------------------------- */

/*
 * Parse the first line of a mapping. @plain: out: by that line it's private and anonymous.
 * Return: false: it's another line
 */
static bool parse_mapping(const char *line, struct dml_stretch *s, bool *plain)
{
	unsigned long first, end, inode;
	char perms[5], name[8] = "";
	int n;

	n = sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %7s", &first, &end, perms,
		   &inode, name);
	if (n < 4)
		return false;
	*s = (struct dml_stretch){ .first = first, .end = end };
	*plain = perms[3] == 'p' && !inode &&
		 (!name[0] || !strncmp(name, "[heap]", 6) ||
		  !strncmp(name, "[stack]", 7) || !strncmp(name, "[anon:", 6));
	return true;
}

/*
 * Whether userfaultfd or a driver supplies the content of absent pages; a userfaultfd that only watches
 * writes ("uw") doesn't
 */
static bool filled_on_fault(const char *flags)
{
	static const char *const names[] = {
		" um", " ui", " pf", " mm", " io", " ht",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strstr(flags, names[i]))
			return true;
	}
	return false;
}

/* Without memory for it, the pages of a range have to be read. */
static void add_span(struct dml_absent *a, const struct dml_stretch *s)
{
	struct dml_stretch *more;

	if (a->nspans && a->spans[a->nspans - 1].end == s->first) {
		a->spans[a->nspans - 1].end = s->end;
		return;
	}
	more = realloc(a->spans, (a->nspans + 1) * sizeof(*more));
	if (!more)
		return;
	a->spans = more;
	a->spans[a->nspans++] = *s;
}

/* Set @a->spans by maps or smaps. If that can't be read, there are none. */
static void read_mappings(struct dml_absent *a, const char *path)
{
	FILE *f = fopen(path, "re");
	bool plain = false;
	struct dml_stretch s = { 0 };
	char *line = NULL;
	size_t size = 0;

	a->nspans = 0;
	while (f && getline(&line, &size, f) > 0) {
		if (parse_mapping(line, &s, &plain) ?
			    plain && !a->checked :
			    plain && !strncmp(line, "VmFlags:", 8) &&
				    !filled_on_fault(line))
			add_span(a, &s);
	}
	free(line);
	if (f)
		fclose(f);
}

struct dml_absent *dml_absent_open(void)
{
	struct dml_absent *a = malloc(sizeof(*a));

	if (!a)
		return NULL;
	a->page = (size_t)sysconf(_SC_PAGESIZE);
	a->scans = true;
	a->checked = false;
	a->spans = NULL;
	a->window = (struct dml_stretch){ 0 };
	a->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (a->fd < 0) {
		free(a);
		return NULL;
	}
	read_mappings(a, "/proc/self/maps");
	return a;
}

void dml_absent_close(struct dml_absent *a)
{
	if (!a)
		return;
	close(a->fd);
	free(a->spans);
	free(a);
}

/* Pages ------------------------------------------------------------------------ */

/* Whether the next pages from @first on are all present: a quarter of the time of a scan */
static bool find_present(struct dml_absent *a, uint64_t first, uint64_t end)
{
	uint64_t n = (end - first) / a->page, i = 0;
	unsigned char present[ENTRIES];

	if (n > ENTRIES)
		n = ENTRIES;
	if (mincore((void *)(uintptr_t)first, n * a->page, present))
		return false;
	while (i < n && present[i] & 1)
		i++;
	if (i < n)
		return false;
	a->window = (struct dml_stretch){
		.first = first,
		.end = first + n * a->page,
	};
	a->present[0] = a->window;
	a->npresent = 1;
	return true;
}

/* Search from @first on, by ioctl. Return: false: the kernel hasn't got it */
static bool scan(struct dml_absent *a, uint64_t first, uint64_t end)
{
	struct dml_scan s = {
		.size = sizeof(s),
		.start = first,
		.end = end - first > REACH ? first + REACH : end,
		.vec = (uintptr_t)a->present,
		.vec_len = STRETCHES,
		.inverted = DML_PAGE_ZERO,
		.mask = DML_PAGE_ZERO,
		.any_of = DML_PAGE_PRESENT | DML_PAGE_SWAPPED,
	};
	int n = ioctl(a->fd, DML_SCAN, &s);

	a->npresent = n > 0 ? (size_t)n : 0;
	a->window = (struct dml_stretch){ .first = first, .end = s.walk_end };
	return n >= 0;
}

/* Add a page to @a->present. Return: false: there's no room */
static bool add_present(struct dml_absent *a, uint64_t addr)
{
	struct dml_stretch *s = a->present + a->npresent;

	if (a->npresent && s[-1].end == addr) {
		s[-1].end += a->page;
		return true;
	}
	if (a->npresent == STRETCHES)
		return false;
	*s = (struct dml_stretch){ .first = addr, .end = addr + a->page };
	a->npresent++;
	return true;
}

/* Search from @first on, by reading pagemap. */
static void read_entries(struct dml_absent *a, uint64_t first, uint64_t end)
{
	uint64_t most = (end - first) / a->page;
	ssize_t n;
	size_t i;

	n = pread(a->fd, a->entry,
		  (most < ENTRIES ? most : ENTRIES) * sizeof(a->entry[0]),
		  (off_t)(first / a->page * sizeof(a->entry[0])));
	n /= (ssize_t)sizeof(a->entry[0]);
	a->npresent = 0;
	for (i = 0; (ssize_t)i < n; i++) {
		if (a->entry[i] & (DML_ENTRY_PRESENT | DML_ENTRY_SWAPPED) &&
		    !add_present(a, first + i * a->page))
			break;
	}
	a->window = (struct dml_stretch){ .first = first,
					  .end = first + i * a->page };
}

/* Search from @first on, unless that is in the window. Return: false: read error */
static bool move_window(struct dml_absent *a, uint64_t first, uint64_t end)
{
	if ((first >= a->window.first && first < a->window.end) ||
	    find_present(a, first, end))
		return true;
	if (a->scans)
		a->scans = scan(a, first, end);
	if (!a->scans)
		read_entries(a, first, end);
	return a->window.end > first;
}

/* As dml_absent_run(), within a range of @a->spans */
static uint64_t run_in_span(struct dml_absent *a, uint64_t first, uint64_t end,
			    bool *absent)
{
	const struct dml_stretch *s;
	uint64_t to;

	if (!move_window(a, first, end))
		return end - first;
	s = find(a->present, a->npresent, first);
	*absent = !s || s->first > first;
	to = !s ? end : *absent ? s->first : s->end;
	if (to > a->window.end)
		to = a->window.end;
	return (to < end ? to : end) - first;
}

uint64_t dml_absent_run(struct dml_absent *a, const void *addr, uint64_t size,
			bool *absent)
{
	uint64_t first = (uintptr_t)addr, n;
	const struct dml_stretch *s = find(a->spans, a->nspans, first);

	*absent = false;
	if ((first | size) % a->page || !s || s->first >= first + size)
		return size;
	if (s->first > first)
		return s->first - first;
	n = s->end - first;
	n = run_in_span(a, first, first + (n < size ? n : size), absent);
	if (!*absent || a->checked)
		return n;
	a->checked = true;
	read_mappings(a, "/proc/self/smaps");
	return dml_absent_run(a, addr, size, absent);
}
