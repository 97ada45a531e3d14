/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Sync: a thread writes a file's data to disk while more is written, so that the final wait for
 * the disk is short.
 *
 * A pass begins only when there's much to write, and after the one before: a disk writes scattered
 * pages much faster if it gets many of them at once. Not safe for concurrent callers.
 */
#ifndef DML_IMAGE_IMAGE_SYNC_H
#define DML_IMAGE_IMAGE_SYNC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct dml_image_sync - the state of a file's sync
 * @thread: the thread of the current pass, if @running
 * @running: whether @thread has to be joined
 * @done: whether the pass has ended
 * @fd: descriptor of the file
 * @error: 0, or -errno of a pass; read it only after joining @thread
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

/* The caller has written @size bytes to @fd: begin a pass if that's enough. */
void dml_image_sync_written(struct dml_image_sync *s, int fd, uint64_t size);

/* Wait until all is on disk. Return: 0 or -errno, also of an earlier pass */
int dml_image_sync_wait(struct dml_image_sync *s, int fd);

/* Reset the state, with a wait for the thread, but without one for data that isn't on disk yet. */
void dml_image_sync_end(struct dml_image_sync *s);

#endif
