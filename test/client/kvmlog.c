// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * kvmlog UUID
 *
 * The main work of every VMM in a migration: merge KVM's log of the processors' writes
 * with the container's log of the devices' writes. Here with a real KVM: a guest of a
 * dozen instructions writes some pages of a memory slot, a mediated device writes
 * others, and some are written by both.
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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack.h"
#include "devices/device.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE	4096ull
#define REGION	512 /* pages */
#define IOVA	(1ull << 32)
#define SLOT_AT 37  /* page of the region */
#define SLOT	200 /* pages; real mode reaches 256 */
#define WORDS	(REGION / 64)
#define ENTRY	0x100

static char *memory;
static struct dmatrack *t;
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

/* For each page: load its segment into %ds, store a byte at its start. Then halt. */
static void write_program(void)
{
	static const unsigned char store[] = {
		0xb8, 0,    0,		/* mov $segment, %ax */
		0x8e, 0xd8,		/* mov %ax, %ds */
		0xc6, 0x06, 0, 0, 0x5a, /* movb $0x5a, 0 */
	};
	unsigned char *to = (unsigned char *)slot_page(0) + ENTRY;
	unsigned int i;

	for (i = 0; i < NR_GUEST; i++, to += sizeof(store)) {
		memcpy(to, store, sizeof(store));
		to[2] = guest_writes[i]; /* page * 4096 / 16 */
	}
	*to = 0xf4; /* hlt */
}

static void add_slot(void)
{
	struct kvm_userspace_memory_region slot = {
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = SLOT * PAGE,
		.userspace_addr = (uintptr_t)slot_page(0),
	};

	CHECK_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
}

static void reset_vcpu(void)
{
	struct kvm_regs regs = { .rip = ENTRY, .rflags = 2 };
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
	add_slot();
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

static void run_guest(void)
{
	unsigned int i;

	for (i = 0; i < NR_GUEST; i++)
		*slot_page(guest_writes[i]) = 0;
	reset_vcpu();
	CHECK_EQ(ioctl(vcpu, KVM_RUN, 0), 0);
	CHECK_EQ(run->exit_reason, KVM_EXIT_HLT);
	for (i = 0; i < NR_GUEST; i++)
		CHECK_EQ(*slot_page(guest_writes[i]), 0x5a);
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

static void open_all(const char *uuid)
{
	memory = mmap(NULL, REGION * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED ||
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
	dev_close(d);
	dmatrack_close(t);
	return tap_done();
}
