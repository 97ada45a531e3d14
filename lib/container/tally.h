/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Tally: counts of the calls that change a container's log, for a copy that must be its only
 * reader (lib/precopy/reader.h).
 *
 * dmatrack.ko and the engine count the calls of all programs (DMATRACK_GET_LOG). For the stock
 * driver, which doesn't, the library counts the calls that are made through the same struct
 * dmatrack; it can't see those of other programs.
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
 * struct dml_tally - counts for a driver that doesn't count
 * @lock: protects all members
 * @tracking: whether writes are logged
 * @taken: number of calls, as in struct dmatrack_get_log
 * @unread: ranges whose log was discarded unread
 */
struct dml_tally {
	pthread_mutex_t lock;
	bool tracking;
	uint64_t taken;
	struct dmt_unread unread;
};

/* Make the call @cmd by @ioctl, and count it */
long dml_tally_count(struct dmatrack *t, unsigned long cmd, unsigned long arg,
		     long (*ioctl)(struct dmatrack *t, unsigned long cmd,
				   unsigned long arg));

/* DMATRACK_GET_LOG, whatever the driver. Return: 0 or -errno, with the thread's text */
int dml_tally_read(struct dmatrack *t, struct dmatrack_get_log *get);

/*
 * Reserve @t for one copy at a time. A view is switched off, as a container is that isn't tracked. Return:
 * false: another copy has it
 */
bool dml_tally_claim(struct dmatrack *t);
void dml_tally_release(struct dmatrack *t);

#endif
