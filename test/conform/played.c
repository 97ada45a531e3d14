// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <stdlib.h>

#include "devices/ops.h"
#include "engine/iommu.h"
#include "played.h"
#include "devices/runner.h"

/**
 * struct played - a PCI device
 * @base: the device's common part
 * @e: the container
 * @group: the device's IOMMU group
 * @runner: the device's threads
 */
struct played {
	struct dev_device base;
	struct dmatrack_engine *e;
	struct iommu_group group;
	struct dev_runner *runner;
};

static struct played *to_played(struct dev_device *d)
{
	return (struct played *)d;
}

/* As with a real device, DMA that the IOMMU blocks returns no error. */
static int played_write(struct dev_device *d, uint64_t iova, const void *data,
			size_t size)
{
	dmt_iommu_dma(&to_played(d)->group, iova, (void *)data, size, true);
	return 0;
}

static int played_read(struct dev_device *d, uint64_t iova, void *data,
		       size_t size)
{
	dmt_iommu_dma(&to_played(d)->group, iova, data, size, false);
	return 0;
}

static int run_write(void *opaque, uint64_t iova, const void *data, size_t size,
		     bool pinned, uint64_t *ns)
{
	*ns = 0;
	return pinned ? -EOPNOTSUPP : played_write(opaque, iova, data, size);
}

static int played_run(struct dev_device *d, const struct tdev_run *run)
{
	return dev_runner_start(to_played(d)->runner, run);
}

static int played_halt(struct dev_device *d)
{
	dev_runner_halt(to_played(d)->runner);
	return 0;
}

static int played_wait(struct dev_device *d)
{
	dev_runner_wait(to_played(d)->runner);
	return 0;
}

static int played_stats(struct dev_device *d, struct tdev_stats *stats)
{
	dev_runner_stats(to_played(d)->runner, stats);
	return 0;
}

static void played_close(struct dev_device *d)
{
	dev_runner_free(to_played(d)->runner);
	dmatrack_engine_detach(to_played(d)->e, &to_played(d)->group);
	free(d);
}

static const struct dev_ops played_ops = {
	.kind = "played",
	.reach = UINT64_MAX,
	.close = played_close,
	.write = played_write,
	.read = played_read,
	.run = played_run,
	.halt = played_halt,
	.wait = played_wait,
	.stats = played_stats,
};

#define PCI_DEVICES (NARROW_DEVICE + 1)

bool played_apart, played_dirty_bits;

static void make_narrow(struct iommu_group *group)
{
	static struct dmt_iova_range reserved[] = {
		{ NARROW_RESERVED, NARROW_RESERVED + 0xffff },
		{ 0xfee00000, 0xfeefffff },
	};

	group->info.last = UINT32_MAX;
	group->info.coherent = false;
	group->reserved.range = reserved;
	group->reserved.nr = 2;
}

static int add_pci(struct dev_device **d, unsigned int n)
{
	struct played *p;
	int ret;

	static const char kinds[PCI_DEVICES];

	if (n >= PCI_DEVICES)
		return -ENODEV;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->base.ops = &played_ops;
	p->e = dmatrack_get_engine(bed.t);
	dmt_iommu_group_init(&p->group);
	if (played_apart)
		p->group.info.kind = &kinds[n];
	p->group.info.dirty_bits = played_dirty_bits && n < 2;
	if (n == NARROW_DEVICE)
		make_narrow(&p->group);
	p->runner = dev_runner_new(run_write, p);
	ret = p->runner ? dmatrack_engine_attach(p->e, &p->group) : -ENOMEM;
	if (ret) {
		if (p->runner)
			dev_runner_free(p->runner);
		free(p);
		return ret;
	}
	*d = &p->base;
	return 0;
}

static int add_own(struct dev_device **d, unsigned int n)
{
	int ret;

	if (n)
		return -ENODEV;
	ret = dmatrack_engine_emulated(dmatrack_get_engine(bed.t), true);
	return ret ? ret : dev_open(d, bed.t);
}

int played_open(struct dmatrack **t, unsigned int type)
{
	int ret = dmatrack_open_engine(t, type, DMATRACK_ENGINE_CHECKED);

	return ret ? ret :
		     dmatrack_engine_emulated(dmatrack_get_engine(*t), false);
}

int played_add(struct dev_device **d, unsigned int kind, unsigned int n)
{
	return kind == IOMMU ? add_pci(d, n) : add_own(d, n);
}

void played_remove(struct dev_device *d)
{
	bool own = strcmp(dev_kind(d), "played");

	dev_close(d);
	if (own)
		dmatrack_engine_emulated(dmatrack_get_engine(bed.t), false);
}
