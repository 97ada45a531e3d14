/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Tally: what was done to a container's log, for a copy that must be its only reader
 * (lib/precopy/reader.h).
 *
 * dmatrack.ko and the engine count it themselves (DMATRACK_GET_LOG), whatever program
 * does it. The stock driver doesn't: there the library counts the calls that are made
 * through the same struct dmatrack, and can't see other programs'.
 *
 * libdmatrack-copy calls dml_tally_read(), dml_tally_claim() and dml_tally_release(): the
 * only functions that libdmatrack exports without declaring them to programs.
 */
#ifndef DML_CONTAINER_TALLY_H
#define DML_CONTAINER_TALLY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/unread.h"
#include "uapi/dmatrack.h"

struct dmatrack;

/**
 * struct dml_tally - what was done to a log whose driver doesn't count it
 * @lock: of all of it
 * @tracking: writes are logged
 * @taken: as in struct dmatrack_get_log
 * @unread: where the log went unread
 */
struct dml_tally {
	pthread_mutex_t lock;
	bool tracking;
	uint64_t taken;
	struct dmt_unread unread;
};

/* Make @ioctl's call @cmd, and count it, for a driver that doesn't */
long dml_tally_count(struct dmatrack *t, unsigned long cmd, unsigned long arg,
		     long (*ioctl)(struct dmatrack *t, unsigned long cmd,
				   unsigned long arg));

/* DMATRACK_GET_LOG, whatever the driver. Return: 0 or -errno, with the thread's text */
int dml_tally_read(struct dmatrack *t, struct dmatrack_get_log *get);

/* For one copy at a time. Return: false: another has it */
bool dml_tally_claim(struct dmatrack *t);
void dml_tally_release(struct dmatrack *t);

#endif
