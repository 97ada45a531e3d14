// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A container's driver, features and mappings */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/machine/machine.h"
#include "info.h"
#include "lib/watch/mappings.h"
#include "uapi/dmatrack.h"

#define NO_LIMIT (1ull << 40) /* bytes of a bitmap: a limit that none reaches */

/* Features of the driver, by flag */
static const struct feature {
	uint32_t flag;
	const char *name;
	const char *text;
} features[] = {
	{ DMATRACK_INFO_ANY_RANGE, "any_range", "harvests of any range" },
	{ DMATRACK_INFO_COARSE_PAGES, "coarse_pages",
	  "harvests by larger pages" },
	{ DMATRACK_INFO_NOTHING_LOST, "nothing_lost",
	  "a harvest that fails loses nothing" },
	{ DMATRACK_INFO_MAPPINGS, "mappings", "lists its mappings" },
};

#define NFEATURES (sizeof(features) / sizeof(features[0]))

/* Text ------------------------------------------------------------------------ */

/* "4 KiB, 2 MiB and 1 GiB", or "4 KiB and larger" for all powers of two */
static void print_page_sizes(const char *what, uint64_t sizes)
{
	uint64_t low = sizes & -sizes;
	const char *glue = "";
	char text[CLI_TEXT];

	printf("%-22s", what);
	if (!sizes) {
		puts("none");
		return;
	}
	if (sizes == -low) {
		printf("%s and larger\n", cli_text_size(text, low));
		return;
	}
	for (; sizes; sizes &= sizes - 1, glue = ", ")
		printf("%s%s", glue, cli_text_size(text, sizes & -sizes));
	putchar('\n');
}

static void print_limits(const struct dmatrack_container_info *info)
{
	uint64_t page = info->dirty_page_sizes & -info->dirty_page_sizes;
	char a[CLI_TEXT], b[CLI_TEXT];
	uint64_t reach;

	if (page && info->max_bitmap_size < NO_LIMIT &&
	    !__builtin_mul_overflow(info->max_bitmap_size * 8, page, &reach))
		printf("%-22s%s, for %s of memory\n", "Largest bitmap:",
		       cli_text_size(a, info->max_bitmap_size),
		       cli_text_size(b, reach));
	else if (page)
		printf("%-22sno limit\n", "Largest bitmap:");
	if (info->mappings_left == UINT32_MAX)
		printf("%-22sunknown\n", "Mappings left:");
	else
		printf("%-22s%s\n", "Mappings left:",
		       cli_text_count(a, info->mappings_left));
}

static void print_ranges(const struct dmatrack_container_info *info)
{
	uint32_t i;

	if (!info->nr_ranges)
		printf("%-22sanywhere\n", "IOVAs:");
	for (i = 0; i < info->nr_ranges; i++)
		printf("%-22s%#" PRIx64 " to %#" PRIx64 "\n",
		       i ? "" : "IOVAs:", info->ranges[i].iova,
		       info->ranges[i].last);
}

static const char *name_driver(const char *driver)
{
	if (!strcmp(driver, "engine"))
		return "dmatrack's engine in this process";
	if (!strcmp(driver, "dmatrack"))
		return "dmatrack in the kernel";
	return "the stock driver in the kernel (vfio_iommu_type1)";
}

static void print_info(const struct dmatrack_container_info *info)
{
	size_t i;

	printf("%-22s%s\n", "Driver:", name_driver(info->driver));
	for (i = 0; i < NFEATURES; i++)
		printf("%-22s%s: %s\n", "", features[i].text,
		       info->flags & features[i].flag ? "yes" : "no");
	print_page_sizes("Page sizes:", info->page_sizes);
	print_page_sizes("Tracked by pages of:", info->dirty_page_sizes);
	print_limits(info);
	print_ranges(info);
}

/* JSON ------------------------------------------------------------------------ */

static json_t *json_of_range(uint64_t iova, uint64_t last)
{
	json_t *o = json_object();

	cli_json_hex(o, "iova", iova);
	cli_json_hex(o, "last", last);
	return o;
}

static json_t *json_of_ranges(const struct dmatrack_container_info *info)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < info->nr_ranges; i++)
		json_array_append_new(list,
				      json_of_range(info->ranges[i].iova,
						    info->ranges[i].last));
	return list;
}

static void add_info(json_t *o, const struct dmatrack_container_info *info)
{
	json_t *can = json_object();
	size_t i;

	for (i = 0; i < NFEATURES; i++)
		json_object_set_new(can, features[i].name,
				    json_boolean(info->flags &
						 features[i].flag));
	cli_json_string(o, "driver", info->driver);
	json_object_set_new(o, "can", can);
	cli_json_hex(o, "page_sizes", info->page_sizes);
	cli_json_hex(o, "dirty_page_sizes", info->dirty_page_sizes);
	cli_json_number(o, "max_bitmap_bytes", info->max_bitmap_size);
	cli_json_number(o, "mappings_left",
			info->mappings_left == UINT32_MAX ?
				UINT64_MAX :
				info->mappings_left);
	json_object_set_new(o, "iova_ranges", json_of_ranges(info));
}

/* Mappings -------------------------------------------------------------------- */

static void print_mapping(const struct dmatrack_mapping *m)
{
	char size[CLI_TEXT], vaddr[CLI_TEXT] = "-";

	if (m->flags & DMATRACK_MAPPED_VADDR)
		snprintf(vaddr, sizeof(vaddr), "%#" PRIx64, m->vaddr);
	printf("  %#18" PRIx64 " %#18" PRIx64 " %9s %18s %s%s%s\n", m->iova,
	       m->last, cli_text_size(size, m->last - m->iova + 1), vaddr,
	       m->prot & DMATRACK_MAP_READ ? "r" : "-",
	       m->prot & DMATRACK_MAP_WRITE ? "w" : "-",
	       m->flags & DMATRACK_MAPPED_IOMMU ? " pinned by the IOMMU" : "");
}

static void add_mapping(json_t *list, const struct dmatrack_mapping *m)
{
	json_t *o = json_of_range(m->iova, m->last);

	if (m->flags & DMATRACK_MAPPED_VADDR)
		cli_json_hex(o, "vaddr", m->vaddr);
	json_object_set_new(o, "read",
			    json_boolean(m->prot & DMATRACK_MAP_READ));
	json_object_set_new(o, "write",
			    json_boolean(m->prot & DMATRACK_MAP_WRITE));
	json_object_set_new(o, "iommu",
			    json_boolean(m->flags & DMATRACK_MAPPED_IOMMU));
	json_array_append_new(list, o);
}

/**
 * struct listing - mappings that are being listed
 * @list: list to add to; NULL: they are printed
 * @n: number of mappings
 * @size: bytes of all
 */
struct listing {
	json_t *list;
	uint64_t n, size;
};

static void list_mapping(void *to, const struct dmatrack_mapping *m)
{
	struct listing *l = to;

	if (l->list)
		add_mapping(l->list, m);
	else
		print_mapping(m);
	l->n++;
	l->size += m->last - m->iova + 1;
}

static int mappings(struct dmatrack *t, json_t *json)
{
	struct listing l = { .list = json ? json_array() : NULL };
	char count[CLI_TEXT], size[CLI_TEXT];
	int ret;

	if (!json)
		printf("%-22s%18s %9s %18s\n", "Mappings:", "last", "size",
		       "address");
	ret = dml_mappings_each(t, &l, list_mapping);
	if (ret) {
		json_decref(l.list);
		cli_error("can't list the mappings: %s", cli_error_why(ret));
		return CLI_FAILED;
	}
	if (json) {
		json_object_set_new(json, "mapped", l.list);
		cli_json_number(json, "mapped_bytes", l.size);
	} else {
		printf("%-22s%s in %s mapping%s\n",
		       "Mapped:", cli_text_size(size, l.size),
		       cli_text_count(count, l.n), l.n == 1 ? "" : "s");
	}
	return 0;
}

/* What its devices' writes are known by ---------------------------------------------- */

static const char *name_scope(uint32_t flags)
{
	if (flags & DMATRACK_STATS_EVERYTHING)
		return "all memory that an IOMMU maps counts as written";
	if (flags & DMATRACK_STATS_DIRTY_BITS)
		return "by the dirty bits of an IOMMU, and by drivers";
	return "by drivers";
}

static void scope(struct dmatrack *t, json_t *json)
{
	struct dmatrack_get_stats stats = { .argsz = sizeof(stats) };
	bool known =
		!dmatrack_ioctl(t, DMATRACK_GET_STATS, (unsigned long)&stats);
	bool bits = stats.flags & DMATRACK_STATS_DIRTY_BITS;
	bool all = stats.flags & DMATRACK_STATS_EVERYTHING;

	if (json) {
		json_object_set_new(json, "dirty_bits",
				    known ? json_boolean(bits) : json_null());
		json_object_set_new(json, "everything",
				    known ? json_boolean(all) : json_null());
	} else if (known) {
		printf("%-22s%s\n", "Writes known:", name_scope(stats.flags));
	}
}

int info_container(struct dmatrack *t, bool with_mappings, json_t *json)
{
	struct dmatrack_container_info *info;
	bool listed;
	int ret = dmatrack_get_info(t, &info);

	if (ret) {
		cli_error("can't query the container: %s", cli_error_why(ret));
		return CLI_FAILED;
	}
	if (json)
		add_info(json, info);
	else
		print_info(info);
	scope(t, json);
	listed = info->flags & DMATRACK_INFO_MAPPINGS;
	dmatrack_info_free(info);
	if (!with_mappings)
		return 0;
	if (listed)
		return mappings(t, json);
	if (!json)
		printf("%-22snot listed by this driver\n", "Mappings:");
	return 0;
}
