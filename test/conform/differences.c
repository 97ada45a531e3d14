// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The deliberate differences from the stock driver, by case; and what differs
 * between kernel versions.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "differences.h"

/* Differences that several cases show: design.md's row, and the stock driver's behaviour */
#define WHOLE_MAPPINGS \
	"GET_BITMAP range", "a range must begin and end where mappings do"
#define BUFFER_STAYS \
	"GET_BITMAP buffer", "what the buffer held stays in the answer"
#define SMALLEST_PAGE "GET_BITMAP page size", "the smallest page size alone"
#define TOO_LARGE \
	"bitmap size", "mappings of 2^31 pages and more can't be tracked"
#define STALE_BITS \
	"failure in the middle", "bits shifted beyond the end come again"
#define LATE_FAULT "failure in the middle", "it fails when all is done"
#define ANSWER_HELD \
	"answers that userfaultfd holds back", "all other calls wait"
#define LOST_WRITE \
	"failure in the middle", "a write that fails on its way isn't reported"
#define FAILED_PIN "failure in the middle", "a failed pin leaves pages dirty"
#define ONE_MUTEX \
	"device writes during a harvest", "one mutex for harvests and devices"
#define READONLY \
	"read-only mappings", "a mapping only for reading counts as written"
#define READ_PIN \
	"dirty rules", "a page pinned only for reading counts as written"
#define V1_REFUSED "DIRTY_PAGES on a v1 container", "refused"
#define NO_MARK	   "mark_dirty", "there is no such call"
#define NO_LIST	   "list the mappings", "there is no such call"
#define NO_RANGES  "harvests as ranges", "there is no such call"
#define NO_STATS   "how much a container has", "there is no such call"
#define NO_VIEWS   "views", "it has one reader"
#define NO_LOG	   "whether the log was read by others", "there is no such call"
#define NOT_THERE \
	"MAP_DMA of memory that userfaultfd holds back", "fails at once"
#define NOT_THERE_JOIN \
	"an IOMMU's first group, and mapped memory that userfaultfd holds back", \
		"fails at once"
#define OVERFLOW "kernel version", "-EINVAL where 7.3 says -EOVERFLOW"
#define LAST_IOVA \
	"kernel version", "mappings that end with the last IOVA aren't found"

static const struct difference differences[] = {
	{ "harvest_part_of_mapping", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0",
	  0 },
	{ "harvest_parts_and_hole", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0",
	  0 },
	{ "pin_harvest_part", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0", 0 },
	{ "fault_whole_mapping_only", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0",
	  0 },
	{ "fault_part_clears_beyond", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0",
	  0 },
	{ "fault_query_off_base_refused", WHOLE_MAPPINGS,
	  "harvest: -EINVAL, not 0", 0 },
	{ "iommu_part_of_mapping", WHOLE_MAPPINGS, "harvest: -EINVAL, not 0",
	  0 },
	{ "model_full", NO_RANGES, NULL, 0 },
	{ "model_views", NO_VIEWS, NULL, 0 },
	{ "model_last_iova", NO_RANGES, NULL, 0 },
	{ "harvest_dirty_buffer", BUFFER_STAYS, "room[2]: ", 0 },
	{ "unmap_bitmap_dirty_buffer", BUFFER_STAYS, "words[1]: ", 0 },
	{ "fault_false_bits_from_buffer", BUFFER_STAYS, "word: ", 0 },
	{ "harvest_coarse", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_pairs", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_unaligned", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_rest", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_whole", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_across", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_coarse_all_sizes", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_16_terabytes", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_whole_space", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "pin_harvest_coarse", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "fault_page_size_4_gib", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "fault_page_255_wraps", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "iommu_coarse", SMALLEST_PAGE, ": -EINVAL, not 0", 0 },
	{ "harvest_buffer_huge", "bitmap size",
	  "buffers above 256 MiB are refused", ": -EINVAL, not 0", 0 },
	{ "track_beyond_8_tib", TOO_LARGE, "start(): -EINVAL, not 0", 0 },
	{ "fault_start_8_tib_fails", TOO_LARGE, "start(): -EINVAL, not 0", 0 },
	{ "fault_map_8_tib_while_tracking_fails", "bitmap size",
	  "nor made while tracking", ": -EINVAL, not 0", 0 },
	{ "fault_start_memory", "START", "a bit for each page that is mapped",
	  "< 64 * 1024 is false", 0 },
	{ "fault_lost_pages", "failure in the middle",
	  "the first mapping's pages are lost",
	  "dirty of 128 pages: 70, not 5 70", 0 },
	{ "fault_unmap_lost_pages", "failure in the middle",
	  "the first mapping is gone, its pages unreported",
	  "dirty of 128 pages: 70, not 5 70", 0 },
	{ "fault_unmap_wrong_size", "failure in the middle",
	  "a failed call has unmapped the first mapping", "-EINVAL, not 0", 0 },
	{ "fault_shifted_pages", "failure in the middle",
	  "the log stays shifted", "32777, not 32776", 0 },
	{ "fault_stale_bits_beyond_end", STALE_BITS,
	  "dirty of 64 pages: 63, not none", 0 },
	{ "harvest_several_unaligned", STALE_BITS, ", not none", 0 },
	{ "unmap_readonly_argument", LATE_FAULT,
	  "unmap(BASE, PAGE): 0, not 4096", 0 },
	{ "unmap_bitmap_readonly_argument", LATE_FAULT,
	  "dirty of 2 pages: none, not 1", 0 },
	{ "unmap_bitmap_bad_buffer_pinned", "failure in the middle",
	  "drivers have unpinned for nothing",
	  "unpin(BASE + 3 * PAGE, 1): -EINVAL, not 0", 0 },
	{ "fault_unreported_write", LOST_WRITE, "dirty of 2 pages: none, not 0",
	  0 },
	{ "fault_unreported_write_readonly", LOST_WRITE,
	  "dirty of 2 pages: none, not 0", 0 },
	{ "fault_unreported_write_file_end", LOST_WRITE,
	  "dirty of 2 pages: none, not 0", 0 },
	{ "fault_failed_pin_is_dirty", FAILED_PIN,
	  "dirty of 4 pages: 2-3, not none", 0 },
	{ "pin_fails_halfway", FAILED_PIN, "0-2 6-7, not none", 0 },
	{ "fault_write_stops_harvest", ONE_MUTEX, "ended is false", 0 },
	{ "fault_harvest_stops_write", ONE_MUTEX, "ended is false", 0 },
	{ "held_write_unmap", ONE_MUTEX, "ended is false", 0 },
	{ "fault_harvest_stops_pin", ONE_MUTEX, "ended is false", 0 },
	{ "held_back_harvest", ANSWER_HELD, "ended is false", 0 },
	{ "held_back_unmap", ANSWER_HELD, "ended is false", 0 },
	{ "held_back_ranges", NO_RANGES, NULL, 0 },
	{ "fault_harvest_scans_mappings", "device writes during a harvest",
	  "a harvest looks at every mapping before",
	  "last < 10 * first is false", 0 },
	{ "fault_harvest_walks_pins", "device writes during a harvest",
	  "a harvest walks the pins one by one", "pinned < 10 * plain is false",
	  0 },
	{ "fault_readonly_mapping_is_dirty", READONLY, "0-15, not none", 0 },
	{ "iommu_rights", READONLY, "0-191, not 0-63 128-191", 0 },
	{ "fault_read_pin_is_dirty", READ_PIN, "1, not none", 0 },
	{ "pin_read_dirties_nothing", READ_PIN, "1-3 6, not none", 0 },
	{ "pin_read_then_write", READ_PIN, "0-1, not none", 0 },
	{ "pin_readonly_mapping", READ_PIN, "0-1, not none", 0 },
	{ "pin_and_write", READ_PIN, "1, not none", 0 },
	{ "fault_pin_faults_with_mapping_rights", "dirty rules",
	  "a pin for reading wants memory that can be written",
	  "-EFAULT, not 0", 0 },
	{ "v1_dirty_pages", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "v1_unmap_bitmap", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "v1_unmap_bitmap_cut", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "v1_unmap_bitmap_from_middle", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "v1_ranges", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "group_v1_tracking", V1_REFUSED, "-EACCES, not 0", 0 },
	{ "group_pci_readonly_mapping", READONLY, "0-127, not 0-63", 0 },
	{ "mark", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "mark_errors", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "mark_writeonly_mapping", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "mark_user_end", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "mark_large", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "harvest_buffer_goes_first", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "harvest_buffer_goes_first_readonly", NO_MARK, "-EOPNOTSUPP, not ",
	  0 },
	{ "harvest_buffer_goes_second", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "harvest_buffer_goes_second_readonly", NO_MARK, "-EOPNOTSUPP, not ",
	  0 },
	{ "harvest_buffer_goes_first_dense", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "harvest_buffer_goes_second_dense", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "late_fault_one", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "late_fault_all", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "late_fault_killed", NO_MARK, "-EOPNOTSUPP, not ", 0 },
	{ "list_none", NO_LIST, "-ENOTTY, not ", 0 },
	{ "list_each", NO_LIST, "-ENOTTY, not ", 0 },
	{ "list_resumed", NO_LIST, "got >= 0 is false", 0 },
	{ "list_last_iova", NO_LIST, NULL, 0 },
	{ "list_arguments", NO_LIST, "-ENOTTY, not ", 0 },
	{ "list_bad_buffer", NO_LIST, "-ENOTTY, not ", 0 },
	{ "list_invalid_address", NO_LIST, "-ENOTTY, not ", 0 },
	{ "log_taken", NO_LOG, "-ENOTTY, not ", 0 },
	{ "log_unread", NO_LOG, "-ENOTTY, not ", 0 },
	{ "log_unread_many", NO_LOG, "-ENOTTY, not ", 0 },
	{ "log_arguments", NO_LOG, "-ENOTTY, not ", 0 },
	{ "ranges_clear", NO_RANGES, NULL, 0 },
	{ "ranges_merged", NO_RANGES, NULL, 0 },
	{ "ranges_all_dirty", NO_RANGES, NULL, 0 },
	{ "ranges_room_1", NO_RANGES, NULL, 0 },
	{ "ranges_room", NO_RANGES, NULL, 0 },
	{ "ranges_resumed", NO_RANGES, NULL, 0 },
	{ "ranges_holes", NO_RANGES, NULL, 0 },
	{ "ranges_last_iova", NO_RANGES, NULL, 0 },
	{ "ranges_large", NO_RANGES, NULL, 0 },
	{ "ranges_coarse", NO_RANGES, NULL, 0 },
	{ "ranges_coarse_room", NO_RANGES, NULL, 0 },
	{ "ranges_pins", NO_RANGES, NULL, 0 },
	{ "ranges_pins_room", NO_RANGES, NULL, 0 },
	{ "ranges_pinned_chunks", NO_RANGES, NULL, 0 },
	{ "ranges_scope", NO_RANGES, NULL, 0 },
	{ "ranges_not_tracking", NO_RANGES, NULL, 0 },
	{ "ranges_arguments", NO_RANGES, NULL, 0 },
	{ "ranges_bad_buffer", NO_RANGES, NULL, 0 },
	{ "ranges_bad_struct", NO_RANGES, NULL, 0 },
	{ "ranges_unaligned_struct", NO_RANGES, NULL, 0 },
	{ "ranges_over_struct", NO_RANGES, NULL, 0 },
	{ "ranges_bad_buffer_coarse", NO_RANGES, NULL, 0 },
	{ "views_each", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_late", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_closed", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_pins", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_unseen", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_dirty_bits", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_peek", NO_VIEWS, "-ENOTTY, not ", 0 },
	{ "views_peek_large", NO_VIEWS, "-ENOTTY, not ", 0 },
	{ "views_bitmap_arguments", NO_VIEWS, "-ENOTTY, not ", 0 },
	{ "views_unmap", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_large", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_bad_buffer", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_limit", NO_VIEWS, "-EOPNOTSUPP, not ", 0 },
	{ "views_container_first", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_other_calls", NO_VIEWS, "-EOPNOTSUPP, not 0", 0 },
	{ "views_open_arguments", NO_VIEWS, "-ENOTTY, not ", 0 },
	{ "stats_counts", NO_STATS, "-ENOTTY, not ", 0 },
	{ "stats_arguments", NO_STATS, "-ENOTTY, not ", 0 },
	{ "stats_unseen", NO_STATS, "-ENOTTY, not ", 0 },
	{ "stats_fdinfo", NO_STATS, NULL, 0 },
	{ "process_list", NO_LIST, "-ENOTTY, not ", 0 },
	{ "iommu_map_waits_alone", NOT_THERE, "-EFAULT, not 0", 0 },
	{ "iommu_map_overtaken", NOT_THERE, "-EFAULT, not -EEXIST", 0 },
	{ "iommu_map_waits_over_limit", NOT_THERE, "-EFAULT, not -ENOMEM", 0 },
	{ "iommu_map_waits_behind_registers", NOT_THERE, "-EFAULT, not 0", 0 },
	{ "group_waits_alone", NOT_THERE_JOIN, "-EFAULT, not 0", 0 },
	{ "group_waits_for_another",
	  "an IOMMU's first group, and what another "
	  "process mapped",
	  "pins what the caller has at that address", NULL, 0 },
	{ "group_overtaken", NOT_THERE_JOIN, "-EFAULT, not 0", 0 },
	{ "group_waits_at_limit", NOT_THERE_JOIN, "-EFAULT, not 0", 0 },
	{ "map_iova_wraps", OVERFLOW, "-EINVAL, not -EOVERFLOW", LINUX_7_3 },
	{ "map_vaddr_wraps", OVERFLOW, "-EINVAL, not -EOVERFLOW", LINUX_7_3 },
	{ "unmap_wraps", OVERFLOW, "-EINVAL, not -EOVERFLOW", LINUX_7_3 },
	{ "harvest_wraps", OVERFLOW, "-EINVAL, not -EOVERFLOW", LINUX_7_3 },
	{ "map_last_iova", LAST_IOVA, NULL, LINUX_7_3 },
	{ "unmap_last_iova", LAST_IOVA, NULL, LINUX_7_3 },
	{ "unmap_bitmap_last_iova", LAST_IOVA, NULL, LINUX_7_3 },
	{ "harvest_last_iova", LAST_IOVA, NULL, LINUX_7_3 },
	{ "harvest_nothing_mapped_last_iova", "kernel version",
	  "a range up to the last IOVA counts as wrapping around",
	  "harvest: -EINVAL, not 0", LINUX_7_3 },
	{ "group_refused_beyond_aperture", "kernel version",
	  "mappings beyond what the IOMMU translates are tried, its driver refuses",
	  ", not -EINVAL", 0 },
	{ "info_chain", "kernel version",
	  "capabilities are not aligned to 8 bytes", "4, not 0", LINUX_6_12 },
	{ "iommu_readonly_untouched", "kernel version",
	  "pins for reading are of pages that the process leaves",
	  "got, \"after\", 6) is false", LINUX_6_12 },
};

#define COUNT (int)(sizeof(differences) / sizeof(*differences))

/*
 * Cases in which the stock driver would stop the kernel, with the first version that
 * does. A page size of 0 makes it shift by more than a word has bits; older kernels
 * aren't built to check for that, and answer right. A driver at fault makes it run into
 * BUG() or a warning.
 */
#define SHIFTS "the stock driver makes this kernel warn", LINUX_7_3
#define BUGS   "the stock driver stops the kernel by BUG()", 0

static const struct {
	const char *name;
	const char *what;
	unsigned int since;
} fatal[] = {
	{ "fault_page_size_0", SHIFTS },
	{ "harvest_page_size_bad", SHIFTS },
	{ "unmap_bitmap_page_size", SHIFTS },
	{ "hostile_ignores", BUGS },
	{ "hostile_ignores_bitmap", BUGS },
	{ "hostile_ignores_all", BUGS },
	{ "hostile_by_first", BUGS },
	{ "hostile_pins_again", BUGS },
	{ "hostile_late", BUGS },
	{ "hostile_killed", BUGS },
	{ "hostile_keeps", BUGS },
	{ "hostile_iommu", BUGS },
	{ "hostile_foreign_memory", BUGS },
};

#define FATAL (int)(sizeof(fatal) / sizeof(*fatal))

unsigned int kernel_version(void)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return 0;
	return major << 8 | minor;
}

const struct difference *difference_of(const char *name)
{
	const struct difference *d;

	for (d = differences; d < differences + COUNT; d++) {
		if (!strcmp(d->name, name))
			return d->before && kernel_version() >= d->before ?
				       NULL :
				       d;
	}
	return NULL;
}

const char *difference_fatal(const char *name)
{
	int i;

	for (i = 0; i < FATAL; i++)
		if (!strcmp(name, fatal[i].name))
			return kernel_version() >= fatal[i].since ?
				       fatal[i].what :
				       NULL;
	return NULL;
}

const char *difference_name(int n)
{
	if (n < COUNT)
		return differences[n].name;
	return n - COUNT < FATAL ? fatal[n - COUNT].name : NULL;
}
