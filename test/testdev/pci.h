/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mediated PCI device: declarations shared by its files.
 *
 *	pci.c		the device: configuration space, registers, its ioctls
 *	pci_engine.c	the kernel thread that writes
 *	migration.c	states and streams
 *
 * The user's view of it is in testdev_pci.h.
 */
#ifndef TDEV_PCI_H
#define TDEV_PCI_H

#include <linux/completion.h>
#include <linux/wait.h>

#include "device.h"
#include "testdev_pci.h"

#define TDEV_PCI_CONFIG_SIZE 256

struct tdev_mig_file;

/**
 * struct tdev_pci_engine - the thread that writes, if there is one
 * @task: a reference to the thread, or NULL. Under the device's lock
 * @stop: tells the thread to end
 * @wait: woken when @stop is set
 * @ended: the thread touches neither memory nor the device any more
 * @pages: pages of an operation that pins
 * @data: data that an operation writes
 */
struct tdev_pci_engine {
	struct task_struct *task;
	bool stop;
	wait_queue_head_t wait;
	struct completion ended;
	struct page *pages[TDEV_PCI_SIZE_MAX / PAGE_SIZE + 1];
	__le32 data[TDEV_PCI_SIZE_MAX / 4];
};

/**
 * struct tdev_pci - one mediated PCI device
 * @vdev: the device in the VFIO core
 * @pins: the pages that it holds
 * @engine: its thread
 * @lock: protects the members below, and starting and ending the thread
 * @regs: the registers. While there is a thread, only the thread changes them, and
 *	  only the counters
 * @config: configuration space
 * @mig_state: the migration's state
 * @saving: the stream being read, or NULL
 * @loading: the stream being written, or NULL
 */
struct tdev_pci {
	struct vfio_device vdev;
	struct tdev_pins pins;
	struct tdev_pci_engine engine;
	struct mutex lock;
	u32 regs[TDEV_PCI_REGS];
	u8 config[TDEV_PCI_CONFIG_SIZE];
	enum vfio_device_mig_state mig_state;
	struct tdev_mig_file *saving;
	struct tdev_mig_file *loading;
};

static inline u32 tdev_pci_reg(const struct tdev_pci *dev, unsigned int reg)
{
	return READ_ONCE(dev->regs[reg / 4]);
}

static inline void tdev_pci_set(struct tdev_pci *dev, unsigned int reg,
				u32 value)
{
	WRITE_ONCE(dev->regs[reg / 4], value);
}

static inline u64 tdev_pci_iova(const struct tdev_pci *dev)
{
	return tdev_pci_reg(dev, TDEV_PCI_IOVA_LOW) |
	       (u64)tdev_pci_reg(dev, TDEV_PCI_IOVA_HIGH) << 32;
}

int __init tdev_pci_init(void);
void tdev_pci_exit(void);
bool tdev_pci_sane(const u32 *regs);
bool tdev_pci_master(const struct tdev_pci *dev);
void tdev_pci_load_config(struct tdev_pci *dev, const void *config,
			  size_t size);

void tdev_pci_engine_init(struct tdev_pci *dev);
int tdev_pci_engine_update(struct tdev_pci *dev, bool may_run);
int tdev_pci_update(struct tdev_pci *dev);

void tdev_mig_init(struct tdev_pci *dev);
bool tdev_mig_running(enum vfio_device_mig_state state);
void tdev_mig_reset(struct tdev_pci *dev);

#endif
