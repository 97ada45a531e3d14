/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Packer: compresses a sender's frames in threads, as many as there are processors. Frames leave it
 * in the order in which they were added.
 *
 * The sender's thread adds frames and removes them; the workers only compress, from a buffer of a
 * frame to another one: see jobs.h for what protects these. There are as many frames as workers, and
 * two more, so that no worker waits while the sender reads memory or sends.
 */
#ifndef DML_STREAM_PACKER_H
#define DML_STREAM_PACKER_H

#include <zstd.h>

#include "lib/util/jobs.h"
#include "wire.h"

/**
 * struct dml_packer_frame - a frame
 * @f: the frame; its payload is @data or @packed
 * @data: buffer of the memory
 * @room: bytes that @data has room for
 * @packed: buffer for the compressed memory
 * @packed_room: bytes that @packed has room for
 */
struct dml_packer_frame {
	struct dml_frame f;
	void *data;
	size_t room;
	void *packed;
	size_t packed_room;
};

/**
 * struct dml_packer - frames that are being compressed
 * @on: whether it's in use; if not, no other member is valid
 * @jobs: the queue
 * @frames: its slots
 * @zstd: a compressor for each worker, and for the sender's thread
 */
struct dml_packer {
	bool on;
	struct dml_jobs jobs;
	struct dml_packer_frame frames[DML_JOBS_MAX];
	ZSTD_CCtx *zstd[DML_JOBS_WORKERS + 1];
};

/* Return: 0, -ENOMEM, -EINVAL: zstd has no such level. Call dml_packer_fini() after an error, too */
int dml_packer_init(struct dml_packer *p, int level);
void dml_packer_fini(struct dml_packer *p);

/* Return: number of frames in it */
unsigned int dml_packer_left(struct dml_packer *p);
/* Return: the largest number */
unsigned int dml_packer_most(const struct dml_packer *p);

/* Add a DATA or ZERO frame; its payload is copied. There must be room. Return: 0, -ENOMEM */
int dml_packer_add(struct dml_packer *p, const struct dml_frame *f);

/*
 * Return: the first frame; compressed, if that makes it shorter. @wait: false: NULL if there is none,
 * or it isn't ready; true: there must be one
 */
const struct dml_frame *dml_packer_first(struct dml_packer *p, bool wait);
/* Remove it. */
void dml_packer_remove(struct dml_packer *p);

#endif
