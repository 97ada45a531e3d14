/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Live migration of a small guest from one QEMU to another, both unmodified, in
 * one machine. What its files share:
 *
 *	migrate.c	runs, what each must show, the table
 *	vmm.c		a QEMU: its start, its guest's console, its end
 *	qmp.c		QEMU's monitor
 *	lines.c		lines from a socket
 *	mdev.c		mediated devices
 *	ioctls.c	counts of each ioctl
 *	watch.c		a reader of QEMU's container beside QEMU
 *	foretell.c	what 'dmatrack watch' foretells of a migration
 *
 * An error at any point ends the run; its processes and devices are removed afterwards.
 */
#ifndef DMT_MIGRATE_H
#define DMT_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

void give_up(const char *file, int line, const char *what)
	__attribute__((noreturn));

/* End the run if @cond doesn't hold */
#define NEED(cond) \
	do { \
		if (!(cond)) \
			give_up(__FILE__, __LINE__, #cond); \
	} while (0)

/*
 * ms after which an event that hasn't come counts as failed. Where instructions are counted, the machine's
 * clock runs ahead while it waits for its disk: minutes, if that is busy. A machine that hangs for good is
 * ended by test/vm/run, by the host's clock.
 */
#define PATIENCE 3600000

/**
 * struct lines - reads a socket line by line
 * @fd: the socket, or -1
 * @used: bytes in @data
 * @taken: bytes of @data that the last returned line takes
 * @data: bytes received
 */
struct lines {
	int fd;
	size_t used, taken;
	char data[65536];
};

char *lines_next(struct lines *l);

/**
 * struct qmp - a connection to a QEMU's monitor
 * @lines: lines from the monitor
 * @status: the migration's status, by its last event
 * @pass: number of the migration's round
 */
struct qmp {
	struct lines lines;
	char status[32];
	unsigned int pass;
};

void qmp_begin(struct qmp *q);
const char *qmp_call(struct qmp *q, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void qmp_wait(struct qmp *q);
unsigned long long json_number(const char *text, const char *part,
			       const char *key);

/**
 * struct vmm - a QEMU
 * @pid: its process, or 0
 * @mdev: the UUID of its device, or an empty string
 * @qmp: its monitor
 * @console: lines of its guest's console
 */
struct vmm {
	pid_t pid;
	char mdev[40];
	struct qmp qmp;
	struct lines console;
};

/**
 * struct setup - options of all runs
 * @qemu: path of the QEMU program
 * @guest: path of the guest's image
 * @log: path of the file for QEMU's messages
 * @iommu: give the guest an IOMMU
 * @append: the guest's command line, or NULL
 */
struct setup {
	const char *qemu;
	const char *guest;
	const char *log;
	bool iommu;
	const char *append;
};

void vmm_init(struct vmm *v);
void vmm_start(struct vmm *v, const struct setup *s, bool incoming);
void vmm_end(struct vmm *v);
void vmm_kill(struct vmm *v);

int mdev_create(char uuid[40]);
void mdev_remove(const char *uuid);

/* What a watcher saw: its harvests, dirty pages, and an error of one, or 0 */
struct watched {
	unsigned long harvests, pages;
	int error;
};

/* Watch a QEMU's container, from now on, until watch_end(). */
void watch_start(pid_t pid);
void watch_end(struct watched *seen);

/**
 * struct foretold - a migration as 'dmatrack watch' foretells it
 * @ends: whether it ends
 * @rounds: number of rounds
 * @bytes: bytes sent
 * @ms: its time
 */
struct foretold {
	bool ends;
	unsigned long rounds, bytes, ms;
};

/*
 * Watch a QEMU for @seconds. Bandwidth in bytes a second and the allowed downtime in ms are those of the
 * migration.
 */
void foretell(pid_t pid, unsigned int seconds, unsigned long bandwidth,
	      unsigned int downtime, struct foretold *f);

/* Make an image of a QEMU by 'dmatrack snapshot'. Return: number of pages that are wrong */
unsigned long snapshot_take(pid_t pid, unsigned int i);

/* Number of calls since ioctls_start(), of all processes; -1: not known */
struct ioctls {
	long map, unmap, dirty, all;
};

void ioctls_start(void);
void ioctls_read(struct ioctls *n);

#endif
