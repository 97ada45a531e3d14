/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Intake: frames of memory that a receiver has read and checked, on their way to the destination.
 * While its thread reads the next frames, one thread of the library calls the destination's write()
 * and zero(), in the order of the frames, and others decompress.
 *
 * Three kinds of threads. The receiver's puts frames; it calls the destination itself (round(),
 * digest() and others) only after dml_intake_drain(): so the destination is never called by two
 * threads at a time, and each sees what the other did, as the queue's lock lies between them. The
 * writer removes frames from the queue. Two workers decompress: writing takes about as long as
 * decompressing with two. Without memory for a thread, the receiver's does its work.
 *
 * At most DML_INTAKE_FRAMES are on their way; they have buffers of DMATRACK_WRITE_MAX bytes at most,
 * two if they are compressed.
 *
 * After an error the frames behind it are dropped, and the receiver's wait for more is ended by
 * @stop. A channel of the program doesn't know @stop: there the next frame shows the error.
 */
#ifndef DML_STREAM_INTAKE_H
#define DML_STREAM_INTAKE_H

#include <zstd.h>

#include "lib/util/error.h"
#include "lib/util/jobs.h"
#include "wire.h"

#define DML_INTAKE_FRAMES  8u
#define DML_INTAKE_WORKERS 2u

/**
 * struct dml_intake_frame - a frame on its way
 * @f: the frame
 * @payload: buffer of its payload
 * @room: bytes that @payload has room for
 * @unpacked: buffer for its memory, if it's compressed
 * @unpacked_room: bytes that @unpacked has room for
 * @got: bytes decompressed, or zstd's error
 */
struct dml_intake_frame {
	struct dml_frame f;
	void *payload;
	size_t room;
	void *unpacked;
	size_t unpacked_room;
	size_t got;
};

/**
 * struct dml_intake_counts - counts of what was carried out
 * @data: bytes of memory written
 * @zeros: bytes of memory zeroed
 * @payload: bytes of payload
 * @frames: number of frames
 */
struct dml_intake_counts {
	uint64_t data;
	uint64_t zeros;
	uint64_t payload;
	uint64_t frames;
};

/**
 * struct dml_intake - the frames on their way
 * @dest: the destination
 * @ops: its functions
 * @jobs: the queue
 * @frames: its slots
 * @zstd: a decompressor for each thread that may decompress; NULL until one is needed
 * @has_writer: whether there is a writer
 * @writer: the thread that calls the destination
 * @stop: set after an error
 * @lock: protects @counts, @error, @text
 * @counts: counts of the copy so far
 * @error: error of the destination or of a frame; 0: none
 * @text: its text
 */
struct dml_intake {
	struct dmatrack_dest *dest;
	const struct dmatrack_dest_ops *ops;
	struct dml_jobs jobs;
	struct dml_intake_frame frames[DML_INTAKE_FRAMES];
	ZSTD_DCtx *zstd[DML_JOBS_WORKERS + 1];
	bool has_writer;
	pthread_t writer;
	struct dmatrack_cancel *stop;
	pthread_mutex_t lock;
	struct dml_intake_counts counts;
	int error;
	struct dml_text text;
};

/* Return: 0 or -errno; then nothing needs to be freed */
int dml_intake_init(struct dml_intake *in, struct dmatrack_dest *dest,
		    const struct dmatrack_dest_ops *ops);
void dml_intake_fini(struct dml_intake *in);

/*
 * Put a DATA or ZERO frame, whose fields are valid, and take its payload out of @w. Waits for room.
 * Return: 0 or -ENOMEM
 */
int dml_intake_put(struct dml_intake *in, struct dml_wire *w,
		   const struct dml_frame *f);

/* Return: number of frames that aren't carried out yet */
unsigned int dml_intake_left(struct dml_intake *in);
/* Wait until there are none. */
void dml_intake_drain(struct dml_intake *in);
/* @counts: out: counts so far. Return: 0, or the first error, whose text is set */
int dml_intake_result(struct dml_intake *in, struct dml_intake_counts *counts);

/* Handle a destination's error. -EAGAIN is one, too: a receiver can't recover a lost destination. */
int dml_intake_dest_error(int err, const char *what);

#endif
