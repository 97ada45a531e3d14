// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What is copied: a workload's memory, which devices of this process or of a container write to. */
#include <inttypes.h>
#include <stdlib.h>

#include "copy.h"

static int list_regions(struct copy *c)
{
	struct dmatrack_region *r = calloc(c->w.nmappings, sizeof(*r));
	unsigned int i;

	if (!r) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	for (i = 0; i < c->w.nmappings; i++)
		r[i] = (struct dmatrack_region){
			.iova = c->w.mapping[i].iova,
			.size = c->w.mapping[i].size,
			.vaddr = c->w.live + c->w.mapping[i].offset,
		};
	c->region = r;
	c->nregions = c->w.nmappings;
	return 0;
}

static int open_workload(struct copy *c, unsigned int copies)
{
	unsigned int i;
	int ret;

	c->w.copies = copies;
	ret = workload_open(&c->w, &c->o->w);
	if (ret)
		return ret;
	for (i = 0; i < c->w.nsources; i++) {
		c->source[i] = c->w.source[i];
		c->source_name[i] = c->w.source_name[i];
	}
	c->nsources = c->w.nsources;
	c->driver = c->w.driver;
	return list_regions(c);
}

static void close_workload(struct copy *c)
{
	workload_close(&c->w);
	free((void *)c->region);
}

static int copy_workload(struct copy *c, const struct dmatrack_precopy *p)
{
	struct dmatrack_precopy with = *p;

	with.containers = c->source;
	with.ncontainers = c->nsources;
	with.regions = c->region;
	with.nregions = c->nregions;
	return dmatrack_precopy_run(&with, &c->totals);
}

static int begin(struct copy *c)
{
	return workload_start(&c->w);
}

static int stop(struct copy *c)
{
	int status = workload_stop(&c->w, &c->pinned);

	return status ? status : workload_stats(&c->w, &c->stats, NULL);
}

static int count(struct copy *c, uint64_t *writes)
{
	struct tdev_stats stats;
	int status = workload_stats(&c->w, &stats, NULL);

	*writes = stats.ops;
	return status;
}

static void print(const struct copy *c)
{
	char size[CLI_TEXT], hole[CLI_TEXT];

	fprintf(c->out, "Memory: %s in %u mapping%s at %#" PRIx64,
		cli_text_size(size, c->w.size), c->w.nmappings,
		c->w.nmappings == 1 ? "" : "s", c->w.mapping[0].iova);
	if (c->w.hole)
		fprintf(c->out, ", with a hole of %s",
			cli_text_size(hole, c->w.hole));
	fprintf(c->out, ".\nTracked by %s.\n", workload_tracker(&c->w));
	workload_print_devices(&c->w, c->out);
}

static void json(const struct copy *c, json_t *o)
{
	cli_json_string(o, "device", c->w.o->device);
	cli_json_string(o, "kind", c->w.kind);
}

const struct copy_origin copy_origin_workload = {
	.open = open_workload,
	.close = close_workload,
	.begin = begin,
	.copy = copy_workload,
	.stop = stop,
	.go_on = begin,
	.count = count,
	.print = print,
	.json = json,
};
