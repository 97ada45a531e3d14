// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A module that misbehaves on order, for test/vm/selftest: a harness that doesn't find
 * one of these faults proves nothing about dmatrack.ko.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *how = "";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how,
		 "well, or faults that this file lists, with commas between");

static void warn(void)
{
	WARN_ON(1);
}

/* Take a reference to this module for ever. */
static void hold(void)
{
	__module_get(THIS_MODULE);
}

/* For 6.12-kasan ------------------------------------------------------------- */

static void use_after_free(void)
{
	u64 *mem = kmalloc(64, GFP_KERNEL);

	kfree(mem);
	WRITE_ONCE(*mem, 1);
}

static void leak(void)
{
	u64 *mem = kmalloc(64, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(mem);
}

/* Take two locks in one order, then in the other; in one thread, so without a deadlock. */
static void lock_order(void)
{
	static DEFINE_MUTEX(first);
	static DEFINE_MUTEX(second);

	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void sleep_in_atomic(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	msleep(1);
	spin_unlock(&lock);
}

static void shift_too_far(void)
{
	volatile int shift = 40;
	volatile int result;

	result = 1 << shift;
	(void)result;
}

/* For 6.12-kcsan ------------------------------------------------------------- */

static unsigned long counter;
static struct completion counted;

static int count(void *unused)
{
	unsigned int i;

	for (i = 0; i < 4000000; i++) {
		counter++;
		barrier();
	}
	complete(&counted);
	return 0;
}

static void race(void)
{
	unsigned int i, n = 0;

	init_completion(&counted);
	for (i = 0; i < 2; i++)
		n += !IS_ERR(kthread_run(count, NULL, "faulty"));
	while (n--)
		wait_for_completion(&counted);
	msleep(10); /* until the threads have left this module's code */
}

static const struct {
	const char *how;
	void (*misbehave)(void);
} faults[] = {
	{ "warn", warn },
	{ "hold", hold },
	{ "use-after-free", use_after_free },
	{ "leak", leak },
	{ "lock-order", lock_order },
	{ "sleep-in-atomic", sleep_in_atomic },
	{ "shift-too-far", shift_too_far },
	{ "race", race },
};

static int misbehave(const char *fault)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(fault, faults[i].how))
			faults[i].misbehave();
	return strcmp(fault, "fail") ? 0 : -EINVAL;
}

static int __init faulty_init(void)
{
	char *rest = how, *fault;
	int err = 0;

	while (!err && (fault = strsep(&rest, ",")))
		err = misbehave(fault);
	return err;
}

static void __exit faulty_exit(void)
{
}

module_init(faulty_init);
module_exit(faulty_exit);
MODULE_DESCRIPTION("Misbehaves on order");
MODULE_LICENSE("Dual MIT/GPL");
