/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Sync: what is written to a file goes to disk meanwhile, by a thread that comes when there's
 * enough to do, so that waiting for the disk is short.
 *
 * Passes are of much at a time, one at a time: pages that were written here and there
 * are far quicker for a disk if it gets many of them at once. One thread calls.
 */
#ifndef DML_IMAGE_IMAGE_SYNC_H
#define DML_IMAGE_IMAGE_SYNC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct dml_image_sync - a file
 * @thread: at work, if @running
 * @done: it has ended
 * @fd: the file
 * @error: what a pass has met; the caller's when it has been waited for
 * @left: bytes written since the last pass began
 */
struct dml_image_sync {
	pthread_t thread;
	bool running;
	atomic_bool done;
	int fd;
	int error;
	uint64_t left;
};

/* @size bytes have been written to @fd. */
void dml_image_sync_written(struct dml_image_sync *s, int fd, uint64_t size);

/* Wait until all is on disk. Return: 0 or -errno, also of an earlier pass */
int dml_image_sync_wait(struct dml_image_sync *s, int fd);

/* Forget what there was: nobody waits for the disk, but for the thread. */
void dml_image_sync_end(struct dml_image_sync *s);

#endif
