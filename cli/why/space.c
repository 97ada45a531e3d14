// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Containers and iommufds: what tracks, whether tracking is on, and mappings */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/watch/mappings.h"
#include "uapi/dmatrack.h"
#include "why.h"

#define FEW \
	1024 /* mappings left that are few: a virtual IOMMU makes thousands */

/* Drivers ---------------------------------------------------------------------- */

static void explain_driver(struct why *w, const char *about)
{
	bool stock = w->driver && !strcmp(w->driver, "stock");
	json_t *o;

	if (!w->driver) {
		o = finding_add(w, FINDING_UNKNOWN, "container", about);
		finding_set(o, "what", "which driver tracks it is not known");
		finding_set(o, "why",
			    "Dmatrack and the stock driver are both loaded");
		finding_set(
			o, "next",
			"Unload the one that is not wanted, and start the program again");
		return;
	}
	o = finding_add(w, stock ? FINDING_SLOWS : FINDING_OK, "container",
			about);
	finding_set(o, "what", "%s tracks what devices write",
		    stock ? "the stock driver (vfio_iommu_type1)" :
			    "dmatrack, in the kernel,");
	if (!stock)
		return;
	finding_set(
		o, "why",
		"It can't read an IOMMU's dirty bits, counts memory as written that devices only read, and makes devices wait while it is read");
	finding_set(
		o, "next",
		"Install dmatrack.ko (make install-module), and start the program again");
}

/* Return: what would track a new container; NULL: none or both are loaded */
static const char *loaded_driver(const struct why *w)
{
	bool ours = machine_driver(w->machine, MACHINE_DMATRACK);
	bool stock = machine_driver(w->machine, MACHINE_STOCK);

	return ours == stock ? NULL : ours ? "dmatrack" : "stock";
}

static bool is_loaded(const struct why *w)
{
	return machine_driver(w->machine, MACHINE_DMATRACK) ||
	       machine_driver(w->machine, MACHINE_STOCK);
}

void space_explain_machine(struct why *w)
{
	json_t *o;

	w->driver = loaded_driver(w);
	if (is_loaded(w)) {
		explain_driver(w, NULL);
		return;
	}
	o = finding_add(w, FINDING_STOPS, "container", NULL);
	finding_set(o, "what", "no type 1 driver is loaded");
	finding_set(
		o, "why",
		"It makes memory accessible to devices, and tracks what they write");
	finding_set(o, "next", "modprobe dmatrack, or vfio_iommu_type1");
}

void space_explain_iommufd(struct why *w)
{
	json_t *o = finding_add(w, FINDING_OK, "container", NULL);

	w->driver = "iommufd";
	finding_set(
		o, "what",
		"it uses an iommufd, which tracks by the IOMMU's dirty bits alone");
	measure_refuse(
		w, NULL,
		"Dirty bits have one reader: to read them here would take pages from a migration",
		"Ask the program while it migrates (QEMU: info migrate)");
}

/* Mappings ---------------------------------------------------------------------- */

/**
 * struct sum - sums of mappings
 * @n: number of mappings
 * @bytes: size of all
 * @iommu: size of those that an IOMMU maps for writing
 */
struct sum {
	uint64_t n, bytes, iommu;
};

static void add_mapping(void *to, const struct dmatrack_mapping *m)
{
	struct sum *sum = to;
	uint64_t size = m->last - m->iova + 1;

	sum->n++;
	sum->bytes += size;
	if (m->flags & DMATRACK_MAPPED_IOMMU && m->prot & DMATRACK_MAP_WRITE)
		sum->iommu += size;
}

static void explain_mappings(struct why *w, const char *about,
			     struct dmatrack *t, uint32_t left)
{
	char count[CLI_TEXT], size[CLI_TEXT], rest[CLI_TEXT];
	struct sum sum = { 0 };
	bool few = left < FEW;
	json_t *o = finding_add(w, few ? FINDING_SLOWS : FINDING_OK, "mappings",
				about);
	const char *more = left == UINT32_MAX ? "an unknown number" :
						cli_text_count(rest, left);

	if (dml_mappings_each(t, &sum, add_mapping)) {
		finding_set(o, "what", "%s more mapping%s can be made", more,
			    left == 1 ? "" : "s");
	} else {
		w->blind_bytes += sum.iommu;
		finding_set(o, "what",
			    "%s in %s mapping%s; %s more can be made",
			    cli_text_size(size, sum.bytes),
			    cli_text_count(count, sum.n), sum.n == 1 ? "" : "s",
			    more);
	}
	if (!few)
		return;
	finding_set(
		o, "why",
		"Memory or devices can't be added, and a guest with a virtual IOMMU fails, here or at the destination");
	finding_set(
		o, "next",
		"Raise the driver's parameter dma_entry_limit (65535), and start the program again");
}

/* Tracking ----------------------------------------------------------------------- */

/* Have the container say what is known of its devices' writes; the stock driver can't. */
static void ask_scope(struct why *w, struct dmatrack *t)
{
	struct dmatrack_get_stats stats = { .argsz = sizeof(stats) };

	if (dmatrack_ioctl(t, DMATRACK_GET_STATS, (unsigned long)&stats) < 0)
		return;
	w->asked = true;
	w->reads |= !!(stats.flags & DMATRACK_STATS_DIRTY_BITS);
	w->everything |= !!(stats.flags & DMATRACK_STATS_EVERYTHING);
}

/* Return: number of views that are on, without the container's own; 0 if the driver has none */
static unsigned int count_views(struct dmatrack *t, bool own)
{
	struct dmatrack_get_stats stats = { .argsz = sizeof(stats) };

	if (dmatrack_ioctl(t, DMATRACK_GET_STATS, (unsigned long)&stats) < 0 ||
	    stats.views < own)
		return 0;
	return (unsigned int)stats.views - own;
}

/* The container's own view is a migration's; others watch. */
static void explain_views(struct why *w, const char *about, struct dmatrack *t,
			  bool on)
{
	unsigned int others = count_views(t, on);
	json_t *o = finding_add(w, FINDING_OK, "tracking", about);
	char more[64] = "";

	if (others)
		snprintf(more, sizeof(more), ", and %u more view%s read%s",
			 others, others == 1 ? "" : "s",
			 others == 1 ? "s" : "");
	finding_set(o, "what", "tracking is %s: %s copy is under way%s",
		    on ? "on" : "off", on ? "a" : "no", more);
}

static void explain_tracking(struct why *w, const char *about,
			     struct dmatrack *t,
			     const struct dmatrack_container_info *info)
{
	struct dmatrack_get_log get = { .argsz = sizeof(get),
					.last = UINT64_MAX };
	json_t *o;

	if (!info->dirty_page_sizes) {
		o = finding_add(w, FINDING_STOPS, "tracking", about);
		finding_set(o, "what", "this container can't be tracked");
		finding_set(o, "why", "Nothing says which pages to copy again");
		finding_set(
			o, "next",
			"Use a kernel whose driver can: dmatrack, or Linux 5.8 and later");
		return;
	}
	if (strcmp(info->driver, "dmatrack") != 0 ||
	    dmatrack_ioctl(t, DMATRACK_GET_LOG, (unsigned long)&get) < 0) {
		o = finding_add(w, FINDING_UNKNOWN, "tracking", about);
		finding_set(o, "what", "whether tracking is on is not known");
		finding_set(
			o, "why",
			"It is on while a migration is under way; the stock driver tells only a reader, which would take pages from the migration");
		finding_set(o, "next", "Ask the program (QEMU: info migrate)");
		return;
	}
	explain_views(w, about, t, get.flags & DMATRACK_LOG_TRACKING);
}

/* A container that can't be duplicated: what its driver is can be told if one is loaded */
static void explain_closed(struct why *w, const char *about, int error)
{
	json_t *o;

	w->driver = loaded_driver(w);
	explain_driver(w, about);
	o = finding_add(w, FINDING_UNKNOWN, "access", about);
	finding_set(o, "what", "it can't be looked into: %s",
		    *w->root ? "it is another machine's" :
			       dml_descriptors_explain(error));
	finding_set(o, "why",
		    "Its mappings, and whether tracking is on, are not known");
	finding_set(o, "next", "%s", tenant_how_to_look(w));
}

static void explain_open(struct why *w, const char *about, struct dmatrack *t)
{
	struct dmatrack_container_info *info;

	w->driver = dmatrack_driver(t);
	explain_driver(w, about);
	ask_scope(w, t);
	if (dmatrack_get_info(t, &info))
		return;
	explain_tracking(w, about, t, info);
	explain_mappings(w, about, t, info->mappings_left);
	dmatrack_info_free(info);
}

void space_explain(struct why *w, int fd)
{
	int ours = *w->root ? -EPERM : dml_descriptors_borrow(w->pid, fd), ret;
	struct dmatrack *t;
	char about[64];
	json_t *o;

	snprintf(about, sizeof(about), "container at descriptor %d", fd);
	if (ours < 0) {
		explain_closed(w, about, ours);
		return;
	}
	ret = dmatrack_open_fd(&t, ours);
	close(ours);
	if (!ret) {
		explain_open(w, about, t);
		measure_explain(w, about, t);
		return;
	}
	o = finding_add(w, FINDING_UNKNOWN, "container", about);
	finding_set(o, "what", "it has no type 1 driver%s",
		    ret == -EINVAL ? ", as it has no device" : "");
	finding_set(o, "why", "Nothing is mapped or tracked by it");
	finding_set(o, "next",
		    "Attach a device first, or look at another container");
}
