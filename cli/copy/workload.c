// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The container and its device: see workload.h. */
#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "workload.h"

/* Values of WORKLOAD_AUTO for each kind of device */
struct defaults {
	const char *kind;
	uint64_t rate, write_size, iova;
};

static const struct defaults defaults[] = {
	{ "engine", 50000, 4096, 4ull << 30 },
	{ "testdev", 20000, 4096, 4ull << 30 }, /* for a virtual machine */
	{ "edu", 0, 2048, 1ull << 20 },		/* edu is slow */
};

/* Opening --------------------------------------------------------------------- */

static int open_device(struct workload *w)
{
	int ret = dev_open(&w->device, w->t);

	if (ret) {
		cli_error(
			"%s: %s", w->o->device ? w->o->device : "engine",
			ret == -ENODEV ?
				"not a device that can be driven here (dmt_testdev, edu)" :
				strerror(-ret));
		return CLI_FAILED;
	}
	w->driver = dmatrack_driver(w->t);
	w->kind = dev_kind(w->device);
	return 0;
}

static void set_default(uint64_t *option, uint64_t value)
{
	if (*option == WORKLOAD_AUTO)
		*option = value;
}

/* Called when the kind of device is known */
static void complete_options(struct workload *w)
{
	const struct defaults *d = defaults;
	struct workload_options *o = w->o;

	while (strcmp(d->kind, w->kind))
		d++;
	set_default(&o->rate, d->rate);
	set_default(&o->write_size, d->write_size);
	set_default(&o->iova, d->iova);
	if (!o->size)
		o->size = o->device ? 256ull << 20 : 1ull << 30;
	if (!strcmp(d->kind, "edu") || o->v1)
		o->pins = 0; /* edu can't pin, v1 containers can't either */
}

static int map_all(struct workload *w)
{
	unsigned int i;
	int ret;

	for (i = 0; i < w->nmappings; i++) {
		struct workload_mapping *map = &w->mapping[i];

		ret = dmatrack_map(w->t, map->iova, w->live + map->offset,
				   map->size,
				   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
		if (ret) {
			cli_error("can't map %#" PRIx64 " to %#" PRIx64 ": %s",
				  map->iova, map->iova + (map->size - 1),
				  strerror(-ret));
			return CLI_FAILED;
		}
	}
	return 0;
}

int workload_open(struct workload *w, struct workload_options *o)
{
	int ret;

	w->o = o;
	ret = cli_container_open(&w->t, o->device,
				 o->v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU,
				 0);
	if (!ret)
		ret = open_device(w);
	if (ret)
		return ret;
	complete_options(w);
	ret = workload_memory_layout(w);
	if (!ret)
		ret = workload_memory_fill(w);
	if (!ret)
		ret = map_all(w);
	return ret ? ret : workload_source_open(w);
}

/* Return: 0, or -errno of a pin that failed */
static int stop_threads(struct workload *w)
{
	int ret = w->pinner ? workload_pinner_stop(w->pinner) : 0;

	w->pinner = NULL;
	if (w->processor) {
		w->processor_writes += workload_processor_writes(w->processor);
		workload_processor_stop(w->processor);
	}
	w->processor = NULL;
	return ret;
}

void workload_close(struct workload *w)
{
	stop_threads(w);
	workload_source_close(w);
	dev_close(w->device);
	dmatrack_close(w->t);
	workload_memory_free(w);
}

/* Devices --------------------------------------------------------------------- */

/*
 * The last IOVA that the device writes to. Writes go into the hole as well; they fail, and
 * must not disturb anything. But the kernel logs a fault for a PCI device's DMA into a
 * hole, so edu stays below the hole, and below the last IOVA that it can address.
 */
static uint64_t last_target(const struct workload *w)
{
	const struct workload_mapping *end = &w->mapping[w->nmappings - 1];
	uint64_t reach = dev_reach(w->device), last;

	last = workload_memory_iova(w, workload_memory_hot(w) - 1);
	if (reach == UINT64_MAX)
		return last;
	if (w->hole && last >= end->iova)
		last = end->iova - w->hole - 1;
	return last < reach ? last : reach;
}

int workload_start(struct workload *w)
{
	uint64_t first = w->mapping[0].iova, last = last_target(w);
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY,
		.threads = (uint32_t)w->o->threads,
		.size = (uint32_t)w->o->write_size,
		.iova = first,
		.length = last - first + 1,
		.rate = w->o->rate,
		.seed = w->o->seed,
	};
	int ret;

	if (last < first) {
		cli_error("the device can't address IOVA %#" PRIx64, first);
		return CLI_FAILED;
	}
	ret = dev_run(w->device, &run);
	if (!ret && w->o->pins)
		ret = workload_pinner_start(&w->pinner, w);
	if (!ret && workload_source_has(w, "process"))
		ret = workload_processor_start(&w->processor, w);
	if (ret)
		cli_error("can't start the device: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

int workload_stats(struct workload *w, struct tdev_stats *stats,
		   uint64_t *pinned)
{
	int ret;

	*stats = (struct tdev_stats){ .argsz = sizeof(*stats) };
	ret = dev_stats(w->device, stats);
	if (ret) {
		cli_error("can't read the device's statistics: %s",
			  strerror(-ret));
		return CLI_FAILED;
	}
	if (w->pinner && pinned)
		*pinned = workload_pinner_writes(w->pinner);
	return 0;
}

int workload_stop(struct workload *w, uint64_t *pinned)
{
	int ret = dev_halt(w->device), error;

	if (w->pinner && pinned)
		*pinned = workload_pinner_writes(w->pinner);
	error = stop_threads(w);
	if (error) {
		cli_error("a pin failed: %s", strerror(-error));
		return CLI_FAILED;
	}
	if (ret)
		cli_error("can't stop the device: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

/* Reports --------------------------------------------------------------------- */

const char *workload_tracker(const struct workload *w)
{
	if (!strcmp(w->driver, "engine"))
		return "dmatrack's engine in this process";
	if (!strcmp(w->driver, "dmatrack"))
		return "dmatrack in the kernel";
	return "the stock driver in the kernel";
}

void workload_print_devices(const struct workload *w, FILE *out)
{
	const struct workload_options *o = w->o;
	char count[CLI_TEXT], size[CLI_TEXT];

	if (!strcmp(w->kind, "edu"))
		fprintf(out, "Device: edu at %s, its DMA engine", o->device);
	else if (!strcmp(w->kind, "testdev"))
		fprintf(out, "Device: %s, %" PRIu64 " kernel threads",
			o->device, o->threads);
	else
		fprintf(out, "Device: %" PRIu64 " threads of this process",
			o->threads);
	fprintf(out, ", up to %s a write, at random\n        places",
		cli_text_size(size, o->write_size));
	if (workload_memory_hot(w) < w->size)
		fprintf(out, " of the first %s",
			cli_text_size(size, workload_memory_hot(w)));
	if (o->rate)
		fprintf(out, ", %s writes a second",
			cli_text_count(count, o->rate));
	else
		fprintf(out, ", flat out");
	if (o->pins)
		fprintf(out, "; %" PRIu64 " pages pinned at a time", o->pins);
	fputs(".\n", out);
	if (workload_source_has(w, "process"))
		fputs("Processor: a thread of this process writes 10,000 times a second.\n",
		      out);
}
