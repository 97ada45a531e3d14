// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * One round: a fresh container, threads that make calls, and the events beside them
 * (company.c). In the end everything is unmapped, and nothing may be left. Or the process
 * kills itself after so many calls, while its other threads are in the midst of one.
 */
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmatrack_engine.h"
#include "engine/iommu.h"
#include "uapi/dmatrack.h"

#include "calls.h"

#define ROUND_SECONDS 300 /* a round that takes longer hangs */
#define LOCKED_MAX    (64 * MiB)
#define OPEN_TRIES    1000000 /* attempts to open a group that is being released */

struct world world;
static unsigned long
	kill_at; /* the first thread's call that kills the process; 0: none */

struct note *note_begin(struct caller *c, const char *name, uint64_t a,
			uint64_t b, uint64_t d, uint64_t e)
{
	unsigned long nth = world.news->calls[c->id]++;
	struct note *n = &world.news->note[c->id][nth % LAST];

	*n = (struct note){ .name = name, .arg = { a, b, d, e } };
	if (kill_at && !c->id && nth == kill_at) {
		world.news->killed = true;
		kill(getpid(), SIGKILL);
	}
	return n;
}

void note_end(struct note *n, long ret)
{
	n->ret = ret;
	n->ended = true;
}

void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(world.news->wrong, sizeof(world.news->wrong), format, args);
	va_end(args);
	_exit(1);
}

/* Beginning ---------------------------------------------------------------- */

/* Limit the memory that may be locked: else mappings could take all memory. */
static void limit_locked(void)
{
	struct rlimit limit = { LOCKED_MAX, LOCKED_MAX };
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (world.engine) {
		dmatrack_engine_limit(dmatrack_get_engine(world.t),
				      LOCKED_MAX / PAGE);
		return;
	}
	setrlimit(RLIMIT_MEMLOCK, &limit);
	if (syscall(SYS_capget, &h, d))
		return;
	d[0].effective &= ~(1u << CAP_IPC_LOCK);
	syscall(SYS_capset, &h, d);
}

static int open_container(unsigned int type)
{
	unsigned int tries = 0;
	int ret;

	if (world.engine)
		return dmatrack_open_engine(&world.t, type,
					    DMATRACK_ENGINE_CHECKED);
	do
		ret = dmatrack_open_vfio(&world.t, world.s->device[0], type);
	while (ret == -EBUSY && ++tries < OPEN_TRIES && !sched_yield());
	return ret;
}

/* Write @value to a control group's file. */
static bool put(const char *group, const char *file, unsigned long value)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", group, file);
	f = fopen(path, "w");
	return f && fprintf(f, "%lu", value) > 0 && !fclose(f);
}

/* The path of this process's control group, below the root's */
static const char *own_group(char *group, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "r");

	*group = 0;
	while (f && fgets(group, size, f) && strncmp(group, "0::", 3))
		;
	if (f)
		fclose(f);
	group[strcspn(group, "\n")] = 0;
	return group + 3;
}

/*
 * The kernel's memory for a container is charged to the control group that opened it.
 * Open it in a group with little memory and leave that group, so that user space has
 * enough.
 */
static int open_poor(unsigned int type)
{
	char line[128];
	const char *home = own_group(line, sizeof(line));
	int ret;

	mkdir("/sys/fs/cgroup/fuzz", 0755);
	if (!put("fuzz", "memory.max", world.s->memory * MiB) ||
	    !put("fuzz", "cgroup.procs", getpid()))
		wrong("no control group: %s", strerror(errno));
	ret = open_container(type);
	if (!put(home, "cgroup.procs", getpid()))
		wrong("no way back to the control group %s", home);
	return ret;
}

static void open_world(struct caller *c)
{
	unsigned int type = once_in(c, 8) ? VFIO_TYPE1_IOMMU :
					    VFIO_TYPE1v2_IOMMU;
	unsigned int i;
	int ret;

	world.engine = !world.s->nr_devices;
	if (world.engine)
		world.iommu = once_in(c, 8);
	for (i = 0; i < world.s->nr_devices; i++)
		world.iommu |= !!strchr(world.s->device[i], '.');
	if (!world.engine && once_in(c, 4))
		kill_at = any(c, world.s->calls / world.s->threads + 1);
	ret = world.s->memory ? open_poor(type) : open_container(type);
	if (ret)
		wrong("no container: %s", strerror(-ret));
	if (world.engine && world.iommu && once_in(c, 3))
		ret = dmatrack_engine_emulated(dmatrack_get_engine(world.t),
					       false);
	else
		ret = dev_open(&world.d, world.t);
	if (ret)
		wrong("no device: %s", strerror(-ret));
	if (!arena_init())
		wrong("no memory for the arena");
	limit_locked();
}

/* Running ------------------------------------------------------------------ */

static void *call_on(void *arg)
{
	struct caller *c = arg;
	/* rounded up: else fewer calls than threads would never be made */
	unsigned long n = (world.s->calls - 1) / world.s->threads + 1;

	while (n--)
		random_call(c);
	dmatrack_close(c->view);
	return NULL;
}

static void run_threads(void)
{
	static struct caller caller[THREADS_MAX];
	pthread_t thread[THREADS_MAX];
	unsigned int i;

	arena_start();
	company_start(world.s->seed + 200);
	for (i = 0; i < world.s->threads; i++) {
		caller_init(&caller[i], i, world.s->seed);
		if (pthread_create(&thread[i], NULL, call_on, &caller[i]))
			wrong("no thread");
	}
	for (i = 0; i < world.s->threads; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&world.stop, true, __ATOMIC_RELAXED);
	company_stop();
	arena_stop();
}

/* The end ------------------------------------------------------------------ */

static void unmap_all(void)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};
	struct dmatrack_mapping_entry e;
	struct dmatrack_get_mappings get = {
		.argsz = sizeof(get),
		.count = 1,
		.entries = (uintptr_t)&e,
	};
	long ret = dmatrack_ioctl(world.t, VFIO_IOMMU_UNMAP_DMA,
				  (unsigned long)&u);

	if (ret == -EINVAL) /* v1 */
		return;
	if (ret)
		wrong("UNMAP_DMA of all returned %ld", ret);
	ret = dmatrack_ioctl(world.t, DMATRACK_GET_MAPPINGS,
			     (unsigned long)&get);
	if (ret != -ENOTTY && (ret || get.count))
		wrong("%u mappings are left (%ld)", get.count, ret);
}

/* Memory that this process has locked, in kB */
static long locked(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = -1;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmLck: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

static void close_device(void)
{
	struct tdev_stats stats;

	dev_halt(world.d);
	unmap_all();
	if (!dev_stats(world.d, &stats) && stats.pinned)
		wrong("%llu pages are pinned that aren't mapped", stats.pinned);
	dev_close(world.d);
}

static void close_world(void)
{
	if (world.d)
		close_device();
	dmatrack_close(world.t); /* the engine checks that nothing is left */
	if (!world.engine && locked() > 0)
		wrong("%ld kB are still locked", locked());
}

int round_run(const struct setup *s, struct news *news)
{
	struct caller c = { .rng = ~s->seed };

	world.s = s;
	world.news = news;
	alarm(ROUND_SECONDS);
	open_world(&c);
	run_threads();
	close_world();
	news->ended = true;
	return 0;
}
