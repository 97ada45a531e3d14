// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Writes a call of another program as a line of a trace.
 *
 * The argument is read before the call is made, the result afterwards. Calls on files
 * other than /dev/vfio/vfio are ignored: VFIO's numbers mean other things there. The
 * container is found by process and descriptor or, if that doesn't match (the descriptor
 * was duplicated or passed on), by kcmp(2).
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "replay.h"
#include "trace.h"

/* The device number of /dev/vfio/vfio */
#define VFIO_MAJOR 10
#define VFIO_MINOR 196

static bool read_memory(pid_t tid, uint64_t from, void *to, size_t size)
{
	struct iovec local = { to, size };
	struct iovec remote = { (void *)(uintptr_t)from, size };

	return process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool is_container(pid_t tid, int fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	return !stat(path, &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(VFIO_MAJOR, VFIO_MINOR);
}

/* Read a fixed part, and the part that follows if @flags has @more. */
static bool read_parts(struct trace_call *call, void *to, size_t fixed,
		       uint32_t *flags, uint32_t more, size_t rest)
{
	if (!read_memory(call->tid, call->arg, to, fixed))
		return false;
	return !(*flags & more) || read_memory(call->tid, call->arg + fixed,
					       (char *)to + fixed, rest);
}

static bool read_argument(struct trace_call *call)
{
	switch (call->cmd) {
	case VFIO_IOMMU_GET_INFO:
		return read_memory(call->tid, call->arg, &call->given.info, 8);
	case VFIO_IOMMU_MAP_DMA:
		return read_memory(call->tid, call->arg, &call->given.map,
				   sizeof(call->given.map));
	case VFIO_IOMMU_UNMAP_DMA:
		return read_parts(call, &call->given.unmap,
				  sizeof(call->given.unmap),
				  &call->given.unmap.flags,
				  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
				  sizeof(call->given.bitmap));
	case VFIO_IOMMU_DIRTY_PAGES:
		return read_parts(call, &call->given.dirty,
				  sizeof(call->given.dirty),
				  &call->given.dirty.flags,
				  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
				  sizeof(call->given.get));
	}
	return true; /* the argument is a number */
}

bool trace_call_enter(struct trace_call *call)
{
	if (!is_container(call->tid, call->fd))
		return false;
	call->there = read_argument(call);
	return true;
}

/* Which container -------------------------------------------------------------------- */

/* Return: number of the thread's process */
static pid_t process_of(pid_t tid)
{
	char path[64], line[128];
	int pid = tid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	}
	if (f)
		fclose(f);
	return pid;
}

static struct trace_container *find_container(struct trace *t, pid_t pid,
					      int fd)
{
	struct trace_container *c;

	for (c = t->containers; c; c = c->next) {
		if (c->pid == pid && c->fd == fd)
			return c;
	}
	for (c = t->containers; c; c = c->next) {
		if (!syscall(SYS_kcmp, c->pid, pid, KCMP_FILE, c->fd, fd))
			return c;
	}
	return NULL;
}

static struct trace_container *new_container(struct trace *t, pid_t pid, int fd)
{
	struct trace_container *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct trace_container){ t->containers, ++t->nr_containers, pid,
				       fd };
	t->containers = c;
	return c;
}

static bool is_wanted(const struct trace *t, const struct trace_container *c)
{
	return c && c->number == (t->wanted ? t->wanted : t->nr_containers);
}

void trace_call_free(struct trace *t)
{
	struct trace_container *c;

	while ((c = t->containers)) {
		t->containers = c->next;
		free(c);
	}
}

/* Lines ------------------------------------------------------------------------------- */

static void set_argsz(struct replay_call *line, uint32_t argsz, size_t right)
{
	line->argsz = argsz;
	if (argsz != right)
		line->has |= REPLAY_HAS_ARGSZ;
}

static void set_flags(struct replay_call *line, uint32_t flags, bool right)
{
	line->flags = flags;
	if (!right)
		line->has |= REPLAY_HAS_FLAGS;
}

static void set_bitmap(struct replay_call *line,
		       const struct vfio_bitmap *bitmap)
{
	line->page_size = bitmap->pgsize;
	line->bytes = bitmap->size;
	if (bitmap->pgsize != REPLAY_PAGE)
		line->has |= REPLAY_HAS_PAGE_SIZE;
	if (bitmap->size != dmatrack_bitmap_size(line->size, bitmap->pgsize))
		line->has |= REPLAY_HAS_BYTES;
}

static void make_map(struct replay_call *line, const struct trace_call *call)
{
	const uint32_t prot = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;

	line->verb = REPLAY_MAP;
	line->iova = call->given.map.iova;
	line->size = call->given.map.size;
	line->where = REPLAY_RECORDED;
	line->place = call->given.map.vaddr;
	line->prot = call->given.map.flags & prot;
	if (!line->prot)
		line->prot =
			prot; /* for a readable line; the flags are exact */
	set_flags(line, call->given.map.flags,
		  call->given.map.flags == line->prot);
	set_argsz(line, call->given.map.argsz, sizeof(call->given.map));
}

static void make_unmap(struct replay_call *line, const struct trace_call *call)
{
	uint32_t flags = call->given.unmap.flags;
	bool bitmap = flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	bool all = flags == VFIO_DMA_UNMAP_FLAG_ALL &&
		   !call->given.unmap.iova && !call->given.unmap.size;

	line->verb = REPLAY_UNMAP;
	line->iova = call->given.unmap.iova;
	line->size = call->given.unmap.size;
	line->everything = all;
	line->with_bitmap = bitmap;
	set_flags(line, flags, all || flags == bitmap);
	set_argsz(line, call->given.unmap.argsz,
		  sizeof(call->given.unmap) +
			  (bitmap ? sizeof(call->given.bitmap) : 0));
	if (bitmap)
		set_bitmap(line, &call->given.bitmap);
}

static void make_dirty(struct replay_call *line, const struct trace_call *call)
{
	uint32_t flags = call->given.dirty.flags;

	if (flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
		line->verb = REPLAY_HARVEST;
		line->iova = call->given.get.iova;
		line->size = call->given.get.size;
		set_bitmap(line, &call->given.get.bitmap);
		set_argsz(line, call->given.dirty.argsz,
			  sizeof(call->given.dirty) + sizeof(call->given.get));
		return;
	}
	line->verb = flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP ? REPLAY_STOP :
								 REPLAY_START;
	set_flags(line, flags,
		  flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START ||
			  line->verb == REPLAY_STOP);
	set_argsz(line, call->given.dirty.argsz, sizeof(call->given.dirty));
}

static void make_line(struct replay_call *line, const struct trace_call *call)
{
	*line = (struct replay_call){ .page_size = REPLAY_PAGE };
	switch (call->cmd) {
	case VFIO_CHECK_EXTENSION:
		line->verb = REPLAY_CHECK;
		line->has = REPLAY_HAS_VALUE;
		line->value = call->arg;
		return;
	case VFIO_IOMMU_MAP_DMA:
		make_map(line, call);
		return;
	case VFIO_IOMMU_UNMAP_DMA:
		make_unmap(line, call);
		return;
	case VFIO_IOMMU_DIRTY_PAGES:
		make_dirty(line, call);
		return;
	}
	line->verb = REPLAY_INFO;
}

/* Results ------------------------------------------------------------------------------ */

/* Read the program's bitmap; r->bitmap stays NULL if it is too large or can't be read. */
static void read_bitmap(const struct trace_call *call,
			const struct replay_call *line, struct replay_result *r)
{
	const struct vfio_bitmap *bitmap = line->with_bitmap ?
						   &call->given.bitmap :
						   &call->given.get.bitmap;
	uint64_t need = dmatrack_bitmap_size(line->size, line->page_size);

	if (!need || need > REPLAY_BITMAP)
		return;
	r->bitmap = mmap(NULL, need, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bitmap == MAP_FAILED) {
		r->bitmap = NULL;
		return;
	}
	r->mapped = need;
	r->npages =
		line->size / line->page_size + !!(line->size % line->page_size);
	if (!read_memory(call->tid, (uintptr_t)bitmap->data, r->bitmap, need))
		replay_player_free(r);
}

static void read_result(const struct trace_call *call,
			const struct replay_call *line, long ret,
			struct replay_result *r)
{
	struct vfio_iommu_type1_dma_unmap unmap;

	*r = (struct replay_result){ .ret = ret };
	if (ret)
		return;
	if (line->verb == REPLAY_UNMAP &&
	    read_memory(call->tid, call->arg, &unmap, sizeof(unmap)))
		r->ret = (long)unmap.size;
	if (line->verb == REPLAY_HARVEST || line->with_bitmap)
		read_bitmap(call, line, r);
}

/* Write a mark for each run of pages, so that a replay reports the same. */
static void write_marks(struct trace *t, const struct replay_call *line,
			const struct replay_result *r)
{
	struct replay_call mark = { .verb = REPLAY_MARK };
	struct replay_trace none = { 0 };
	uint64_t pos = 0, len = 0;

	for (; dmatrack_next_run(r->bitmap, r->npages, &pos, &len);
	     pos += len) {
		mark.iova = line->iova + pos * line->page_size;
		mark.size = len * line->page_size;
		replay_print(t->to, &none, &mark, &(struct replay_result){ 0 });
	}
}

static void write_pages(struct trace *t, const struct replay_result *r)
{
	fputs("# ", t->to);
	replay_print_pages(t->to, r->bitmap, r->npages, "#");
	fputc('\n', t->to);
}

static void write_line(struct trace *t, const struct trace_call *call, long ret)
{
	struct replay_trace none = { 0 };
	struct replay_result r, without;
	struct replay_call line;

	make_line(&line, call);
	read_result(call, &line, ret, &r);
	if (r.bitmap && t->marks)
		write_marks(t, &line, &r);
	without = r;
	if (!t->marks)
		without.bitmap = NULL;
	replay_print(t->to, &none, &line, &without);
	if (r.bitmap && !t->marks)
		write_pages(t, &r);
	replay_player_free(&r);
	t->calls++;
}

/* VFIO_SET_IOMMU succeeded: the container is usable from now on. */
static void set_type(struct trace *t, const struct trace_call *call, long ret)
{
	pid_t pid = process_of(call->tid);
	struct trace_container *c = find_container(t, pid, call->fd);

	if (ret ||
	    (call->arg != VFIO_TYPE1_IOMMU && call->arg != VFIO_TYPE1v2_IOMMU))
		return;
	if (!c)
		c = new_container(t, pid, call->fd);
	if (!is_wanted(t, c))
		return;
	fprintf(t->to,
		"# container %llu: process %d, descriptor %d\n"
		"container %s\n",
		(unsigned long long)c->number, (int)pid, call->fd,
		call->arg == VFIO_TYPE1_IOMMU ? "v1" : "v2");
}

static void write_call(struct trace *t, const struct trace_call *call, long ret)
{
	struct trace_container *c;

	c = find_container(t, process_of(call->tid), call->fd);
	if (!c)
		return; /* a query before the container has a type */
	if (!is_wanted(t, c))
		t->others++;
	else if (call->there)
		write_line(t, call, ret);
	else
		fprintf(t->to,
			"# call %#x with an argument that can't be read\n",
			call->cmd);
}

void trace_call_leave(struct trace *t, const struct trace_call *call, long ret)
{
	if (call->cmd == VFIO_SET_IOMMU)
		set_type(t, call, ret);
	else
		write_call(t, call, ret);
	fflush(t->to);
}
