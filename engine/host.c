// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Host: the host of a container inside a process; core/host.h describes the
 * functions.
 *
 * Pointers are trusted, as everywhere in C, unless the engine was made with
 * DMATRACK_ENGINE_CHECKED. Then each access is made by a system call, which
 * returns EFAULT where a direct access would end the process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "host.h"

#define USER_END   (1UL << 47) /* four-level page tables; less a page */
#define CACHE_LINE 64UL

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

__thread unsigned int dmt_thread_id;
__thread struct dmt_hint dmt_hint, dmt_mark_hint;

unsigned int dmt_thread_id_new(void)
{
	static unsigned int last;

	do
		dmt_thread_id = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	while (!dmt_thread_id);
	return dmt_thread_id;
}

bool dmt_fault(struct dmt_host *host, unsigned int kind)
{
	if (likely(!(READ_ONCE(host->fault_kinds) & kind)))
		return false;
	return __atomic_fetch_sub(&host->fault_nth, 1, __ATOMIC_RELAXED) == 1;
}

/* Memory --------------------------------------------------------------------- */

void *dmt_zalloc(struct dmt_host *host, size_t size)
{
	void *mem;

	if (dmt_fault(host, DMT_FAULT_MEMORY))
		return NULL;
	if (size < CACHE_LINE)
		return calloc(1, size);
	mem = size == DMT_NEED_SIZE ? dmt_blocks_get(&host->blocks) : NULL;
	/* Bitmaps and tables begin on a cache line. */
	if (!mem && posix_memalign(&mem, CACHE_LINE, size))
		return NULL;
	return memset(mem, 0, size);
}

void *dmt_zalloc_nowait(struct dmt_host *host, size_t size)
{
	return dmt_zalloc(host, size);
}

void dmt_free(void *mem)
{
	free(mem);
}

void dmt_free_blocks(struct dmt_host *host, void **block, unsigned int n)
{
	dmt_blocks_put(&host->blocks, block, n);
}

void dmt_harvested(struct dmt_host *host, u64 iova)
{
	dmt_blocks_harvested(&host->blocks, iova);
}

void *dmt_zalloc_small(struct dmt_host *host, size_t size)
{
	return dmt_zalloc(host, size);
}

void dmt_free_small(void *mem, size_t size)
{
	free(mem);
}

static void later_call(struct rcu_head *rcu)
{
	struct dmt_later *later = container_of(rcu, struct dmt_later, rcu);

	later->fn(later);
}

/* Callbacks run at a call's end, without a lock: they may take long (reclaim.h). */
void dmt_free_later(struct dmt_later *later,
		    void (*fn)(struct dmt_later *later), u64 size)
{
	later->fn = fn;
	dmt_call_rcu_lazy(&later->rcu, later_call, size);
}

/* Accesses ------------------------------------------------------------------- */

/*
 * Copy between our memory and an address that may be invalid, by a system call. Return:
 * number of bytes copied, from the first on
 */
static size_t kernel_copy(void *mem, const void *addr, size_t size, bool write)
{
	size_t done = 0;

	while (done < size) {
		struct iovec local = {
			.iov_base = (char *)mem + done,
			.iov_len = size - done,
		};
		struct iovec remote = {
			.iov_base = (char *)addr + done,
			.iov_len = size - done,
		};
		ssize_t n = write ? process_vm_writev(getpid(), &local, 1,
						      &remote, 1, 0) :
				    process_vm_readv(getpid(), &local, 1,
						     &remote, 1, 0);

		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

/* NULL, or a member of it, is detected without a system call. */
static bool is_null(const void *addr)
{
	return (unsigned long)addr < PAGE_SIZE;
}

int dmt_copy_from_user(struct dmt_host *host, void *to, const void *from,
		       size_t size)
{
	if (is_null(from) || dmt_fault(host, DMT_FAULT_COPY))
		return -EFAULT;
	if (host->checked)
		return kernel_copy(to, from, size, false) == size ? 0 : -EFAULT;
	memcpy(to, from, size);
	return 0;
}

void dmt_racy_copy(void *to, const void *from, size_t size)
{
#ifdef __SANITIZE_THREAD__
	__asm__ __volatile__("rep movsb"
			     : "+D"(to), "+S"(from), "+c"(size)
			     :
			     : "memory");
#else
	memcpy(to, from, size);
#endif
}

int dmt_copy_to_user(struct dmt_host *host, void *to, const void *from,
		     size_t size)
{
	if (is_null(to) || dmt_fault(host, DMT_FAULT_COPY))
		return -EFAULT;
	if (host->checked)
		return kernel_copy((void *)from, to, size, true) == size ?
			       0 :
			       -EFAULT;
	dmt_racy_copy(to, from, size);
	return 0;
}

int dmt_copy_to_user_nofault(struct dmt_host *host, void *to, const void *from,
			     size_t size)
{
	return dmt_copy_to_user(host, to, from, size);
}

int dmt_copy_from_user_nofault(struct dmt_host *host, void *to,
			       const void *from, size_t size)
{
	return dmt_copy_from_user(host, to, from, size);
}

int dmt_clear_user_nofault(struct dmt_host *host, void *to, size_t size)
{
	size_t done = 0;

	if (is_null(to) || dmt_fault(host, DMT_FAULT_COPY))
		return -EFAULT;
	if (!host->checked) {
		memset(to, 0, size);
		return 0;
	}
	while (done < size) {
		/* not read(), whose sanitizers look at @to first */
		ssize_t n = syscall(SYS_read, host->zero, (char *)to + done,
				    size - done);

		if (n <= 0)
			return -EFAULT;
		done += n;
	}
	return 0;
}

int dmt_copy_lines_nofault(struct dmt_host *host, u64 *to, const u64 *from,
			   unsigned int nwords, u64 lines)
{
	for (; lines; lines &= lines - 1) {
		unsigned int w = __ffs64(lines) * DMT_LINE_WORDS;
		unsigned int n =
			min_t(unsigned int, nwords - w, DMT_LINE_WORDS);

		if (dmt_copy_to_user_nofault(host, to + w, from + w,
					     n * sizeof(u64)))
			return -EFAULT;
	}
	return 0;
}

/* If pointers are trusted, their pages need no check. */
int dmt_fault_in_user(struct dmt_host *host, void *to, size_t size)
{
	if (host->checked)
		return dmt_clear_user_nofault(host, to, size);
	return is_null(to) || dmt_fault(host, DMT_FAULT_COPY) ? -EFAULT : 0;
}

bool dmt_user_range_ok(struct dmt_host *host, const void *addr, u64 size)
{
	unsigned long at = (unsigned long)addr;

	return size <= dmt_user_end(host) && at <= dmt_user_end(host) - size;
}

bool dmt_interrupted(void)
{
	return false;
}

bool dmt_pause(unsigned int ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000L };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
	return false;
}

/* The owner ------------------------------------------------------------------ */

__thread const struct dmatrack_memory *dmt_memory_to_map;

int dmt_owner_init(struct dmt_owner *owner, struct dmt_host *host)
{
	*owner = (struct dmt_owner){ .host = host };
	if (dmt_memory_to_map)
		owner->memory = *dmt_memory_to_map;
	return 0;
}

void dmt_owner_fini(struct dmt_owner *owner)
{
	(void)owner;
}

void dmt_owner_dup(struct dmt_owner *owner, const struct dmt_owner *of)
{
	*owner = *of;
}

static bool has_functions(const struct dmt_owner *owner)
{
	return owner->memory.read;
}

/* A function may return any number: it is limited to @size. */
static long call_memory(const struct dmatrack_memory *m, unsigned long offset,
			void *data, size_t size, bool write)
{
	long n = write ? m->write(m->opaque, offset, data, size) :
			 m->read(m->opaque, offset, data, size);

	if (n < 0)
		return IS_ERR((void *)n) ? n : -EIO;
	return min((size_t)n, size);
}

static long owner_copy(struct dmt_owner *owner, unsigned long vaddr, void *data,
		       size_t size, bool write)
{
	if (has_functions(owner))
		return call_memory(&owner->memory, vaddr, data, size, write);
	if (is_null((void *)vaddr))
		return -EFAULT;
	if (owner->host->checked)
		return kernel_copy(data, (void *)vaddr, size, write);
	if (dmt_fault(owner->host, DMT_FAULT_COPY))
		return -EFAULT;
	if (write)
		dmt_racy_copy((void *)vaddr, data, size);
	else
		dmt_racy_copy(data, (void *)vaddr, size);
	return size;
}

long dmt_owner_write(struct dmt_owner *owner, unsigned long vaddr,
		     const void *data, size_t size)
{
	return owner_copy(owner, vaddr, (void *)data, size, true);
}

long dmt_owner_read(struct dmt_owner *owner, unsigned long vaddr, void *data,
		    size_t size)
{
	return owner_copy(owner, vaddr, data, size, false);
}

/* Return: whether pages can be faulted in, for writing or for reading */
static bool is_there(unsigned long vaddr, unsigned long npages, bool write)
{
	return !madvise((void *)vaddr, npages * PAGE_SIZE,
			write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static struct page *frame(const struct dmt_host *host, unsigned long vaddr)
{
	return host->frame_of ? host->frame_of(vaddr) : (struct page *)vaddr;
}

static bool is_played_frame(const struct dmt_host *host, unsigned long vaddr)
{
	return vaddr >= host->frames.start && vaddr < host->frames.end;
}

long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages)
{
	unsigned long i;

	if (dmt_fault(owner->host, DMT_FAULT_PIN))
		return -ENOMEM;
	if (has_functions(owner))
		return -EOPNOTSUPP;
	if (is_null((void *)vaddr) || is_played_frame(owner->host, vaddr))
		return -EFAULT;
	if (vaddr < owner->host->frames.start)
		npages = min(npages,
			     (owner->host->frames.start - vaddr) / PAGE_SIZE);
	if (owner->host->checked && !is_there(vaddr, npages, write)) {
		for (i = 0; i < npages; i++) /* as far as it goes */
			if (!is_there(vaddr + i * PAGE_SIZE, 1, write))
				break;
		npages = i;
	}
	for (i = 0; i < npages; i++)
		pages[i] = frame(owner->host, vaddr + i * PAGE_SIZE);
	__atomic_fetch_add(&owner->host->pinned, npages, __ATOMIC_RELAXED);
	return npages ? (long)npages : -EFAULT;
}

/* In a process every access to a page waits for it. */
long dmt_owner_pin_wait(struct dmt_owner *owner, unsigned long vaddr,
			unsigned long npages, bool write, struct page **pages)
{
	return dmt_owner_pin(owner, vaddr, npages, write, pages);
}

void dmt_owner_unpin(struct dmt_owner *owner, struct page **pages,
		     unsigned long npages, bool dirty)
{
	__atomic_fetch_sub(&owner->host->pinned, npages, __ATOMIC_RELAXED);
}

int dmt_owner_account(struct dmt_owner *owner, long npages)
{
	struct dmt_host *host = owner->host;
	long most = READ_ONCE(host->locked_max), locked;

	if (npages > 0 && dmt_fault(host, DMT_FAULT_PIN))
		return -ENOMEM;
	locked = __atomic_add_fetch(&host->locked, npages, __ATOMIC_RELAXED);
	if (npages > 0 && most && locked > most) {
		__atomic_fetch_sub(&host->locked, npages, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	return 0;
}

/* Nothing to do: the program gets the call's error, and a library writes to no log. */
void dmt_owner_over_limit(const struct dmt_owner *owner, const char *call)
{
	(void)owner;
	(void)call;
}

bool dmt_owner_is_caller(const struct dmt_owner *owner)
{
	(void)owner;
	return true;
}

/* Memory without an address has none to list. */
bool dmt_owner_may_know(const struct dmt_owner *owner)
{
	return dmt_owner_is_caller(owner) && !has_functions(owner);
}

/* Simulated frames are memory, with a frame number that no memory has. */
#define PLAYED_FRAME (1UL << 40)

int dmt_owner_frames(struct dmt_owner *owner, unsigned long vaddr,
		     unsigned long limit, bool write, unsigned long *pfn,
		     unsigned long *npages)
{
	if (!is_played_frame(owner->host, vaddr))
		return -EFAULT;
	*pfn = PLAYED_FRAME | vaddr >> PAGE_SHIFT;
	*npages = min(limit, (owner->host->frames.end - vaddr) / PAGE_SIZE);
	return 0;
}

bool dmt_is_frame(unsigned long pfn)
{
	return pfn & PLAYED_FRAME;
}

void dmt_unpin_run(struct dmt_host *host, unsigned long pfn,
		   unsigned long npages, bool dirty)
{
	__atomic_fetch_sub(&host->pinned, npages, __ATOMIC_RELAXED);
}

bool dmt_single_pages(void)
{
	return false;
}

unsigned long dmt_user_end(struct dmt_host *host)
{
	(void)host;
	return USER_END - PAGE_SIZE;
}

/* Devices: functions that asked to be told. -------------------------------------- */

void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size)
{
	void (*unmap)(void *opaque, uint64_t iova, uint64_t size) =
		smp_load_acquire(&host->unmap);

	if (unmap)
		unmap(host->opaque, iova, size);
}

/* Nothing to do: the caller of the unmap gets the error, and the process's end frees its memory. */
void dmt_pages_held(struct dmt_host *host, u64 iova, u64 last, u64 kept)
{
	(void)iova;
	(void)last;
	host->kept += kept;
}

int dmt_host_init(struct dmt_host *host, bool checked)
{
	host->checked = checked;
	host->zero = -1;
	if (checked) {
		host->zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
		if (host->zero < 0)
			return -errno;
	}
	return 0;
}

void dmt_host_fini(struct dmt_host *host)
{
	dmt_blocks_fini(&host->blocks);
	if (host->zero >= 0)
		close(host->zero);
}
