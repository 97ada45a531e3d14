/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The kernel's names that core uses, in a process.
 *
 * Each keeps the kernel's meaning: atomics that return no value order nothing,
 * xchg, cmpxchg and the fetch_ forms are full barriers, READ_ONCE is a single
 * access. On x86 every locked instruction is a full barrier, so the barriers
 * around atomics cost nothing there; elsewhere they are fences.
 *
 * RCU is liburcu's bulletproof flavour, whose readers need not register: the
 * threads are the program's.
 */
#ifndef DMT_ENGINE_DMT_ENV_H
#define DMT_ENGINE_DMT_ENV_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <linux/vfio.h>

#include "dmatrack_engine.h"

#ifndef __SANITIZE_ADDRESS__ /* UBSan reports the alignment of its inline functions */
#define _LGPL_SOURCE /* liburcu's read side inline, which its licence allows */
#endif
#define URCU_API_MAP /* functions have the kernel's names */
#include <urcu/urcu-bp.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#include "core/hint.h"

#define __user
#define __rcu
#define noinline	      __attribute__((__noinline__))
#define ____cacheline_aligned __attribute__((aligned(64)))
#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define container_of(p, type, m) ((type *)((char *)(p)-offsetof(type, m)))
#define ARRAY_SIZE(a)		 (sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d)	 (((n) + (d)-1) / (d))
#define ALIGN(n, a)		 (((n) + (a)-1) & ~((typeof(n))(a)-1))
#define offsetofend(type, m)	 (offsetof(type, m) + sizeof(((type *)0)->m))
#define struct_size_t(type, m, n) \
	(offsetof(type, m) + (size_t)(n) * sizeof(((type *)0)->m[0]))
#define min_t(type, a, b) \
	({ \
		type a_ = (a), b_ = (b); \
		a_ < b_ ? a_ : b_; \
	})
#define min(a, b) \
	({ \
		typeof(a) a_ = (a); \
		typeof(b) b_ = (b); \
		a_ < b_ ? a_ : b_; \
	})
#define max(a, b) \
	({ \
		typeof(a) a_ = (a); \
		typeof(b) b_ = (b); \
		a_ > b_ ? a_ : b_; \
	})
#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)

/* Errors in pointers, as in the kernel */
#define ERR_PTR(err) ((void *)(long)(err))
#define PTR_ERR(p)   ((long)(p))
#define IS_ERR(p)    ((unsigned long)(p) >= -4095UL)

#define prefetch(p)  __builtin_prefetch(p, 0)
#define prefetchw(p) __builtin_prefetch(p, 1)

/* The compiler knows nothing of the value from here on. */
#define OPTIMIZER_HIDE_VAR(v) __asm__("" : "+r"(v))

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

static inline unsigned int __ffs64(u64 n)
{
	return __builtin_ctzll(n);
}

static inline int fls(unsigned int n)
{
	return n ? 32 - __builtin_clz(n) : 0;
}

static inline unsigned int hweight64(u64 n)
{
	n -= (n >> 1) & 0x5555555555555555ULL;
	n = (n & 0x3333333333333333ULL) + ((n >> 2) & 0x3333333333333333ULL);
	n = (n + (n >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (n * 0x0101010101010101ULL) >> 56;
}

/* Memory model ------------------------------------------------------------- */

#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

#if defined(__x86_64__)
#define barrier() __asm__ __volatile__("" : : : "memory")
/*
 * A locked addition of 0: faster than mfence, and orders all accesses except non-temporal ones and
 * those of device memory, which core doesn't make.
 */
#define smp_mb() \
	__asm__ __volatile__("lock; addl $0,-4(%%rsp)" : : : "memory", "cc")
#define smp_rmb()		barrier()
#define smp_wmb()		barrier()
#define smp_mb__before_atomic() barrier()
#define smp_mb__after_atomic()	barrier()
#define full_before()		barrier()
#define full_after()		barrier()
#else
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic()	smp_mb()
#define full_before()		smp_mb()
#define full_after()		smp_mb()
#endif

/* Full barriers on both sides */
#define xchg(p, v) \
	({ \
		full_before(); \
		typeof(*(p)) old_ = \
			__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); \
		full_after(); \
		old_; \
	})
#define cmpxchg(p, o, n) \
	({ \
		typeof(*(p)) old_ = (o); \
		full_before(); \
		__atomic_compare_exchange_n(p, &old_, n, false, \
					    __ATOMIC_SEQ_CST, \
					    __ATOMIC_SEQ_CST); \
		full_after(); \
		old_; \
	})

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;

#define atomic_read(v)	       __atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define atomic_read_acquire(v) __atomic_load_n(&(v)->counter, __ATOMIC_ACQUIRE)
#define atomic_set(v, n)       __atomic_store_n(&(v)->counter, n, __ATOMIC_RELAXED)
/* Release and acquire are stronger than the kernel's, so that TSan sees the order. */
#define atomic_xchg(v, n) xchg(&(v)->counter, n)
#define atomic_inc(v) \
	((void)__atomic_fetch_add(&(v)->counter, 1, __ATOMIC_ACQ_REL))
#define atomic_dec(v) \
	((void)__atomic_fetch_sub(&(v)->counter, 1, __ATOMIC_ACQ_REL))
#define atomic_dec_and_test(v) \
	(!__atomic_sub_fetch(&(v)->counter, 1, __ATOMIC_ACQ_REL))
#define atomic_inc_not_zero(v) \
	({ \
		int n_; \
		do \
			n_ = atomic_read(v); \
		while (n_ && cmpxchg(&(v)->counter, n_, n_ + 1) != n_); \
		n_ != 0; \
	})

#define atomic64_read(v)   __atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define atomic64_set(v, n) __atomic_store_n(&(v)->counter, n, __ATOMIC_RELAXED)
#define atomic64_or(n, v) \
	((void)__atomic_fetch_or(&(v)->counter, n, __ATOMIC_ACQ_REL))
#define atomic64_andnot(n, v) \
	((void)__atomic_fetch_and(&(v)->counter, ~(n), __ATOMIC_ACQ_REL))
#define atomic64_xchg(v, n) xchg(&(v)->counter, n)
#define atomic64_inc_return(v) \
	(__atomic_add_fetch(&(v)->counter, 1, __ATOMIC_SEQ_CST))
#define atomic64_fetch_andnot(n, v) \
	({ \
		full_before(); \
		s64 old_ = __atomic_fetch_and(&(v)->counter, ~(n), \
					      __ATOMIC_SEQ_CST); \
		full_after(); \
		old_; \
	})

/* 16 KiB, which a cache holds: memset() of a page takes nearly twice as long a byte */
#define DMT_CLEAR_AHEAD 2048U

/* RCU ------------------------------------------------------------------------ */

#define RCU_INIT_POINTER(p, v)		WRITE_ONCE(p, v)
#define rcu_dereference_protected(p, c) READ_ONCE(p)
#define rcu_dereference_check(p, c)	smp_load_acquire(&(p))
#undef rcu_dereference
#define rcu_dereference(p) smp_load_acquire(&(p))
#undef rcu_assign_pointer
#define rcu_assign_pointer(p, v) smp_store_release(&(p), v)

#ifdef __SANITIZE_THREAD__
/*
 * TSan can't see liburcu's synchronisation: tell it that callbacks run after the readers, and
 * after the thread that queued them.
 */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char dmt_tsan_rcu;
static inline void dmt_rcu_read_unlock(void)
{
	__tsan_release(&dmt_tsan_rcu);
	rcu_read_unlock();
}
static inline void dmt_synchronize_rcu(void)
{
	synchronize_rcu();
	__tsan_acquire(&dmt_tsan_rcu);
}
#undef rcu_read_unlock
#define rcu_read_unlock() dmt_rcu_read_unlock()
#undef synchronize_rcu
#define synchronize_rcu() dmt_synchronize_rcu()
#endif

#define synchronize_rcu_expedited() synchronize_rcu()
#define rcu_read_lock_sched()	    rcu_read_lock()
#define rcu_read_unlock_sched()	    rcu_read_unlock()

/*
 * An RCU section in fewer instructions than rcu_read_lock() and rcu_read_unlock(), for a thread that
 * liburcu knows and that is in no other section; else dmt_rcu_enter() returns NULL. It's one only
 * where dmt_rcu_is_light(): readers need no barrier, as the kernel makes it for the writers.
 */
#if defined(_LGPL_SOURCE) && !defined(__SANITIZE_THREAD__)
static inline void *dmt_rcu_enter(void)
{
	struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);

	if (unlikely(!reader) ||
	    unlikely(READ_ONCE(reader->ctr) & URCU_BP_GP_CTR_NEST_MASK))
		return NULL;
	WRITE_ONCE(reader->ctr, READ_ONCE(urcu_bp_gp.ctr));
	cmm_barrier();
	return reader;
}

static inline void dmt_rcu_leave(void *section)
{
	struct urcu_bp_reader *reader = section;

	cmm_barrier();
	WRITE_ONCE(reader->ctr,
		   0); /* not nested: in none, whatever the phase */
	cmm_barrier();
}

static inline bool dmt_rcu_is_light(void)
{
	return urcu_bp_has_sys_membarrier;
}
#else
#define dmt_rcu_enter()	       (rcu_read_lock(), (void *)1)
#define dmt_rcu_leave(section) ((void)(section), rcu_read_unlock())
#define dmt_rcu_is_light()     true
#endif

/*
 * Callbacks; reclaim.h says when they run, what @size is: bytes that it frees, at most, and
 * what @beside is: bytes of the same kind that stay in use
 */
void dmt_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));
void dmt_call_rcu_lazy(struct rcu_head *head,
		       void (*func)(struct rcu_head *head), u64 size);
void dmt_call_rcu_few(struct rcu_head *head,
		      void (*func)(struct rcu_head *head), u64 size,
		      u64 beside);
#define call_rcu_few(head, func, size, beside) \
	dmt_call_rcu_few(head, func, size, beside)
#define DMT_RCU_FEW true
void dmt_rcu_barrier(void);
#undef call_rcu
#define call_rcu(head, func) dmt_call_rcu(head, func)
#undef rcu_barrier
#define rcu_barrier() dmt_rcu_barrier()

/* Locks and waiting ---------------------------------------------------------- */

struct mutex {
	pthread_mutex_t m;
};

#define mutex_init(l)	 ((void)pthread_mutex_init(&(l)->m, NULL))
#define mutex_destroy(l) ((void)pthread_mutex_destroy(&(l)->m))
#define mutex_lock(l)	 ((void)pthread_mutex_lock(&(l)->m))
#define mutex_lock_killable(l) \
	(mutex_lock(l), 0) /* a signal that kills ends the whole process */
#define mutex_unlock(l)	       ((void)pthread_mutex_unlock(&(l)->m))
#define lockdep_assert_held(l) ((void)(l))
#define lockdep_is_held(l)     ((void)(l), true)

typedef struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
} wait_queue_head_t;

static inline void init_waitqueue_head(wait_queue_head_t *q)
{
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, NULL);
}

static inline void wake_up(wait_queue_head_t *q)
{
	pthread_mutex_lock(&q->lock);
	pthread_cond_broadcast(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

#define wait_event(q, condition) \
	do { \
		pthread_mutex_lock(&(q).lock); \
		while (!(condition)) \
			pthread_cond_wait(&(q).cond, &(q).lock); \
		pthread_mutex_unlock(&(q).lock); \
	} while (0)

#define wait_event_killable(q, condition) \
	({ \
		wait_event(q, condition); \
		0; \
	})

#define cond_resched() ((void)0)

#define nr_cpu_ids     32U /* largest number of thread numbers */

/* Number of this thread; threads that run at the same time should have different ones */
extern __thread unsigned int dmt_thread_id;
unsigned int dmt_thread_id_new(void);

static inline unsigned int raw_smp_processor_id(void)
{
	unsigned int id = dmt_thread_id;

	return likely(id) ? id : dmt_thread_id_new();
}

extern __thread struct dmt_hint dmt_hint;

static inline struct dmt_mapping *dmt_hint_get(u64 epoch)
{
	return dmt_hint.epoch == epoch ? dmt_hint.mapping : NULL;
}

static inline void dmt_hint_set(u64 epoch, struct dmt_mapping *m)
{
	dmt_hint = (struct dmt_hint){ epoch, m };
}

/* The mapping of this thread's last mark: see mark.h */
extern __thread struct dmt_hint dmt_mark_hint;

static inline void dmt_mark_hint_set(u64 epoch, struct dmt_mapping *m)
{
	if (dmt_rcu_is_light())
		dmt_mark_hint = (struct dmt_hint){ epoch, m };
}

static inline void dmt_mark_hint_drop(void)
{
	dmt_mark_hint.epoch = 0;
}

#define WARN_ONCE(condition, ...) \
	do { \
		static bool warned_; \
		if (unlikely(condition) && \
		    !__atomic_exchange_n(&warned_, true, __ATOMIC_RELAXED)) \
			fprintf(stderr, __VA_ARGS__); \
	} while (0)

/* Pages ------------------------------------------------------------------------ */

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)

/* A pinned page is represented by its address in this process. */
struct page;

static inline unsigned long page_to_pfn(const struct page *page)
{
	return (unsigned long)page >> PAGE_SHIFT;
}

static inline struct page *pfn_to_page(unsigned long pfn)
{
	return (struct page *)(pfn << PAGE_SHIFT);
}

static inline unsigned long dmt_untagged(unsigned long vaddr)
{
	return vaddr;
}

/* For dmt_free_later() */
struct dmt_later {
	struct rcu_head rcu;
	void (*fn)(struct dmt_later *later);
};

/**
 * struct dmt_owner - the owner of a mapping's memory, which is always this process
 * @host: host of the container
 * @memory: functions that access the memory, with addresses as offsets; NULL functions: it is
 *	    accessed at its addresses
 */
struct dmt_owner {
	struct dmt_host *host;
	struct dmatrack_memory memory;
};

/* Tracing: a process records nothing. */
#define dmt_trace_map(c, iova, last, vaddr, prot, ret) ((void)0)
#define dmt_trace_unmap(c, iova, last, ret)	       ((void)0)
#define dmt_trace_start(c, view, ret)		       ((void)0)
#define dmt_trace_stop(c, view, ret)		       ((void)0)
#define dmt_trace_harvest_begin()		       0ULL
#define dmt_trace_harvest(c, view, iova, last, peek, pages, began, ret) \
	((void)(pages))
#define dmt_trace_no_memory(size) ((void)0)

#endif
