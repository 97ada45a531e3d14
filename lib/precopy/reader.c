// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reader: see reader.h. */
#include <errno.h>
#include <inttypes.h>

#include "dmatrack.h"
#include "lib/container/tally.h"
#include "lib/util/error.h"
#include "reader.h"

/* Check that nothing tracks, and set @r->taken. */
static int check_idle(struct dml_reader *r)
{
	struct dmatrack_get_log get = { 0 };
	int ret = dml_tally_read(r->t, &get);

	r->taken = get.taken;
	if (!ret && get.flags & DMATRACK_LOG_TRACKING)
		ret = dml_error(
			-EBUSY,
			"the container tracks already: another copy or "
			"program reads its log, which can have one reader");
	return ret;
}

static void release(struct dml_reader *r)
{
	dml_tally_release(r->t);
	r->t = NULL;
}

int dml_reader_claim(struct dml_reader *r, struct dmatrack *t)
{
	int ret;

	if (!dml_tally_claim(t))
		return dml_error(
			-EBUSY,
			"another copy of the container is running, or the "
			"container is in the list twice");
	*r = (struct dml_reader){ .t = t };
	ret = check_idle(r);
	if (ret)
		release(r);
	return ret;
}

int dml_reader_start(struct dml_reader *r)
{
	int ret = check_idle(r);

	if (!ret)
		ret = dmatrack_start(r->t);
	r->started = !ret;
	return ret;
}

void dml_reader_stop(struct dml_reader *r)
{
	if (!r->t)
		return;
	if (r->started)
		dmatrack_stop(r->t);
	release(r);
}

int dml_reader_harvest(struct dml_reader *r, uint64_t iova, uint64_t size,
		       uint64_t page_size, uint64_t *bitmap)
{
	int ret = dmatrack_harvest(r->t, iova, size, page_size, bitmap);

	r->taken += !ret;
	return ret;
}

int dml_reader_check(const struct dml_reader *r, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1;
	struct dmatrack_get_log get = { .iova = iova, .last = last };
	int ret = dml_tally_read(r->t, &get);

	if (ret)
		return ret;
	if (get.taken != r->taken)
		return dml_error(
			-ESTALE,
			"another copy or program harvested from the "
			"container's log, or stopped tracking: dirty pages may be "
			"missing");
	if (get.unread)
		return dml_error(
			-ESTALE,
			"memory in 0x%" PRIx64 " to 0x%" PRIx64
			" was unmapped while it was copied: dirty pages there may be "
			"missing",
			iova, last);
	return 0;
}
