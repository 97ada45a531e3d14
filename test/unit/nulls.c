// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * NULL where a public function needs a pointer: each function fails with a text that
 * names it, and none crashes. The table has a call for every pointer, and every function
 * of the library.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "test/tap.h"

/* Valid arguments, for calls in which another one is NULL */
static struct dmatrack *t;
static struct dmatrack_engine *e;
static struct dmatrack_channel *ch;
static struct dmatrack_listener *l;
static struct dmatrack_dest *d;
static struct dmatrack_image *image;
static struct dmatrack_container_info *info;
static struct dmatrack_cancel *cancel;
static struct dmatrack_watch *watch;
static struct dmatrack_outlook outlook;
static const struct dmatrack_peer peer = { .size = sizeof(peer) };
static enum dmatrack_outcome outcome;
static uint64_t words[64], number;
static uint8_t digest[16];
static void *pages[1];

/* No process is needed: it isn't looked at if another argument is NULL. */
static struct dmatrack_process *const process = (void *)words;
static struct dmatrack_process *nothing;
static const struct dmatrack_process_config no_process = {
	.size = sizeof(no_process),
};
static const struct dmatrack_precopy no_copy = { .size = sizeof(no_copy) };

static int no_connect(void *opaque, unsigned int attempt, int why,
		      struct dmatrack_channel **out)
{
	return -ECONNREFUSED;
}

static const struct dmatrack_sender how = {
	.size = sizeof(how),
	.connect = no_connect,
};
static const struct dmatrack_channel_ops no_functions = {
	.size = sizeof(no_functions),
};
static const struct dmatrack_process_log no_process_log = {
	.size = sizeof(no_process_log),
};
static const struct dmatrack_device_log no_device_log = {
	.size = sizeof(no_device_log),
	.device_fd = -1,
};
static const struct dmatrack_kvm_log no_kvm_log = {
	.size = sizeof(no_kvm_log),
	.vm_fd = -1,
};
static const struct dmatrack_iommufd no_iommufd = {
	.size = sizeof(no_iommufd),
};
static const struct dmatrack_memory no_memory = { .size = sizeof(no_memory) };
static const struct dmatrack_region nowhere = { .size = 4096 };

static const struct dmatrack_ranges nothing_found = { .size = sizeof(
							      nothing_found) };

static void found(void *opaque, uint64_t iova, uint64_t size)
{
}

static const struct dmatrack_ranges ranges = { .size = sizeof(ranges),
					       .found = found };

/* clang-format off */
/* Calls that fail with -EINVAL */
#define CALLS(C) \
	C(accept, NULL, &ch, 0) \
	C(attach, NULL, "device") C(attach, t, NULL) \
	C(cancel_create, NULL) \
	C(channel_fds, NULL, 0, 1) \
	C(channel_new, NULL, &no_functions, NULL) C(channel_new, &ch, NULL, NULL) \
	C(connect, NULL, "-", NULL) C(connect, &ch, NULL, NULL) \
	C(dest_describe, NULL, "") \
	C(detach, NULL, 0) \
	C(digest, NULL, 1, digest) C(digest, &nowhere, 1, NULL) \
	C(engine_create, NULL, VFIO_TYPE1v2_IOMMU, 0) \
	C(engine_ioctl, NULL, VFIO_CHECK_EXTENSION, 0) \
	C(engine_map, NULL, 0, 4096, 3, &no_memory) \
	C(engine_map, e, 0, 4096, 3, NULL) \
	C(engine_mark_dirty, NULL, 0, 1) \
	C(engine_pin, NULL, 0, 1, 3, pages) C(engine_pin, e, 0, 1, 3, NULL) \
	C(engine_read, NULL, 0, words, 8) C(engine_read, e, 0, NULL, 8) \
	C(engine_unpin, NULL, 0, 1) \
	C(engine_write, NULL, 0, words, 8) C(engine_write, e, 0, NULL, 8) \
	C(get_info, NULL, &info) C(get_info, t, NULL) \
	C(harvest, NULL, 0, 4096, 4096, words) C(harvest, t, 0, 4096, 4096, NULL) \
	C(harvest_ranges, NULL, &ranges) C(harvest_ranges, t, NULL) \
	C(harvest_ranges, t, &nothing_found) \
	C(image_create, NULL, "/nowhere/image", 0) C(image_create, &d, NULL, 0) \
	C(image_digest, NULL, digest, NULL, NULL) \
	C(image_discard, NULL) \
	C(image_set_base, NULL, NULL) \
	C(image_attach, NULL, NULL) \
	C(image_next_data, NULL, words, &number) \
	C(image_open, NULL, "/nowhere") C(image_open, &image, NULL) \
	C(image_read, NULL, 0, words, 8) \
	C(ioctl, NULL, VFIO_CHECK_EXTENSION, 0) \
	C(listen, NULL, "unix:/nowhere", NULL) C(listen, &l, NULL, NULL) \
	C(map, NULL, 0, words, 4096, 3) \
	C(mappings, NULL, 0, NULL, 0) C(mappings, t, 0, NULL, 1) \
	C(open_engine, NULL, VFIO_TYPE1v2_IOMMU, 0) \
	C(open_fd, NULL, 0) \
	C(open_view, NULL, t) C(open_view, &t, NULL) \
	C(peek, NULL, 0, 4096, 4096, words) C(peek, t, 0, 4096, 4096, NULL) \
	C(open_group, NULL, "/nowhere", VFIO_TYPE1v2_IOMMU) \
	C(open_group, &t, NULL, VFIO_TYPE1v2_IOMMU) \
	C(open_device_log, NULL, &no_device_log) C(open_device_log, &t, NULL) \
	C(open_process_log, NULL, &no_process_log) \
	C(open_process_log, &t, NULL) \
	C(open_iommufd, NULL, &no_iommufd) C(open_iommufd, &t, NULL) \
	C(open_kvm_log, NULL, &no_kvm_log) C(open_kvm_log, &t, NULL) \
	C(open_vfio, NULL, "device", VFIO_TYPE1v2_IOMMU) \
	C(open_vfio, &t, NULL, VFIO_TYPE1v2_IOMMU) \
	C(peer_connect, NULL, "-", &peer) C(peer_connect, &ch, NULL, &peer) \
	C(peer_connect, &ch, "-", NULL) \
	C(peer_listen, NULL, "unix:/nowhere", &peer) C(peer_listen, &l, NULL, &peer) \
	C(peer_listen, &l, "unix:/nowhere", NULL) \
	C(precopy_run, NULL, NULL) \
	C(process_copy, NULL, &no_copy, NULL) C(process_copy, process, NULL, NULL) \
	C(process_go_on, NULL) \
	C(process_open, NULL, &no_process) C(process_open, &nothing, NULL) \
	C(process_read, NULL, 0, words, 4096) C(process_read, process, 0, NULL, 4096) \
	C(receive, NULL, NULL) \
	C(sender_ask, NULL, digest, &outcome) C(sender_ask, &how, NULL, &outcome) \
	C(sender_ask, &how, digest, NULL) \
	C(sender_create, NULL, &how) C(sender_create, &d, NULL) \
	C(sender_id, NULL, digest) \
	C(start, NULL) \
	C(stop, NULL) \
	C(unmap, NULL, 0, 4096) \
	C(watch_open, NULL, t) C(watch_open, &watch, NULL) \
	C(watch_outlook, NULL, 1, 1, &outlook) C(watch_take, NULL)

/* Calls that can't fail: they return NULL, 0 or nothing */
#define QUIET(C) \
	C(bitmap_count, NULL, 64) \
	C(device_fd, NULL) \
	C(driver, NULL) \
	C(get_engine, NULL) \
	C(image_description, NULL) \
	C(image_is_incremental, NULL) \
	C(image_page_size, NULL) \
	C(image_regions, NULL, NULL) \
	C(listener_address, NULL) \
	C(next_run, NULL, 64, words, &number) C(next_run, words, 64, NULL, NULL) \
	C(process_get_info, NULL) \
	C(watch_written, NULL, 1)

#define NOTHING(C) \
	C(bitmap_merge, NULL, 0, words, 64) C(bitmap_merge, words, 0, NULL, 64) \
	C(cancel_destroy, NULL) \
	C(cancel_set, NULL) \
	C(channel_close, NULL) \
	C(close, NULL) \
	C(dest_close, NULL) \
	C(engine_destroy, NULL) \
	C(engine_on_unmap, NULL, NULL, NULL) \
	C(image_close, NULL) \
	C(info_free, NULL) \
	C(listener_close, NULL) \
	C(process_close, NULL) \
	C(watch_close, NULL)
/* clang-format on */

/* Set the text of an earlier error, which a call with NULL must replace. */
static void fail_otherwise(void)
{
	struct dmatrack *none;

	CHECK_EQ(dmatrack_open_engine(&none, 77, 0), -EINVAL);
	CHECK(strstr(dmatrack_error(), "77"));
}

static void check_refused(const char *name, long ret)
{
	char want[64];

	snprintf(want, sizeof(want), "dmatrack_%s", name);
	if (ret != -EINVAL || !strstr(dmatrack_error(), "NULL"))
		printf("# %s: %ld, '%s'\n", want, ret, dmatrack_error());
	CHECK_EQ(ret, -EINVAL);
	CHECK(strstr(dmatrack_error(), want));
	CHECK(strstr(dmatrack_error(), "NULL"));
}

static void test_refused(void)
{
#define CALL(name, ...) \
	fail_otherwise(); \
	check_refused(#name, dmatrack_##name(__VA_ARGS__));
	CALLS(CALL)
}

static void test_quiet(void)
{
#define ASK(name, ...) \
	CHECK((long)dmatrack_##name(__VA_ARGS__) == 0 || \
	      !strcmp(#name, "device_fd"));
#define DO(name, ...) dmatrack_##name(__VA_ARGS__);
	QUIET(ASK)
	CHECK_EQ(dmatrack_device_fd(NULL), -1);
	NOTHING(DO)
}

/* Functions that need no pointer */
static const char *const without[] = { "bitmap_size", "error", "set_error" };

static const char *const names[] = {
#define NAME(name, ...) #name,
	CALLS(NAME) QUIET(NAME) NOTHING(NAME)
};

static bool is_called(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (!strcmp(without[i], name))
			return true;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return true;
	printf("# dmatrack_%s() isn't called here\n", name);
	return false;
}

static int count_missing(const char *map, int *n)
{
	FILE *f = fopen(map, "re");
	char line[256], name[128];
	int missing = 0;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " dmatrack_%127[a-z_];", name) != 1)
			continue;
		++*n;
		missing += !is_called(name);
	}
	fclose(f);
	return missing;
}

static void test_all(void)
{
	int n = 0;

	CHECK_EQ(count_missing("lib/libdmatrack.map", &n), 0);
	CHECK_EQ(count_missing("lib/libdmatrack-copy.map", &n), 0);
	CHECK(n > 60);
}

/* Structures with missing members ------------------------------------------- */

static int no_channel(void *opaque, unsigned int attempt, int why,
		      struct dmatrack_channel **out)
{
	CHECK(attempt < 3);
	return 0;
}

/* A callback that returns success without a channel */
static void test_no_channel(void)
{
	const struct dmatrack_sender s = {
		.size = sizeof(s),
		.connect = no_channel,
	};
	const struct dmatrack_region region = { .size = 4096 };

	CHECK_EQ(dmatrack_sender_ask(&s, digest, &outcome), -EINVAL);
	CHECK(strstr(dmatrack_error(), "no channel"));
	CHECK_EQ(dmatrack_sender_create(&d, &s), 0);
	CHECK_EQ(d->ops->begin(d, &region, 1, 4096), -EINVAL);
	CHECK(strstr(dmatrack_error(), "no channel"));
	dmatrack_dest_close(d);
}

static int take_begin(struct dmatrack_dest *to, const struct dmatrack_region *r,
		      unsigned int n, uint32_t page_size)
{
	return 0;
}

static int take_write(struct dmatrack_dest *to, uint64_t iova, const void *data,
		      size_t size)
{
	return 0;
}

static int take_zero(struct dmatrack_dest *to, uint64_t iova, uint64_t size)
{
	return 0;
}

static int take_finish(struct dmatrack_dest *to)
{
	return 0;
}

static const struct dmatrack_dest_ops taking = {
	.size = sizeof(taking),
	.begin = take_begin,
	.write = take_write,
	.zero = take_zero,
	.finish = take_finish,
};

static void test_no_sender(void)
{
	struct dmatrack_dest to = { .ops = &taking };
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.dest = &to,
		.accept = no_channel,
	};

	CHECK_EQ(dmatrack_receive(&r, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "no channel"));
	to.ops = NULL;
	CHECK_EQ(dmatrack_receive(&r, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "dmatrack_dest_ops: NULL"));
	dmatrack_dest_close(&to);
}

static int stop(void *opaque)
{
	return 0;
}

static void test_precopy(void)
{
	struct dmatrack_dest to = { .ops = NULL };
	struct dmatrack *none[1] = { NULL };
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.stop = stop,
		.ncontainers = 1,
		.regions = &nowhere,
		.nregions = 1,
	};

	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "NULL"));
	p.containers = none;
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "container 0 is NULL"));
	none[0] = t;
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "destination"));
	p.dest = &to;
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "struct dmatrack_dest_ops: NULL"));
	to.ops = &taking;
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "region 0"));
	p.regions = NULL;
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EINVAL);
	CHECK(strstr(dmatrack_error(), "0 regions"));
}

int main(void)
{
	if (dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0) ||
	    dmatrack_cancel_create(&cancel))
		return 1;
	e = dmatrack_get_engine(t);
	TEST(test_all, "every function of the library is called with NULL");
	TEST(test_refused,
	     "NULL is refused, with a text that names the function");
	TEST(test_quiet, "NULL for functions that can't fail");
	TEST(test_no_channel, "connect() returns 0 without a channel");
	TEST(test_no_sender,
	     "accept() returns 0 without a channel; a destination without functions");
	TEST(test_precopy, "NULL in the members of a pre-copy");
	dmatrack_cancel_destroy(cancel);
	dmatrack_close(t);
	return tap_done();
}
