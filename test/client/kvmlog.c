// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * kvmlog UUID
 *
 * The main work of every VMM in a migration: merge KVM's log of the processors' writes
 * with the container's log of the devices' writes. Here with a real KVM: a guest of a
 * dozen instructions writes some pages of a memory slot, a mediated device writes
 * others, and some are written by both. First the program reads KVM's log itself, then the
 * library does, and a pre-copy reads both logs.
 *
 * The slot lies in the middle of the region that is mapped for devices, and begins at a
 * page that isn't a multiple of 64, so that the two logs don't line up.
 *
 * Prints TAP. The type1 driver is whichever is loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "devices/device.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE	  4096ull
#define REGION	  512 /* pages */
#define IOVA	  (1ull << 32)
#define SLOT_AT	  37  /* page of the region */
#define SLOT	  200 /* pages; real mode reaches 256 */
#define WORDS	  (REGION / 64)
#define ENTRY	  0x100
#define LONG_SLOT ((1u << 19) + 37) /* pages */

static char *memory, *copy;
static struct dmatrack *t, *kvm_log;
static struct dev_device *d;
static int vm, vcpu;
static struct kvm_run *run;

static char *slot_page(unsigned int n)
{
	return memory + (SLOT_AT + n) * PAGE;
}

/* The guest ---------------------------------------------------------------------- */

/* Pages of the slot that the guest writes; a device writes two of them, too */
static const unsigned char guest_writes[] = { 1,  26, 27,  28, 63,
					      64, 91, 130, 199 };
#define NR_GUEST sizeof(guest_writes)

/* For each page: load its segment into %ds, store %cl at its start. Then halt. */
static void write_program(void)
{
	static const unsigned char store[] = {
		0xb8, 0,    0,	  /* mov $segment, %ax */
		0x8e, 0xd8,	  /* mov %ax, %ds */
		0x88, 0x0e, 0, 0, /* mov %cl, 0 */
	};
	unsigned char *to = (unsigned char *)slot_page(0) + ENTRY;
	unsigned int i;

	for (i = 0; i < NR_GUEST; i++, to += sizeof(store)) {
		memcpy(to, store, sizeof(store));
		to[2] = guest_writes[i]; /* page * 4096 / 16 */
	}
	*to = 0xf4; /* hlt */
}

/* Set the slot; in later calls only @flags may be others. */
static void set_slot(uint32_t flags)
{
	struct kvm_userspace_memory_region slot = {
		.flags = flags,
		.memory_size = SLOT * PAGE,
		.userspace_addr = (uintptr_t)slot_page(0),
	};

	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
}

/* Begin the program, with this value to store. */
static void reset_vcpu(unsigned char value)
{
	struct kvm_regs regs = { .rip = ENTRY, .rflags = 2, .rcx = value };
	struct kvm_sregs sregs;

	CHECK_EQ(ioctl(vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	CHECK_EQ(ioctl(vcpu, KVM_SET_SREGS, &sregs), 0);
	CHECK_EQ(ioctl(vcpu, KVM_SET_REGS, &regs), 0);
}

static void make_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), size;

	CHECK(kvm >= 0);
	CHECK_EQ(ioctl(kvm, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	CHECK(vm >= 0);
	set_slot(KVM_MEM_LOG_DIRTY_PAGES);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	CHECK(vcpu >= 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	CHECK(size > 0);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
		   0);
	CHECK(run != MAP_FAILED);
	write_program();
	close(kvm);
}

/* Each run stores another value. */
static void run_guest(void)
{
	static unsigned char value;
	unsigned int i;

	reset_vcpu(++value);
	CHECK_EQ(ioctl(vcpu, KVM_RUN, 0), 0);
	CHECK_EQ(run->exit_reason, KVM_EXIT_HLT);
	for (i = 0; i < NR_GUEST; i++)
		CHECK_EQ(*(unsigned char *)slot_page(guest_writes[i]), value);
}

/* The logs ------------------------------------------------------------------------- */

static void dirty_log(uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };

	memset(bitmap, 0, dmatrack_bitmap_size(SLOT * PAGE, PAGE));
	CHECK_EQ(ioctl(vm, KVM_GET_DIRTY_LOG, &log), 0);
}

/* Both logs, in the region's bitmap */
static void merged(uint64_t *bitmap)
{
	uint64_t slot[(SLOT + 63) / 64];

	CHECK_EQ(dmatrack_harvest(t, IOVA, REGION * PAGE, PAGE, bitmap), 0);
	dirty_log(slot);
	dmatrack_bitmap_merge(bitmap, SLOT_AT, slot, SLOT);
}

static void device_writes(const unsigned int *pages, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK_EQ(dev_write(d, IOVA + pages[i] * PAGE + 8, "device", 7),
			 0);
}

static void want_bit(uint64_t *bitmap, unsigned int n)
{
	bitmap[n / 64] |= 1ull << n % 64;
}

static void check_same(const uint64_t *got, const uint64_t *want)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		CHECK_EQ(got[i], want[i]);
}

/* Pages of the region: before the slot, in it (two that the guest writes), behind */
static const unsigned int by_device[] = {
	0,
	36,
	SLOT_AT + 2,
	SLOT_AT + 27,
	SLOT_AT + 64,
	SLOT_AT + 198,
	SLOT_AT + SLOT,
	511,
};
#define NR_DEVICE (sizeof(by_device) / sizeof(*by_device))

/*
 * Both logs start here: earlier writes are not reported. KVM counts a page as written
 * also when the guest first reads it, to fetch its program, so let it run once.
 */
static void test_start(void)
{
	uint64_t bitmap[WORDS];

	run_guest();
	CHECK_EQ(dmatrack_start(t), 0);
	merged(bitmap);
	CHECK(dmatrack_bitmap_count(bitmap, REGION) > NR_GUEST);
	merged(bitmap);
	CHECK_EQ(dmatrack_bitmap_count(bitmap, REGION), 0);
}

static void test_union(void)
{
	uint64_t got[WORDS], want[WORDS] = { 0 };
	unsigned int i;

	run_guest();
	device_writes(by_device, NR_DEVICE);
	merged(got);
	for (i = 0; i < NR_GUEST; i++)
		want_bit(want, SLOT_AT + guest_writes[i]);
	for (i = 0; i < NR_DEVICE; i++)
		want_bit(want, by_device[i]);
	check_same(got, want);
	CHECK_EQ(dmatrack_bitmap_count(got, REGION), NR_GUEST + NR_DEVICE - 2);
	merged(got);
	CHECK_EQ(dmatrack_bitmap_count(got, REGION), 0);
}

static void test_guest_alone(void)
{
	uint64_t got[WORDS], want[WORDS] = { 0 };
	unsigned int i;

	run_guest();
	CHECK_EQ(dmatrack_harvest(t, IOVA, REGION * PAGE, PAGE, got), 0);
	check_same(got, want); /* the processor's writes aren't DMA */
	merged(got);
	for (i = 0; i < NR_GUEST; i++)
		want_bit(want, SLOT_AT + guest_writes[i]);
	check_same(got, want);
}

static void test_device_alone(void)
{
	uint64_t got[WORDS], want[WORDS] = { 0 };
	unsigned int i;

	device_writes(by_device, NR_DEVICE);
	merged(got);
	for (i = 0; i < NR_DEVICE; i++)
		want_bit(want, by_device[i]);
	check_same(got, want);
}

/* KVM's log, as a container -------------------------------------------------------- */

/**
 * struct mode - how the program has set KVM up
 * @protect: argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2
 * @log_flags: flags of the log
 * @slot_flags: flags of the slot
 */
static const struct mode {
	uint64_t protect;
	uint32_t log_flags;
	uint32_t slot_flags;
} automatic = { 0, 0, 0 }, program_s = { 0, 0, KVM_MEM_LOG_DIRTY_PAGES },
  manual = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, DMATRACK_KVM_MANUAL_PROTECT,
	     0 },
  initially_set = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
			    KVM_DIRTY_LOG_INITIALLY_SET,
		    DMATRACK_KVM_MANUAL_PROTECT, 0 };

static void open_kvm_log(const struct mode *mode)
{
	const struct dmatrack_kvm_slot slot = {
		.iova = IOVA + SLOT_AT * PAGE,
		.size = SLOT * PAGE,
		.vaddr = (uintptr_t)slot_page(0),
		.flags = mode->slot_flags,
	};
	const struct dmatrack_kvm_log from = {
		.size = sizeof(from),
		.vm_fd = vm,
		.nr_slots = 1,
		.slots = &slot,
		.flags = mode->log_flags,
	};
	struct kvm_enable_cap protect = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args[0] = mode->protect,
	};
	int err;

	set_slot(0);
	CHECK_EQ(ioctl(vm, KVM_ENABLE_CAP, &protect), 0);
	set_slot(mode->slot_flags);
	err = dmatrack_open_kvm_log(&kvm_log, &from);
	if (err)
		printf("# %s\n", dmatrack_error());
	CHECK_EQ(err, 0);
}

/* Does KVM log the slot? */
static bool is_logged(void)
{
	uint64_t bitmap[(SLOT + 63) / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };

	return !ioctl(vm, KVM_GET_DIRTY_LOG, &log);
}

static void harvest_kvm_log(uint64_t *bitmap)
{
	int err = dmatrack_harvest(kvm_log, IOVA, REGION * PAGE, PAGE, bitmap);

	if (err)
		printf("# %s\n", dmatrack_error());
	CHECK_EQ(err, 0);
}

/* The guest's pages are reported after each run, exactly, and once. */
static void check_runs(void)
{
	uint64_t got[WORDS], want[WORDS] = { 0 }, none[WORDS] = { 0 };
	unsigned int i;

	for (i = 0; i < NR_GUEST; i++)
		want_bit(want, SLOT_AT + guest_writes[i]);
	for (i = 0; i < 3; i++) {
		run_guest();
		harvest_kvm_log(got);
		check_same(got, want);
		harvest_kvm_log(got);
		check_same(got, none);
	}
}

/* The first run of a log counts the page of the program as written, too. */
static void check_log(const struct mode *mode)
{
	uint64_t bitmap[WORDS];

	open_kvm_log(mode);
	CHECK_EQ(is_logged(), mode->slot_flags != 0);
	run_guest(); /* isn't logged, or dropped */
	CHECK_EQ(dmatrack_start(kvm_log), 0);
	harvest_kvm_log(bitmap);
	CHECK_EQ(dmatrack_bitmap_count(bitmap, REGION), 0);
	run_guest();
	harvest_kvm_log(bitmap);
	CHECK(dmatrack_bitmap_count(bitmap, REGION) >= NR_GUEST);
	check_runs();
	CHECK_EQ(dmatrack_stop(kvm_log), 0);
	CHECK_EQ(is_logged(), mode->slot_flags != 0);
	CHECK_EQ(dmatrack_start(kvm_log), 0);
	CHECK(is_logged());
	run_guest();
	harvest_kvm_log(bitmap);
	check_runs();
	dmatrack_close(kvm_log);
	CHECK_EQ(is_logged(), mode->slot_flags != 0);
}

static void test_automatic(void)
{
	check_log(&automatic);
}

static void test_program_s(void)
{
	check_log(&program_s);
}

static void test_manual(void)
{
	check_log(&manual);
}

static void test_initially_set(void)
{
	check_log(&initially_set);
}

static void test_not_a_vm(void)
{
	const struct dmatrack_kvm_slot slot = { .size = PAGE };
	struct dmatrack_kvm_log from = {
		.size = sizeof(from),
		.vm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC),
		.nr_slots = 1,
		.slots = &slot,
	};
	struct dmatrack *none;

	CHECK_EQ(dmatrack_open_kvm_log(&none, &from), -EINVAL);
	CHECK(strstr(dmatrack_error(), "isn't a virtual machine"));
	close(from.vm_fd);
	from.vm_fd = vcpu;
	CHECK_EQ(dmatrack_open_kvm_log(&none, &from), -EINVAL);
	from.vm_fd = dmatrack_device_fd(t);
	CHECK_EQ(dmatrack_open_kvm_log(&none, &from), -EINVAL);
}

/* A slot of more pages than a call clears, and of no multiple of 64 of them */
static void test_long(void)
{
	const struct dmatrack_kvm_slot slot = {
		.iova = IOVA,
		.size = LONG_SLOT * PAGE,
		.guest_addr = IOVA,
		.vaddr = (uintptr_t)mmap(NULL, LONG_SLOT * PAGE, PROT_READ,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.slot = 1,
	};
	struct kvm_userspace_memory_region region = {
		.slot = slot.slot,
		.guest_phys_addr = slot.guest_addr,
		.memory_size = slot.size,
		.userspace_addr = slot.vaddr,
	};
	const struct dmatrack_kvm_log from = {
		.size = sizeof(from),
		.vm_fd = vm,
		.nr_slots = 1,
		.slots = &slot,
		.flags = DMATRACK_KVM_MANUAL_PROTECT,
	};
	static uint64_t bitmap[LONG_SLOT / 64 + 1];

	/* all bits are set when the log is switched on */
	CHECK(slot.vaddr != (uintptr_t)MAP_FAILED);
	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	CHECK_EQ(dmatrack_open_kvm_log(&kvm_log, &from), 0);
	CHECK_EQ(dmatrack_start(kvm_log), 0);
	CHECK_EQ(dmatrack_harvest(kvm_log, IOVA, slot.size, PAGE, bitmap), 0);
	CHECK_EQ(dmatrack_bitmap_count(bitmap, LONG_SLOT), 0);
	dmatrack_close(kvm_log);
	region.memory_size = 0;
	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	munmap((void *)(uintptr_t)slot.vaddr, slot.size);
}

/* The program removes the slot while it is logged. KVM doesn't get it back. */
static void test_removed(void)
{
	struct kvm_userspace_memory_region none = { .slot = 0 };
	uint64_t bitmap[WORDS];
	unsigned int i;

	open_kvm_log(&automatic);
	CHECK_EQ(dmatrack_start(kvm_log), 0);
	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &none), 0);
	for (i = 0; i < 2; i++) {
		harvest_kvm_log(bitmap);
		CHECK_EQ(dmatrack_bitmap_count(bitmap, REGION), SLOT);
	}
	dmatrack_close(kvm_log);
	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &none), -1);
	CHECK_EQ(errno, EINVAL);
	set_slot(0);
}

/* Pre-copy ------------------------------------------------------------------------- */

/**
 * struct processor - a thread that runs the guest again and again
 * @thread: the thread
 * @halt: whether it is to end; atomic
 * @runs: number of runs; atomic
 * @failed: whether a run failed; valid after the thread's end
 */
static struct processor {
	pthread_t thread;
	bool halt;
	unsigned int runs;
	bool failed;
} processor;

static void *keep_running(void *arg)
{
	unsigned char value = 0;

	while (!__atomic_load_n(&processor.halt, __ATOMIC_RELAXED)) {
		struct kvm_regs regs = { .rip = ENTRY, .rflags = 2 };

		regs.rcx = ++value;
		if (ioctl(vcpu, KVM_SET_REGS, &regs) ||
		    ioctl(vcpu, KVM_RUN, 0) ||
		    run->exit_reason != KVM_EXIT_HLT) {
			processor.failed = true;
			break;
		}
		__atomic_fetch_add(&processor.runs, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* The device writes behind the guest's program, in the slot and beyond it. */
static void start_all(void)
{
	const struct tdev_run device = {
		.argsz = sizeof(device),
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY,
		.threads = 1,
		.size = 6000,
		.iova = IOVA + (SLOT_AT + 150) * PAGE,
		.length = 100 * PAGE,
		.rate = 1000,
		.seed = 1,
	};

	reset_vcpu(0);
	processor = (struct processor){ .halt = false };
	CHECK(!pthread_create(&processor.thread, NULL, keep_running, NULL));
	CHECK_EQ(dev_run(d, &device), 0);
}

static int halt_all(void *opaque)
{
	__atomic_store_n(&processor.halt, true, __ATOMIC_RELAXED);
	pthread_join(processor.thread, NULL);
	return dev_halt(d);
}

/* Has the guest run since the round? If not, wait until it has: so each round has its pages. */
static int wait_for_run(void *opaque, const struct dmatrack_round *r)
{
	unsigned int runs = __atomic_load_n(&processor.runs, __ATOMIC_ACQUIRE);

	printf("# round %u: %llu pages reported, %u runs of the guest\n",
	       r->number, (unsigned long long)r->dirty, runs);
	if (r->last)
		return 0;
	while (__atomic_load_n(&processor.runs, __ATOMIC_ACQUIRE) < runs + 2)
		sched_yield();
	return r->number == 4 ? DMATRACK_STOP_NOW : 0;
}

static int begin_copy(struct dmatrack_dest *to, const struct dmatrack_region *r,
		      unsigned int n, uint32_t page_size)
{
	memset(copy, 0, REGION * PAGE);
	return 0;
}

static int copy_pages(struct dmatrack_dest *to, uint64_t iova, const void *data,
		      size_t size)
{
	memcpy(copy + (iova - IOVA), data, size);
	return 0;
}

static int copy_zeros(struct dmatrack_dest *to, uint64_t iova, uint64_t size)
{
	memset(copy + (iova - IOVA), 0, size);
	return 0;
}

static int end_copy(struct dmatrack_dest *to)
{
	return 0;
}

static const struct dmatrack_dest_ops to_copy = {
	.size = sizeof(to_copy),
	.begin = begin_copy,
	.write = copy_pages,
	.zero = copy_zeros,
	.finish = end_copy,
};

static void check_precopy(const struct mode *mode)
{
	const struct dmatrack_region region = {
		.iova = IOVA,
		.size = REGION * PAGE,
		.vaddr = memory,
	};
	struct dmatrack_dest to = { .ops = &to_copy };
	struct dmatrack *both[2] = { t };
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.containers = both,
		.ncontainers = 2,
		.regions = &region,
		.nregions = 1,
		.dest = &to,
		.downtime = 1, /* ns: it ends at the round that asks for it */
		.stop = halt_all,
		.round = wait_for_run,
		.standstill = UINT64_MAX,
	};
	struct dmatrack_totals totals;
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	int err;

	open_kvm_log(mode);
	both[1] = kvm_log;
	start_all();
	err = dmatrack_precopy_run(&p, &totals);
	if (err)
		printf("# %s\n", dmatrack_error());
	CHECK_EQ(err, 0);
	CHECK(!processor.failed);
	CHECK(!memcmp(copy, memory, REGION * PAGE));
	CHECK_EQ(dev_stats(d, &stats), 0);
	CHECK(stats.ops > 0);
	printf("# %u rounds, %llu pages sent of %u; the device wrote %llu times\n",
	       totals.rounds, (unsigned long long)totals.sent, REGION,
	       (unsigned long long)stats.ops);
	dmatrack_close(kvm_log);
	CHECK(!is_logged());
}

static void test_precopy_automatic(void)
{
	check_precopy(&automatic);
}

static void test_precopy_manual(void)
{
	check_precopy(&manual);
}

static void open_all(const char *uuid)
{
	memory = mmap(NULL, REGION * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	copy = mmap(NULL, REGION * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || copy == MAP_FAILED ||
	    dmatrack_open_vfio(&t, uuid, VFIO_TYPE1v2_IOMMU) ||
	    dmatrack_map(t, IOVA, memory, REGION * PAGE,
			 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE) ||
	    dev_open(&d, t)) {
		fprintf(stderr, "kvmlog: %s\n", dmatrack_error());
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: kvmlog UUID\n");
		return 2;
	}
	open_all(argv[1]);
	printf("# %s\n", dmatrack_driver(t));
	TEST(make_vm, "a virtual machine with memory mapped for devices");
	if (tap_failed)
		return tap_done();
	TEST(test_start, "tracking starts with nothing dirty");
	TEST(test_union,
	     "the merged log has the pages that either wrote, and no others");
	TEST(test_guest_alone,
	     "pages that only the guest wrote come from KVM's log");
	TEST(test_device_alone,
	     "pages that only a device wrote come from the harvest");
	dmatrack_stop(t);
	TEST(test_not_a_vm, "descriptors other than a virtual machine's");
	TEST(test_automatic, "KVM's log as a container");
	TEST(test_program_s,
	     "... of a slot that the program has logged before");
	TEST(test_manual, "... with manual protection");
	TEST(test_initially_set, "... that begins with all bits set");
	TEST(test_long, "... of more pages than a call clears");
	TEST(test_removed, "... of a slot that is removed");
	TEST(test_precopy_automatic,
	     "a pre-copy by both logs has what both wrote last");
	TEST(test_precopy_manual, "... with manual protection");
	dev_close(d);
	dmatrack_close(t);
	return tap_done();
}
