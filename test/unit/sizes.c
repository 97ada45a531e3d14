// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Structures that begin with their size: every function that takes one accepts that of an
 * older program and that of a newer one.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "memdest.h"
#include "test/scratch.h"
#include "test/tap.h"

#define PAGE 4096u
#define MORE 64u /* bytes that a newer program's structure is longer */

static struct dmatrack *t;
static struct memdest store;
static char memory[PAGE] __attribute__((aligned(4096)));
static const struct dmatrack_region region = { .size = PAGE, .vaddr = memory };

static int stop(void *opaque)
{
	return 0;
}

static int no_channel(void *opaque, unsigned int attempt, int why,
		      struct dmatrack_channel **ch)
{
	return -ENOTCONN;
}

static ssize_t read_none(void *opaque, void *buf, size_t size)
{
	return 0;
}

static ssize_t write_all(void *opaque, const void *buf, size_t size)
{
	return (ssize_t)size;
}

static long read_zeros(void *opaque, uint64_t offset, void *buf, size_t size)
{
	memset(buf, 0, size);
	return (long)size;
}

static long write_nowhere(void *opaque, uint64_t offset, const void *buf,
			  size_t size)
{
	return (long)size;
}

/* A complete structure of each kind */
static const struct dmatrack_precopy a_precopy = {
	.regions = &region,
	.nregions = 1,
	.dest = &store.base,
	.stop = stop,
};
static const struct dmatrack_sender a_sender = { .connect = no_channel };
static const struct dmatrack_receiver a_receiver = {
	.dest = &store.base,
	.accept = no_channel,
};
static const struct dmatrack_channel_ops a_channel = {
	.read = read_none,
	.write = write_all,
};
static const struct dmatrack_peer a_peer;
static const struct dmatrack_memory a_memory = {
	.read = read_zeros,
	.write = write_nowhere,
};

/* The functions' callers. Each frees the objects that it creates. */
static int take_precopy(const void *s)
{
	return dmatrack_precopy_run(s, NULL);
}

static int take_precopy_ops(const void *s)
{
	struct dmatrack_precopy p = a_precopy;

	p.size = sizeof(p);
	store.base.ops = s;
	return dmatrack_precopy_run(&p, NULL);
}

static int take_receiver_ops(const void *s)
{
	struct dmatrack_receiver r = a_receiver;

	r.size = sizeof(r);
	store.base.ops = s;
	return dmatrack_receive(&r, NULL);
}

static int take_sender(const void *s)
{
	struct dmatrack_dest *d = NULL;
	int ret = dmatrack_sender_create(&d, s);

	dmatrack_dest_close(d);
	return ret;
}

static int take_asking_sender(const void *s)
{
	static const uint8_t id[16];
	enum dmatrack_outcome outcome;

	return dmatrack_sender_ask(s, id, &outcome);
}

static int take_receiver(const void *s)
{
	return dmatrack_receive(s, NULL);
}

static int take_channel(const void *s)
{
	struct dmatrack_channel *ch = NULL;
	int ret = dmatrack_channel_new(&ch, s, NULL);

	dmatrack_channel_close(ch);
	return ret;
}

static int take_listening_peer(const void *s)
{
	struct dmatrack_listener *l = NULL;
	char address[340];
	int ret;

	snprintf(address, sizeof(address), "unix:%s", scratch_path("socket"));
	ret = dmatrack_peer_listen(&l, address, s);
	dmatrack_listener_close(l);
	return ret;
}

static int take_connecting_peer(const void *s)
{
	struct dmatrack_channel *ch;
	char address[340];

	snprintf(address, sizeof(address), "unix:%s", scratch_path("nobody"));
	return dmatrack_peer_connect(&ch, address, s);
}

static int take_memory(const void *s)
{
	int ret = dmatrack_engine_map(dmatrack_get_engine(t), 0, PAGE,
				      DMATRACK_READ, s);

	if (!ret)
		CHECK_EQ(dmatrack_unmap(t, 0, PAGE), 0);
	return ret;
}

static void found(void *opaque, uint64_t iova, uint64_t size)
{
}

static const struct dmatrack_ranges beyond_the_last = {
	.iova = PAGE,
	.length = UINT64_MAX,
	.page_size = PAGE,
	.found = found,
};

static const struct dmatrack_iommufd no_iommufd = { .iommufd = -1 };

static int take_iommufd(const void *s)
{
	struct dmatrack *none;

	return dmatrack_open_iommufd(&none, s);
}

static const struct dmatrack_device_log no_device_log = { .device_fd = -1 };

static int take_device_log(const void *s)
{
	struct dmatrack *none;

	return dmatrack_open_device_log(&none, s);
}

static const struct dmatrack_process_log no_process_log = { .pid = 0 };

static int take_process_log(const void *s)
{
	struct dmatrack *none;

	return dmatrack_open_process_log(&none, s);
}

static const struct dmatrack_kvm_log no_kvm_log = { .vm_fd = -1 };

static int take_kvm_log(const void *s)
{
	struct dmatrack *none;

	return dmatrack_open_kvm_log(&none, s);
}

static const struct dmatrack_process_config no_process = { .pid = INT32_MAX };

static int take_process(const void *s)
{
	struct dmatrack_process *none;

	return dmatrack_process_open(&none, s);
}

static int take_ranges(const void *s)
{
	return dmatrack_harvest_ranges(t, s);
}

/**
 * struct kind - a structure, and a function that takes it
 * @name: name of the structure
 * @call: calls the function
 * @works: result of @call if the function accepts the structure
 * @from: a structure that is complete but for its size
 * @size: size of the structure in bytes
 * @least: size in bytes of the part that every program has
 */
static const struct kind {
	const char *name;
	int (*call)(const void *s);
	int works;
	const void *from;
	size_t size;
	size_t least;
} kinds[] = {
#define KIND(call, works, from, type, last) \
	{ \
#type, call, works, from, sizeof(struct type), \
			offsetof(struct type, last) + \
				sizeof(((struct type *)NULL)->last) \
	}
	KIND(take_precopy, 0, &a_precopy, dmatrack_precopy, stop),
	KIND(take_precopy_ops, 0, &memdest_ops, dmatrack_dest_ops, finish),
	KIND(take_receiver_ops, -ENOTCONN, &memdest_ops, dmatrack_dest_ops,
	     zero),
	KIND(take_sender, 0, &a_sender, dmatrack_sender, connect),
	KIND(take_asking_sender, -ENOTCONN, &a_sender, dmatrack_sender,
	     connect),
	KIND(take_receiver, -ENOTCONN, &a_receiver, dmatrack_receiver, accept),
	KIND(take_channel, 0, &a_channel, dmatrack_channel_ops, write),
	KIND(take_listening_peer, 0, &a_peer, dmatrack_peer, tls),
	KIND(take_connecting_peer, -ENOENT, &a_peer, dmatrack_peer, tls),
	KIND(take_memory, 0, &a_memory, dmatrack_memory, write),
	KIND(take_device_log, -EBADF, &no_device_log, dmatrack_device_log,
	     page_size),
	KIND(take_process_log, -EINVAL, &no_process_log, dmatrack_process_log,
	     mappings),
	KIND(take_process, -ESRCH, &no_process, dmatrack_process_config, fd),
	KIND(take_kvm_log, -EBADF, &no_kvm_log, dmatrack_kvm_log, reserved),
	KIND(take_iommufd, -EBADF, &no_iommufd, dmatrack_iommufd, flags),
	KIND(take_ranges, -EOVERFLOW, &beyond_the_last, dmatrack_ranges, found),
};

/*
 * Call with a structure of @size bytes, of which the first @known are valid. @junk: the value
 * of the bytes behind
 */
static int call(const struct kind *k, size_t size, size_t known,
		unsigned char junk)
{
	unsigned char s[1024] __attribute__((aligned(16)));

	memset(s, junk, sizeof(s));
	memcpy(s, k->from, known);
	memcpy(s, &size, sizeof(size));
	memset(&store, 0, sizeof(store));
	memdest_init(&store);
	return k->call(s);
}

static void check_text(const struct kind *k)
{
	if (!strstr(dmatrack_error(), k->name))
		printf("# %s: %s\n", k->name, dmatrack_error());
	CHECK(strstr(dmatrack_error(), k->name));
}

static void check_taken(const struct kind *k, size_t size, size_t known,
			unsigned char junk)
{
	int ret = call(k, size, known, junk);

	if (ret != k->works)
		printf("# %s of %zu bytes: %s\n", k->name, size,
		       dmatrack_error());
	CHECK_EQ(ret, k->works);
	memdest_free(&store);
}

static void check_refused(const struct kind *k, size_t size, size_t known,
			  unsigned char junk, int error)
{
	int ret = call(k, size, known, junk);

	if (ret != error)
		printf("# %s of %zu bytes\n", k->name, size);
	CHECK_EQ(ret, error);
	check_text(k);
	memdest_free(&store);
}

#define EACH(k) (k = kinds; k < kinds + sizeof(kinds) / sizeof(kinds[0]); k++)

/* Members that an older program lacks have their defaults, whatever lies in memory there. */
static void test_older(void)
{
	const struct kind *k;
	size_t size;

	for
		EACH(k)
	for (size = k->least; size <= k->size; size += sizeof(void *))
		check_taken(k, size, size, 0xff);
}

static void test_newer(void)
{
	const struct kind *k;
	size_t more;

	for
		EACH(k)
	for (more = 1; more <= MORE; more++)
		check_taken(k, k->size + more, k->size, 0);
}

static void test_unknown(void)
{
	const struct kind *k;
	size_t more;

	for
		EACH(k)
		{
			for (more = 1; more <= MORE; more++)
				check_refused(k, k->size + more, k->size, 1,
					      -E2BIG);
			check_refused(k, SIZE_MAX, k->size, 0, -E2BIG);
		}
}

static void test_too_small(void)
{
	const struct kind *k;
	size_t size;

	for
		EACH(k)
		{
			for (size = 0; size < k->least; size++)
				check_refused(k, size, k->size, 0, -EINVAL);
			/* the size ends within a member */
			for (; size < k->size; size++)
				if (size % sizeof(void *))
					check_refused(k, size, k->size, 0,
						      -EINVAL);
		}
}

static void close_never(struct dmatrack_dest *d)
{
	((struct memdest *)d)->closed++;
}

/* The size of a destination's functions ends before close(): it must not be called. */
static void test_no_close(void)
{
	struct dmatrack_dest_ops ops = {
		.size = offsetof(struct dmatrack_dest_ops, close),
		.close = close_never,
	};

	store.base.ops = &ops;
	store.closed = 0;
	dmatrack_dest_close(&store.base);
	CHECK_EQ(store.closed, 0);
	ops.size = offsetof(struct dmatrack_dest_ops, digest);
	dmatrack_dest_close(&store.base);
	CHECK_EQ(store.closed, 1);
}

int main(void)
{
	scratch_make(NULL);
	if (dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0))
		return 1;
	TEST(test_older, "structures of older programs");
	TEST(test_newer, "structures of newer programs that use nothing new");
	TEST(test_unknown,
	     "structures of newer programs that use unknown members");
	TEST(test_too_small, "structures of an impossible size");
	TEST(test_no_close, "a destination without close()");
	dmatrack_close(t);
	return tap_done();
}
