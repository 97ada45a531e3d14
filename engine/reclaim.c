// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reclaim: see reclaim.h. */
#include "reclaim.h"

/*
 * The queue is a stack that callers push to, and that is taken as a whole by the one
 * thread that holds @running. The push is a release, the take an acquire: the callback
 * sees what the caller wrote to its object.
 *
 * Callbacks that are pushed after a take don't belong to the grace period that follows, and
 * wait for the next take. A thread that finds @running held leaves its callbacks to the thread
 * that holds it, which checks the queue once more after it has released @running: push,
 * barrier, try @running here; release @running, barrier, check whether any is due there.
 *
 * @waiting is increased behind a push, and cleared before a take. So once a push has returned, it
 * counts what the callback frees until a take has got it; if it counts one that a take has got
 * already, an empty queue may be taken, which does no harm.
 */
static struct rcu_head *queue;
static u64 waiting; /* DMT_LAZY_BYTES or more: the callbacks are due */
static pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER;

#ifdef __SANITIZE_THREAD__
char dmt_tsan_rcu;
#define released() __tsan_release(&dmt_tsan_rcu)
#define acquired() __tsan_acquire(&dmt_tsan_rcu)
#else
#define released() ((void)0)
#define acquired() ((void)0)
#endif

void dmt_call_rcu_lazy(struct rcu_head *head,
		       void (*func)(struct rcu_head *head), u64 size)
{
	struct rcu_head *first = __atomic_load_n(&queue, __ATOMIC_RELAXED);

	released();
	head->func = func;
	do
		head->next.next = (void *)first;
	while (!__atomic_compare_exchange_n(&queue, &first, head, true,
					    __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
	__atomic_fetch_add(&waiting, size, __ATOMIC_RELEASE);
}

void dmt_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	dmt_call_rcu_lazy(head, func, DMT_LAZY_BYTES);
}

/* DMT_LAZY_BYTES stand for all that may wait. */
void dmt_call_rcu_few(struct rcu_head *head,
		      void (*func)(struct rcu_head *head), u64 size, u64 beside)
{
	u64 most = max((u64)DMT_LAZY_BYTES, beside / DMT_FEW_OF);

	dmt_call_rcu_lazy(head, func,
			  DIV_ROUND_UP(min(size, most) * DMT_LAZY_BYTES, most));
}

/* @running is held. */
static void run_queued(void)
{
	struct rcu_head *head, *next;

	__atomic_exchange_n(&waiting, 0, __ATOMIC_ACQUIRE);
	head = __atomic_exchange_n(&queue, NULL, __ATOMIC_ACQUIRE);
	if (!head)
		return;
	synchronize_rcu();
	acquired();
	for (; head; head = next) {
		next = (void *)head->next.next;
		head->func(head);
	}
}

void dmt_reclaim(void)
{
	while (__atomic_load_n(&waiting, __ATOMIC_RELAXED) >= DMT_LAZY_BYTES) {
		smp_mb();
		if (pthread_mutex_trylock(&running))
			return;
		run_queued();
		pthread_mutex_unlock(&running);
		smp_mb();
	}
}

void dmt_rcu_barrier(void)
{
	pthread_mutex_lock(&running);
	run_queued();
	pthread_mutex_unlock(&running);
}

/* A child has one thread: locks that others held must be free there, and RCU must forget them. */

static void before_fork(void)
{
	pthread_mutex_lock(&running);
	urcu_bp_before_fork();
}

static void in_parent(void)
{
	urcu_bp_after_fork_parent();
	pthread_mutex_unlock(&running);
}

static void in_child(void)
{
	urcu_bp_after_fork_child();
	pthread_mutex_unlock(&running);
}

static int failed;

static void handle_fork(void)
{
	failed = pthread_atfork(before_fork, in_parent, in_child);
}

int dmt_reclaim_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, handle_fork);
	return -failed;
}
