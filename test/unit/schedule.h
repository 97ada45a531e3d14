/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A host that schedules threads at random: core's sources, unchanged, run in fibers
 * that may be switched at every access to shared memory, on processors that delay
 * stores. A program includes this first and then the .c files of core that it tests.
 * A seed determines a schedule, the same each time.
 *
 * Threads of a machine with two processors hardly ever meet in the three
 * instructions that matter. Here they do in every thousandth schedule or so; and
 * errors that a machine with stronger ordering hides are seen as well.
 *
 * Memory. Plain and _ONCE stores, and atomics that return no value, wait in their
 * fiber's buffer. They come to memory in any order, but keep their order at one
 * address and across smp_wmb(). smp_mb(), atomics that return a value and release
 * stores empty the buffer first. A fiber sees its own stores. Loads aren't reordered.
 * So this is weaker than x86, and close to the kernel's guarantees for stores.
 *
 * RCU. Callbacks run as soon as all readers from before have left, with all buffers
 * emptied, as a grace period does. ASan finds accesses to freed memory.
 *
 * Only for programs of one file: everything is static.
 */
#ifndef DMT_SCHEDULE_H
#define DMT_SCHEDULE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <ucontext.h>

#include "core/host.h"
#include "lib/util/random.h"
#include "test/tap.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size)  ((void)0)
#define __sanitizer_finish_switch_fiber(save, bottom, size) ((void)0)
#endif

#define FIBERS	   8
#define STACK	   (256UL << 10)
#define BUFFER	   64U
#define LOCKS	   8
#define STEPS_MOST 2000000UL /* a schedule with more steps doesn't end */

enum pending_kind { STORE, OR, ANDNOT, ADD };

/* A store that isn't in memory yet. @epoch: number of smp_wmb()s before it */
struct pending {
	void *addr;
	u64 value;
	unsigned int size;
	unsigned int epoch;
	enum pending_kind kind;
};

struct fiber {
	ucontext_t context;
	char *stack;
	size_t stack_size;
	void *fake;
	void (*fn)(void *arg);
	void *arg;
	bool over;
	unsigned int n; /* entries in @buffer */
	struct pending buffer[BUFFER];
	unsigned int epoch;
	unsigned int reading; /* nesting of RCU read sections; began at @since */
	unsigned long since;
	const void *waits; /* the wait queue that the fiber sleeps on */
	bool woken;
};

struct callback {
	struct rcu_head *head;
	void (*fn)(struct rcu_head *head);
	unsigned long time;
	struct callback *next;
};

/**
 * struct schedule - one run
 * @fiber: the fibers; 0 is the program itself
 * @count: number of fibers
 * @now: number of the running fiber
 * @rng: state of the random numbers
 * @stay: one in @stay accesses switches fibers
 * @keep: at one in @keep accesses a store comes to memory
 * @deny: one in @deny allocations fails; 0: none
 * @steps: number of accesses so far
 * @time: RCU's clock
 * @memory: number of allocated pieces of memory
 * @freed: called when a piece is freed; or NULL
 * @atomic: no switches now
 * @lock: locks that are held, by fiber @holder
 * @locked: number of times that a lock was taken
 * @failed: description of the failure
 */
static struct schedule {
	struct fiber fiber[FIBERS];
	unsigned int count, now;
	uint64_t rng;
	unsigned int stay, keep, deny;
	unsigned long steps, time;
	long memory;
	void (*freed)(void);
	bool atomic;
	struct callback *callbacks;
	const void *lock[LOCKS];
	unsigned int holder[LOCKS];
	unsigned long locked;
	char failed[160];
} sim;

static inline unsigned int sim_below(unsigned int n)
{
	return dml_random_below(&sim.rng, n);
}

static inline struct fiber *sim_self(void)
{
	return &sim.fiber[sim.now];
}

/* Fibers --------------------------------------------------------------------- */

static inline void sim_switch(unsigned int to)
{
	struct fiber *from = sim_self(), *f = &sim.fiber[to];

	if (f == from)
		return;
	sim.now = to;
	__sanitizer_start_switch_fiber(from->over ? NULL : &from->fake,
				       f->stack, f->stack_size);
	swapcontext(&from->context, &f->context);
	__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
}

__attribute__((format(printf, 1, 2))) static inline void
sim_fail(const char *format, ...)
{
	va_list args;

	if (!sim.failed[0]) {
		va_start(args, format);
		vsnprintf(sim.failed, sizeof(sim.failed), format, args);
		va_end(args);
	}
	if (sim.now) { /* end this fiber */
		sim_self()->over = true;
		sim_switch(0);
	}
}

#define SIM_CHECK(cond) \
	do { \
		if (!(cond)) \
			sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond); \
	} while (0)

/* Another fiber that hasn't ended, or this one if there is none */
static inline unsigned int sim_other(void)
{
	unsigned int i, n = 0, pick[FIBERS];

	for (i = 1; i < sim.count; i++)
		if (i != sim.now && !sim.fiber[i].over)
			pick[n++] = i;
	return n ? pick[sim_below(n)] : sim.now;
}

static inline void sim_entry(void)
{
	struct fiber *f = sim_self();
	unsigned int i;

	__sanitizer_finish_switch_fiber(f->fake, NULL, NULL);
	f->fn(f->arg);
	f->over = true;
	for (i = 1; i < sim.count && sim.fiber[i].over; i++)
		;
	sim_switch(i < sim.count ? sim_other() : 0);
	abort();
}

/* Stores that wait -------------------------------------------------------------- */

static inline u64 sim_raw(const void *addr, unsigned int size)
{
	switch (size) {
	case 1:
		return *(const u8 *)addr;
	case 4:
		return *(const u32 *)addr;
	default:
		return *(const u64 *)addr;
	}
}

static inline void sim_raw_store(void *addr, unsigned int size, u64 value)
{
	switch (size) {
	case 1:
		*(u8 *)addr = value;
		break;
	case 4:
		*(u32 *)addr = value;
		break;
	default:
		*(u64 *)addr = value;
	}
}

static inline u64 sim_apply(const struct pending *p, u64 value)
{
	switch (p->kind) {
	case OR:
		return value | p->value;
	case ANDNOT:
		return value & ~p->value;
	case ADD:
		return value + p->value;
	default:
		return p->value;
	}
}

/* Entry @i comes to memory. */
static inline void sim_land(struct fiber *f, unsigned int i)
{
	struct pending p = f->buffer[i];

	f->n--;
	memmove(&f->buffer[i], &f->buffer[i + 1],
		(f->n - i) * sizeof(f->buffer[0]));
	sim_raw_store(p.addr, p.size, sim_apply(&p, sim_raw(p.addr, p.size)));
}

static inline void sim_flush(struct fiber *f)
{
	while (f->n)
		sim_land(f, 0);
}

static inline void sim_flush_all(void)
{
	unsigned int i;

	for (i = 0; i < sim.count; i++)
		sim_flush(&sim.fiber[i]);
}

/* May entry @i come to memory before those in front of it? */
static inline bool sim_may_land(const struct fiber *f, unsigned int i)
{
	unsigned int k;

	for (k = 0; k < i; k++)
		if (f->buffer[k].addr == f->buffer[i].addr ||
		    f->buffer[k].epoch != f->buffer[i].epoch)
			return false;
	return true;
}

static inline void sim_land_some(void)
{
	struct fiber *f = &sim.fiber[sim_below(sim.count)];
	unsigned int i = f->n ? sim_below(f->n) : 0;

	if (f->n && sim_may_land(f, i))
		sim_land(f, i);
}

static inline void sim_grace(void);

/* A point at which stores, callbacks and switches may happen */
static inline void sim_point(void)
{
	if (sim.atomic || !sim.now)
		return;
	if (++sim.steps > STEPS_MOST)
		sim_fail("the fibers don't end");
	if (!sim_below(sim.keep))
		sim_land_some();
	if (sim.callbacks && !sim_below(16))
		sim_grace();
	if (!sim_below(sim.stay))
		sim_switch(sim_other());
}

static inline void sim_yield(void)
{
	sim_point();
	if (sim.now)
		sim_switch(sim_other());
}

static inline void sim_push(void *addr, unsigned int size,
			    enum pending_kind kind, u64 value)
{
	struct fiber *f = sim_self();

	sim_point();
	if (sim.atomic || !sim.now) {
		struct pending p = { .kind = kind, .value = value };

		sim_raw_store(addr, size, sim_apply(&p, sim_raw(addr, size)));
		return;
	}
	if (f->n == BUFFER)
		sim_land(f, 0);
	f->buffer[f->n++] = (struct pending){
		.addr = addr,
		.value = value,
		.size = size,
		.kind = kind,
		.epoch = f->epoch,
	};
}

static inline u64 sim_load(const void *addr, unsigned int size)
{
	struct fiber *f = sim_self();
	unsigned int i;
	u64 value;

	sim_point();
	value = sim_raw(addr, size);
	for (i = 0; i < f->n; i++)
		if (f->buffer[i].addr == addr)
			value = sim_apply(&f->buffer[i], value);
	return value;
}

static inline void sim_mb(void)
{
	sim_point();
	sim_flush(sim_self());
}

static inline void sim_wmb(void)
{
	sim_self()->epoch++;
}

/* An atomic that returns the old value: a full barrier, then the change in memory */
static inline u64 sim_rmw(void *addr, unsigned int size, enum pending_kind kind,
			  u64 value)
{
	struct pending p = { .kind = kind, .value = value };
	u64 old;

	sim_mb();
	old = sim_raw(addr, size);
	sim_raw_store(addr, size, sim_apply(&p, old));
	return old;
}

static inline u64 sim_cmpxchg(void *addr, unsigned int size, u64 old, u64 new)
{
	u64 was;

	sim_mb();
	was = sim_raw(addr, size);
	if (was == old)
		sim_raw_store(addr, size, new);
	return was;
}

/* RCU ---------------------------------------------------------------------------- */

static inline void sim_read_lock(void)
{
	struct fiber *f = sim_self();

	sim_point();
	if (!f->reading++)
		f->since = ++sim.time;
}

static inline void sim_read_unlock(void)
{
	sim_self()->reading--;
	sim_point();
}

/* Have all readers left that were reading at @time? */
static inline bool sim_quiet(unsigned long time)
{
	unsigned int i;

	for (i = 1; i < sim.count; i++)
		if (sim.fiber[i].reading && sim.fiber[i].since <= time)
			return false;
	return true;
}

static inline void sim_call_rcu(struct rcu_head *head,
				void (*fn)(struct rcu_head *head))
{
	struct callback *cb = malloc(sizeof(*cb));

	*cb = (struct callback){ head, fn, ++sim.time, sim.callbacks };
	sim.callbacks = cb;
}

/* Run all callbacks that may run. */
static inline void sim_grace(void)
{
	struct callback **at = &sim.callbacks, *cb;

	sim_flush_all();
	sim.atomic = true;
	while ((cb = *at)) {
		if (!sim_quiet(cb->time)) {
			at = &cb->next;
			continue;
		}
		*at = cb->next;
		cb->fn(cb->head);
		free(cb);
	}
	sim.atomic = false;
}

static inline void sim_synchronize_rcu(void)
{
	unsigned long time = ++sim.time;

	while (!sim_quiet(time))
		sim_yield();
	sim_flush_all();
}

/* Locks and waiting ---------------------------------------------------------------- */

static inline const void **sim_find_lock(const void *lock)
{
	unsigned int i;

	for (i = 0; i < LOCKS; i++)
		if (sim.lock[i] == lock)
			return &sim.lock[i];
	return NULL;
}

static inline void sim_lock(const void *lock)
{
	const void **free;

	sim_point();
	while (sim_find_lock(lock))
		sim_yield();
	free = sim_find_lock(NULL);
	*free = lock;
	sim.holder[free - sim.lock] = sim.now;
	sim.locked++;
}

/* Does the running fiber hold @lock? */
static inline bool sim_holds(const void *lock)
{
	const void **at = sim_find_lock(lock);

	return at && sim.holder[at - sim.lock] == sim.now;
}

/* Number of locks that the running fiber holds */
static inline unsigned int sim_held(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(sim.lock); i++)
		n += sim.lock[i] && sim.holder[i] == sim.now;
	return n;
}

static inline void sim_unlock(const void *lock)
{
	sim_mb();
	*sim_find_lock(lock) = NULL;
}

static inline void sim_wait(const void *queue)
{
	struct fiber *f = sim_self();

	f->woken = false;
	f->waits = queue;
	sim_mb();
}

static inline void sim_sleep(void)
{
	while (!sim_self()->woken)
		sim_yield();
}

static inline void sim_wake_up(const void *queue)
{
	unsigned int i;

	sim_point();
	for (i = 1; i < sim.count; i++)
		if (sim.fiber[i].waits == queue)
			sim.fiber[i].woken = true;
}

/* The kernel's names --------------------------------------------------------------- */

#define sim_value(x)	((u64)(unsigned long)(x))
#define sim_typed(x, v) ((typeof(x))(unsigned long)(v))

#undef READ_ONCE
#undef WRITE_ONCE
#undef smp_load_acquire
#undef smp_store_release
#undef smp_mb
#undef smp_rmb
#undef smp_wmb
#undef smp_mb__before_atomic
#undef smp_mb__after_atomic
#define READ_ONCE(x)	    sim_typed(x, sim_load(&(x), sizeof(x)))
#define WRITE_ONCE(x, v)    sim_push(&(x), sizeof(x), STORE, sim_value(v))
#define smp_load_acquire(p) sim_typed(*(p), sim_load(p, sizeof(*(p))))
/* The store comes to memory at once: core also reads published pointers without a macro */
#define smp_store_release(p, v) \
	((void)sim_rmw(p, sizeof(*(p)), STORE, sim_value(v)))
#define smp_mb()		sim_mb()
#define smp_rmb()		((void)0)
#define smp_wmb()		sim_wmb()
#define smp_mb__before_atomic() sim_mb()
#define smp_mb__after_atomic()	sim_mb()

#undef xchg
#undef cmpxchg
#define xchg(p, v) \
	sim_typed(*(p), sim_rmw(p, sizeof(*(p)), STORE, sim_value(v)))
#define cmpxchg(p, o, n) \
	sim_typed(*(p), \
		  sim_cmpxchg(p, sizeof(*(p)), sim_value(o), sim_value(n)))

#undef atomic_read
#undef atomic_read_acquire
#undef atomic_set
#undef atomic_inc
#undef atomic_dec
#undef atomic_dec_and_test
#undef atomic_xchg
#undef atomic64_read
#undef atomic64_set
#undef atomic64_or
#undef atomic64_andnot
#undef atomic64_xchg
#undef atomic64_fetch_andnot
#undef atomic64_inc_return
#define atomic_read(v)		    ((int)sim_load(v, 4))
#define atomic_read_acquire(v)	    ((int)sim_load(v, 4))
#define atomic_set(v, n)	    sim_push(v, 4, STORE, n)
#define atomic_inc(v)		    sim_push(v, 4, ADD, 1)
#define atomic_dec(v)		    sim_push(v, 4, ADD, -1ULL)
#define atomic_dec_and_test(v)	    ((int)sim_rmw(v, 4, ADD, -1ULL) == 1)
#define atomic_xchg(v, n)	    ((int)sim_rmw(v, 4, STORE, n))
#define atomic64_read(v)	    ((s64)sim_load(v, 8))
#define atomic64_set(v, n)	    sim_push(v, 8, STORE, n)
#define atomic64_or(n, v)	    sim_push(v, 8, OR, n)
#define atomic64_andnot(n, v)	    sim_push(v, 8, ANDNOT, n)
#define atomic64_xchg(v, n)	    ((s64)sim_rmw(v, 8, STORE, n))
#define atomic64_fetch_andnot(n, v) ((s64)sim_rmw(v, 8, ANDNOT, n))
#define atomic64_inc_return(v)	    ((s64)sim_rmw(v, 8, ADD, 1) + 1)

#undef rcu_read_lock
#undef rcu_read_unlock
#undef rcu_barrier
#undef call_rcu
#undef call_rcu_few
#undef synchronize_rcu
#define rcu_read_lock()			     sim_read_lock()
#define rcu_read_unlock()		     sim_read_unlock()
#define call_rcu(head, fn)		     sim_call_rcu(head, fn)
#define call_rcu_few(head, fn, size, beside) sim_call_rcu(head, fn)
#define synchronize_rcu()		     sim_synchronize_rcu()

#undef mutex_init
#undef mutex_destroy
#undef mutex_lock
#undef mutex_unlock
#define mutex_init(l)	 ((void)(l))
#define mutex_destroy(l) ((void)(l))
#define mutex_lock(l)	 sim_lock(l)
#define mutex_unlock(l)	 sim_unlock(l)

#undef wait_event
#define init_waitqueue_head(q) ((void)(q))
#define wake_up(q)	       sim_wake_up(q)
#define wait_event(q, condition) \
	do { \
		for (sim_wait(&(q)); !(condition); sim_wait(&(q))) \
			sim_sleep(); \
		sim_self()->waits = NULL; \
	} while (0)

#undef nr_cpu_ids
#define nr_cpu_ids	       2U
#define raw_smp_processor_id() (sim.now % nr_cpu_ids)

#undef WARN_ONCE
#define WARN_ONCE(condition, ...) ((void)(condition))

#undef dmt_rcu_enter
#undef dmt_rcu_leave
#define dmt_rcu_enter()	       (sim_read_lock(), (void *)1)
#define dmt_rcu_leave(section) ((void)(section), sim_read_unlock())

/* The hints of all fibers, as of those that take turns on one processor */
__thread struct dmt_hint dmt_hint, dmt_mark_hint;

/* Memory ------------------------------------------------------------------------------ */

void *dmt_zalloc(struct dmt_host *host, size_t size)
{
	void *mem;

	(void)host;
	if (sim.deny && sim.now && !sim_below(sim.deny))
		return NULL;
	if (posix_memalign(&mem, 64, size))
		abort();
	sim.memory++;
	return memset(mem, 0, size);
}

void *dmt_zalloc_nowait(struct dmt_host *host, size_t size)
{
	return dmt_zalloc(host, size);
}

void *dmt_zalloc_small(struct dmt_host *host, size_t size)
{
	return dmt_zalloc(host, size);
}

void dmt_free_small(void *mem, size_t size)
{
	dmt_free(mem);
}

void dmt_free(void *mem)
{
	if (!mem)
		return;
	sim_flush(sim_self());
	sim.memory--;
	free(mem);
	if (sim.freed)
		sim.freed();
}

void dmt_free_blocks(struct dmt_host *host, void **block, unsigned int n)
{
	(void)host;
	while (n)
		dmt_free(block[--n]);
}

void dmt_harvested(struct dmt_host *host, u64 iova)
{
	(void)host;
	(void)iova;
}

/* Runs ---------------------------------------------------------------------------------- */

/* Begin schedule @seed; call sim_spawn() and sim_run() next. */
static inline void sim_begin(uint64_t seed)
{
	static const unsigned int often[] = { 2, 3, 6, 15, 60 };
	struct fiber *f = &sim.fiber[0];
	pthread_attr_t attr;

	if (!f->stack) {
		pthread_getattr_np(pthread_self(), &attr);
		pthread_attr_getstack(&attr, (void **)&f->stack,
				      &f->stack_size);
		pthread_attr_destroy(&attr);
	}
	sim.count = 1;
	sim.now = 0;
	sim.rng = seed;
	sim.stay = often[sim_below(ARRAY_SIZE(often))];
	sim.keep = often[sim_below(ARRAY_SIZE(often))];
	sim.deny = 0;
	sim.steps = 0;
	sim.memory = 0;
	sim.freed = NULL;
	sim.callbacks = NULL;
	sim.locked = 0;
	memset(sim.lock, 0, sizeof(sim.lock));
	sim.failed[0] = 0;
}

static inline void sim_spawn(void (*fn)(void *arg), void *arg)
{
	struct fiber *f = &sim.fiber[sim.count++];

	if (!f->stack) {
		f->stack_size = STACK;
		f->stack = malloc(STACK);
	}
	f->fn = fn;
	f->arg = arg;
	f->over = false;
	f->n = 0;
	f->epoch = 0;
	f->reading = 0;
	f->waits = NULL;
	f->fake = NULL;
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = f->stack_size;
	f->context.uc_link = NULL;
	makecontext(&f->context, sim_entry, 0);
}

/* Run until all fibers have ended and all stores have come to memory. Then check sim.failed. */
static inline void sim_run(void)
{
	sim_switch(1 + sim_below(sim.count - 1));
	sim_flush_all();
}

/* After tear-down, check that no memory is left allocated. */
static inline void sim_end(void)
{
	if (sim.failed[0])
		return;
	sim_grace();
	if (sim.memory)
		sim_fail("%ld pieces of memory are left", sim.memory);
}

static inline void sim_free_stacks(void)
{
	unsigned int i;

	for (i = 1; i < FIBERS; i++)
		free(sim.fiber[i].stack);
}

/*
 * TEST() of @n schedules; @fn runs one by its seed. The first schedule that fails ends
 * the test, and its seed is printed.
 */
static uint64_t sim_first_seed = 1;

static inline void sim_schedules(unsigned int n, void (*fn)(uint64_t seed))
{
	uint64_t seed;

	for (seed = sim_first_seed; seed < sim_first_seed + n; seed++) {
		fn(seed);
		if (sim.failed[0])
			printf("# schedule %llu: %s\n",
			       (unsigned long long)seed, sim.failed);
		CHECK(!sim.failed[0]);
	}
}

#endif
