// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A module that misbehaves as told, for test/vm/selftest: a harness that lets
 * one of these pass proves nothing about dmatrack.ko.
 */
#include <linux/module.h>

static char *how = "";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "warn, hold (its own reference for ever) or fail");

static int __init faulty_init(void)
{
	WARN_ON(!strcmp(how, "warn"));
	if (!strcmp(how, "hold"))
		__module_get(THIS_MODULE);
	return strcmp(how, "fail") ? 0 : -EINVAL;
}

static void __exit faulty_exit(void)
{
}

module_init(faulty_init);
module_exit(faulty_exit);
MODULE_DESCRIPTION("Misbehaves as told");
MODULE_LICENSE("Dual MIT/GPL");
