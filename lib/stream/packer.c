// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Packer: see packer.h. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "packer.h"

/* The number of processors that this process may use */
static unsigned int processors(void)
{
	cpu_set_t set;

	/* fails on machines with more than CPU_SETSIZE */
	if (sched_getaffinity(0, sizeof(set), &set))
		return DML_JOBS_WORKERS;
	return (unsigned int)CPU_COUNT(&set);
}

static void compress(void *opaque, unsigned int slot, unsigned int worker)
{
	struct dml_packer *p = opaque;
	struct dml_packer_frame *i = &p->frames[slot];
	size_t n = ZSTD_compress2(p->zstd[worker], i->packed, i->f.size - 1,
				  i->data, i->f.size);

	if (ZSTD_isError(n))
		return;
	i->f.encoding = DML_WIRE_ZSTD;
	i->f.length = (uint32_t)n;
	i->f.payload = i->packed;
}

static int make_compressor(ZSTD_CCtx **zstd, int level)
{
	*zstd = ZSTD_createCCtx();
	if (!*zstd)
		return dml_no_memory();
	return ZSTD_isError(ZSTD_CCtx_setParameter(
		       *zstd, ZSTD_c_compressionLevel, level)) ?
		       dml_error(-EINVAL, "sender: zstd has no level %d",
				 level) :
		       0;
}

int dml_packer_init(struct dml_packer *p, int level)
{
	unsigned int n = processors(), i;
	int ret;

	if (n > DML_JOBS_WORKERS)
		n = DML_JOBS_WORKERS;
	p->on = true;
	dml_jobs_init(&p->jobs, n + 2, compress, p);
	ret = make_compressor(&p->zstd[DML_JOBS_WORKERS], level);
	for (i = 0; !ret && i < n; i++)
		ret = make_compressor(&p->zstd[i], level);
	if (!ret)
		dml_jobs_start(&p->jobs, n);
	return ret;
}

void dml_packer_fini(struct dml_packer *p)
{
	unsigned int i;

	if (!p->on)
		return;
	dml_jobs_fini(&p->jobs);
	for (i = 0; i < DML_JOBS_MAX; i++) {
		free(p->frames[i].data);
		free(p->frames[i].packed);
	}
	for (i = 0; i <= DML_JOBS_WORKERS; i++)
		ZSTD_freeCCtx(p->zstd[i]);
	p->on = false;
}

unsigned int dml_packer_left(struct dml_packer *p)
{
	return dml_jobs_left(&p->jobs);
}

unsigned int dml_packer_most(const struct dml_packer *p)
{
	return p->jobs.nslots;
}

int dml_packer_add(struct dml_packer *p, const struct dml_frame *f)
{
	struct dml_packer_frame *i = &p->frames[dml_jobs_slot(&p->jobs)];

	i->f = *f;
	if (f->length) {
		if (dml_wire_room(&i->data, &i->room, f->length) ||
		    dml_wire_room(&i->packed, &i->packed_room, f->length))
			return -ENOMEM;
		memcpy(i->data, f->payload, f->length);
		i->f.payload = i->data;
	}
	dml_jobs_add(&p->jobs, !f->length);
	return 0;
}

const struct dml_frame *dml_packer_first(struct dml_packer *p, bool wait)
{
	int slot = dml_jobs_first(&p->jobs, wait);

	return slot < 0 ? NULL : &p->frames[slot].f;
}

void dml_packer_remove(struct dml_packer *p)
{
	dml_jobs_remove(&p->jobs);
}
