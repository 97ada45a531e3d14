// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Sources: what reports the pages that were written. By default the container; by --source any of
 *
 *	container	the container's log: what devices write
 *	device		the log that the device keeps itself
 *	process		what this process's processors write, by its page tables; a thread does
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

static const char *const names[] = { "container", "device", "process", NULL };

static int open_device_log(struct workload *w, struct dmatrack **t)
{
	struct dmatrack_range range[WORKLOAD_MAPPINGS];
	const struct dmatrack_device_log from = {
		.size = sizeof(from),
		.device_fd = dmatrack_device_fd(w->t),
		.nr_ranges = w->nmappings,
		.ranges = range,
	};
	unsigned int i;

	if (from.device_fd < 0)
		return dmatrack_set_error(
			-EOPNOTSUPP,
			"devices in this process keep no log: it needs --device");
	for (i = 0; i < w->nmappings; i++) {
		range[i].iova = w->mapping[i].iova;
		range[i].last = w->mapping[i].iova + (w->mapping[i].size - 1);
	}
	return dmatrack_open_device_log(t, &from);
}

static int open_process_log(struct workload *w, struct dmatrack **t)
{
	struct dmatrack_mapping mapping[WORKLOAD_MAPPINGS];
	const struct dmatrack_process_log from = {
		.size = sizeof(from),
		.nr_mappings = w->nmappings,
		.mappings = mapping,
	};
	unsigned int i;

	for (i = 0; i < w->nmappings; i++)
		mapping[i] = (struct dmatrack_mapping){
			.iova = w->mapping[i].iova,
			.last = w->mapping[i].iova + (w->mapping[i].size - 1),
			.vaddr = (uintptr_t)(w->live + w->mapping[i].offset),
		};
	return dmatrack_open_process_log(t, &from);
}

static int add(struct workload *w, const char *name)
{
	struct dmatrack **t = &w->source[w->nsources];
	int ret = 0;

	if (workload_source_has(w, name))
		return cli_error_usage("--source: %s is given twice", name);
	if (!strcmp(name, "container"))
		*t = w->t;
	else if (!strcmp(name, "device"))
		ret = open_device_log(w, t);
	else
		ret = open_process_log(w, t);
	if (ret) {
		cli_error("--source %s: %s", name, cli_error_why(ret));
		return CLI_FAILED;
	}
	w->source_name[w->nsources++] = name;
	return 0;
}

/* Return: the name, or NULL */
static const char *find(const char *word, size_t length)
{
	const char *const *name = names;

	while (*name &&
	       (strlen(*name) != length || strncmp(*name, word, length) != 0))
		name++;
	return *name;
}

int workload_source_open(struct workload *w)
{
	const char *word = w->o->source ? w->o->source : "container", *name;
	size_t length;
	int ret;

	do {
		length = strcspn(word, ",");
		name = find(word, length);
		if (!name)
			return cli_error_usage(
				"--source: '%.*s' is none of container, device and process",
				(int)length, word);
		ret = add(w, name);
		word += length;
	} while (!ret && *word++);
	return ret;
}

void workload_source_close(struct workload *w)
{
	unsigned int i;

	for (i = 0; i < w->nsources; i++)
		if (w->source[i] != w->t)
			dmatrack_close(w->source[i]);
	w->nsources = 0;
}

bool workload_source_has(const struct workload *w, const char *name)
{
	unsigned int i;

	for (i = 0; i < w->nsources; i++)
		if (!strcmp(w->source_name[i], name))
			return true;
	return false;
}
