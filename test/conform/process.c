// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A container that two processes share: a mapping's memory is that of its mapper. */
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "uapi/dmatrack.h"

/* A process that runs a function and ends at the test's order */
struct owner {
	pid_t pid;
	int told;
};

static bool map_8(void)
{
	return !map(BASE, memory(8 * PAGE), 8 * PAGE, MAP_RW);
}

static struct owner owner_fork(bool (*fn)(void))
{
	int ready[2], told[2];
	char c = 0;
	pid_t pid;

	ASSERT_OK(pipe(ready) | pipe(told));
	pid = fork();
	if (!pid) {
		close(told[1]);
		c = !fn();
		if (write(ready[1], &c, 1) == 1)
			while (read(told[0], &c, 1) > 0)
				;
		_exit(0);
	}
	ASSERT(pid > 0);
	ASSERT_EQ(read(ready[0], &c, 1), 1);
	ASSERT_EQ(c, 0);
	return (struct owner){ .pid = pid, .told = told[1] };
}

static void owner_end(const struct owner *o)
{
	close(o->told);
	ASSERT_EQ(waitpid(o->pid, NULL, 0), o->pid);
}

/* A copy by the caller can't reach another process's memory; a pin can. */
CASE(process_of_another, EMULATED | KERNEL)
{
	struct owner o = owner_fork(map_8);
	char got[4] = "";

	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE, 1), -EFAULT);
	EXPECT_EQ(dma_read(BASE, got, 1), -EFAULT);
	EXPECT_CLEAN(BASE, 8);
	EXPECT_OK(pin(BASE + PAGE, 1, PIN_W));
	EXPECT_OK(dev_pinned_write(bed.d, BASE + PAGE, "abc", 4));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_CLEAN(BASE, 8);
	owner_end(&o);
}

/* The owner has ended, and its memory is gone but for the pages that are pinned. */
CASE(process_gone, EMULATED | KERNEL)
{
	struct owner o = owner_fork(map_8);

	ASSERT_OK(start());
	EXPECT_OK(pin(BASE + PAGE, 2, PIN_W));
	owner_end(&o);
	EXPECT_EQ(dma_write(BASE, 1), -EPERM);
	EXPECT_EQ(pin(BASE + 5 * PAGE, 1, PIN_W), -ENODEV);
	EXPECT_OK(dev_pinned_write(bed.d, BASE + PAGE, "abc", 4));
	EXPECT_DIRTY(BASE, 8, "1-2");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "1-2");
	EXPECT_DIRTY(BASE, 8, "2");
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	mapped(BASE, 8);
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_DIRTY(BASE, 8, "0");
}

/* Locked memory is charged to the owner. */
CASE(process_iommu_memory, IOMMU | KERNEL | UNSEEN)
{
	struct owner o = owner_fork(map_8);

	EXPECT_EQ(proc_kb("/proc/self/status", "VmLck"), 0);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 8, "0-7");
	owner_end(&o);
	EXPECT_DIRTY(BASE, 8, "0-7");
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
}

/* Another process gives the new address, and is charged from then on. */

#define VADDR VFIO_DMA_MAP_FLAG_VADDR

static bool take_over(void)
{
	return !map(BASE, memory(8 * PAGE), 8 * PAGE, VADDR) && locked() == 32;
}

static bool cant_take_over(void)
{
	limit_locked(16);
	return map(BASE, memory(8 * PAGE), 8 * PAGE, VADDR) == -ENOMEM &&
	       !locked();
}

CASE(process_update_vaddr, IOMMU | KERNEL | UNSEEN)
{
	struct owner o;

	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, 8 * PAGE, NULL));
	o = owner_fork(cant_take_over);
	EXPECT_EQ(locked(), 32);
	owner_end(&o);
	o = owner_fork(take_over);
	EXPECT_EQ(locked(), 0);
	EXPECT_DIRTY(BASE, 8, "0-7");
	ASSERT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, 8 * PAGE, NULL));
	owner_end(&o);
	/* the process charged until now has ended */
	EXPECT_OK(map(BASE, memory(8 * PAGE), 8 * PAGE, VADDR));
	EXPECT_EQ(locked(), 32);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* A mapping's address is told only to processes that may read its owner's memory. */

static void list_one(struct dmatrack_mapping_entry *e)
{
	struct dmatrack_get_mappings get = {
		.argsz = sizeof(get),
		.count = 1,
		.entries = (uintptr_t)e,
	};

	ASSERT_OK(call(DMATRACK_GET_MAPPINGS, &get));
	ASSERT_EQ(get.count, 1);
	EXPECT_EQ(e->iova, BASE);
}

static void drop_ptrace(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	ASSERT_OK(syscall(SYS_capget, &h, d));
	d[0].effective &= ~(1u << CAP_SYS_PTRACE);
	ASSERT_OK(syscall(SYS_capset, &h, d));
}

CASE(process_list, ANY | KERNEL)
{
	struct owner o = owner_fork(map_8);
	struct dmatrack_mapping_entry e;

	list_one(&e);
	EXPECT(e.vaddr && e.flags & DMATRACK_MAPPING_VADDR);
	drop_ptrace();
	list_one(&e);
	EXPECT_EQ(e.vaddr, 0);
	EXPECT_EQ(e.flags & DMATRACK_MAPPING_VADDR, 0);
	owner_end(&o);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	mapped(BASE, 8);
	list_one(&e);
	EXPECT(e.vaddr && e.flags & DMATRACK_MAPPING_VADDR);
}
