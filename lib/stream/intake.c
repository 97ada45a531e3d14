// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Intake: see intake.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "intake.h"
#include "lib/util/thread.h"

int dml_intake_dest_error(int err, const char *what)
{
	if (err == -EAGAIN)
		return dml_error(-EIO, "receiver: %s: the destination was lost",
				 what);
	return dml_error_foreign(err, what);
}

static void decompress(void *opaque, unsigned int slot, unsigned int worker)
{
	struct dml_intake *in = opaque;
	struct dml_intake_frame *i = &in->frames[slot];

	i->got = ZSTD_decompressDCtx(in->zstd[worker], i->unpacked, i->f.size,
				     i->payload, i->f.length);
}

static int write_data(struct dml_intake *in, const struct dml_intake_frame *i)
{
	bool raw = i->f.encoding == DML_WIRE_RAW;

	if (!raw && (ZSTD_isError(i->got) || i->got != i->f.size))
		return dml_error(
			-EBADMSG, "frame %" PRIu64 ": zstd: %s", i->f.seq,
			ZSTD_isError(i->got) ?
				ZSTD_getErrorName(i->got) :
				"its content is shorter than its size");
	return dml_intake_dest_error(
		in->ops->write(in->dest, i->f.iova,
			       raw ? i->payload : i->unpacked, i->f.size),
		"write");
}

static int carry_out(struct dml_intake *in, const struct dml_intake_frame *i)
{
	if (i->f.type == DML_WIRE_DATA)
		return write_data(in, i);
	return dml_intake_dest_error(
		in->ops->zero(in->dest, i->f.iova, i->f.size), "zero");
}

/* After an error no frame is carried out: those behind it may rely on it. */
static void carry_out_first(struct dml_intake *in, unsigned int slot)
{
	const struct dml_intake_frame *i = &in->frames[slot];
	uint64_t *bytes = i->f.type == DML_WIRE_DATA ? &in->counts.data :
						       &in->counts.zeros;
	int ret;

	if (!in->error) {
		ret = carry_out(in, i);
		pthread_mutex_lock(&in->lock);
		in->error = ret;
		if (ret) {
			in->text = dml_error_save(ret);
		} else {
			*bytes += i->f.size;
			in->counts.payload += i->f.length;
			in->counts.frames++;
		}
		pthread_mutex_unlock(&in->lock);
		if (ret)
			dmatrack_cancel_set(in->stop);
	}
	dml_jobs_remove(&in->jobs);
}

static void *run_writer(void *opaque)
{
	struct dml_intake *in = opaque;
	int slot;

	while ((slot = dml_jobs_first(&in->jobs, true)) >= 0)
		carry_out_first(in, (unsigned int)slot);
	return NULL;
}

int dml_intake_init(struct dml_intake *in, struct dmatrack_dest *dest,
		    const struct dmatrack_dest_ops *ops)
{
	int ret = dmatrack_cancel_create(&in->stop);

	if (ret)
		return ret;
	in->dest = dest;
	in->ops = ops;
	pthread_mutex_init(&in->lock, NULL);
	dml_jobs_init(&in->jobs, DML_INTAKE_FRAMES, decompress, in);
	in->has_writer = !dml_thread_create(&in->writer, run_writer, in);
	return 0;
}

void dml_intake_fini(struct dml_intake *in)
{
	unsigned int i;

	dml_jobs_end(&in->jobs);
	if (in->has_writer)
		pthread_join(in->writer, NULL);
	dml_jobs_fini(&in->jobs);
	for (i = 0; i < DML_INTAKE_FRAMES; i++) {
		free(in->frames[i].payload);
		free(in->frames[i].unpacked);
	}
	for (i = 0; i <= DML_JOBS_WORKERS; i++)
		ZSTD_freeDCtx(in->zstd[i]);
	pthread_mutex_destroy(&in->lock);
	dmatrack_cancel_destroy(in->stop);
}

/* Prepare to decompress a frame: no thread but the receiver's allocates anything. */
static int prepare(struct dml_intake *in, struct dml_intake_frame *i)
{
	unsigned int k;

	for (k = 0; k <= DML_INTAKE_WORKERS; k++) {
		ZSTD_DCtx **zstd =
			&in->zstd[k < DML_INTAKE_WORKERS ? k : DML_JOBS_WORKERS];

		if (!*zstd)
			*zstd = ZSTD_createDCtx();
		if (!*zstd)
			return dml_no_memory();
	}
	dml_jobs_start(&in->jobs, DML_INTAKE_WORKERS);
	return dml_wire_room(&i->unpacked, &i->unpacked_room, i->f.size);
}

int dml_intake_put(struct dml_intake *in, struct dml_wire *w,
		   const struct dml_frame *f)
{
	unsigned int slot = dml_jobs_slot(&in->jobs);
	struct dml_intake_frame *i = &in->frames[slot];
	bool raw = f->encoding == DML_WIRE_RAW;
	int ret;

	i->f = *f;
	ret = raw ? 0 : prepare(in, i);
	if (ret)
		return ret;
	dml_wire_trade(w, &i->payload, &i->room);
	dml_jobs_add(&in->jobs, raw);
	if (!in->has_writer)
		carry_out_first(in,
				(unsigned int)dml_jobs_first(&in->jobs, true));
	return 0;
}

unsigned int dml_intake_left(struct dml_intake *in)
{
	return dml_jobs_left(&in->jobs);
}

void dml_intake_drain(struct dml_intake *in)
{
	dml_jobs_drain(&in->jobs);
}

int dml_intake_result(struct dml_intake *in, struct dml_intake_counts *counts)
{
	int ret;

	pthread_mutex_lock(&in->lock);
	*counts = in->counts;
	ret = in->error;
	pthread_mutex_unlock(&in->lock);
	if (ret)
		dml_error_restore(&in->text);
	return ret;
}
