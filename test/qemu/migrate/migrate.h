/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Live migration of a small guest from one QEMU to another, both unmodified, in
 * one machine. What its files share:
 *
 *	migrate.c	runs, what each must show, the table
 *	vmm.c		a QEMU: started, its guest's console, ended
 *	qmp.c		QEMU's monitor
 *	lines.c		lines from a socket
 *	mdev.c		mediated devices
 *	ioctls.c	how often which ioctl was called
 *
 * What goes wrong in a run ends it, from wherever it has got to; what it has
 * made is taken down afterwards.
 */
#ifndef DMT_MIGRATE_H
#define DMT_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

void give_up(const char *file, int line, const char *what)
	__attribute__((noreturn));

/* End the run if @cond doesn't hold */
#define NEED(cond)							\
	do {								\
		if (!(cond))						\
			give_up(__FILE__, __LINE__, #cond);		\
	} while (0)

/* Nothing that is waited for takes so long (ms): what doesn't come has failed */
#define PATIENCE	120000

/**
 * struct lines - what comes from a socket, line by line
 * @fd: the socket, or -1
 * @used: bytes in @data
 * @taken: of them, those of the line returned last
 * @data: what has come
 */
struct lines {
	int fd;
	size_t used, taken;
	char data[65536];
};

char *lines_next(struct lines *l);

/**
 * struct qmp - a monitor
 * @lines: from it
 * @status: of the migration, as its last event said
 * @pass: the round that it is in
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
 * @console: of its guest
 */
struct vmm {
	pid_t pid;
	char mdev[40];
	struct qmp qmp;
	struct lines console;
};

/**
 * struct setup - what all runs have in common
 * @qemu: the program
 * @guest: the guest's image
 * @log: where QEMU's messages go
 * @iommu: give it an IOMMU
 */
struct setup {
	const char *qemu;
	const char *guest;
	const char *log;
	bool iommu;
};

void vmm_init(struct vmm *v);
void vmm_start(struct vmm *v, const struct setup *s, bool incoming);
void vmm_end(struct vmm *v);
void vmm_kill(struct vmm *v);

int mdev_create(char uuid[40]);
void mdev_remove(const char *uuid);

/* Calls since ioctls_start(), of all processes; -1: it isn't known */
struct ioctls {
	long map, unmap, dirty, all;
};

void ioctls_start(void);
void ioctls_read(struct ioctls *n);

#endif
