// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KVM's log of the processors' writes: they are reported exactly, in both modes, and slots are left
 * as they were.
 *
 * KVM is played by this program: see ioctl() below. As the real one, it makes a slot that isn't
 * there, reads a slot's log as a whole, and refuses what breaks its rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack.h"
#include "uapi/dmatrack.h"
#include "test/says.h"
#include "test/tap.h"
#include "logged.h"

#define LOG    KVM_MEM_LOG_DIRTY_PAGES
#define MANUAL DMATRACK_KVM_MANUAL_PROTECT

#define SLOTS  8u	    /* of two address spaces */
#define LONG   (1ull << 20) /* pages of the largest slot */

static int fd;

/* The played KVM ---------------------------------------------------------------- */

/**
 * struct slot - a slot of the played KVM
 * @as: as it was set; no size: it isn't there
 * @dirty: its log
 */
struct slot {
	struct kvm_userspace_memory_region as;
	uint64_t dirty[LONG / 64 + 1];
};

/**
 * struct call_fails - which calls of KVM's fail
 * @cmd: number of the call
 * @slot: number of the slot whose calls fail
 * @error: errno; 0: none fails
 */
struct call_fails {
	unsigned long cmd;
	uint32_t slot;
	int error;
};

/**
 * struct kvm - the played KVM
 * @manual: whether reading a log leaves the bits
 * @initially_set: whether all bits of a new log are set
 * @not_vm: what the descriptor is in place of a virtual machine: errno of KVM_CHECK_EXTENSION
 * @is_dev: whether it is /dev/kvm
 * @fails: calls that fail
 * @sets: number of calls of KVM_SET_USER_MEMORY_REGION that changed something
 * @made: number of slots that were made or moved
 * @gets: number of calls of KVM_GET_DIRTY_LOG
 * @clears: number of calls of KVM_CLEAR_DIRTY_LOG with pages
 * @got: called once, when a call of KVM_GET_DIRTY_LOG is about to return
 * @slot: slots
 */
static struct kvm {
	bool manual, initially_set;
	int not_vm;
	bool is_dev;
	struct call_fails fails;
	unsigned int sets, made, gets, clears;
	void (*got)(void);
	struct slot slot[SLOTS];
} kvm;

/* Numbers 0 to 3 of address spaces 0 and 1 */
static struct slot *slot_of(uint32_t number)
{
	uint32_t id = number & 0xffff, space = number >> 16;

	return id < SLOTS / 2 && space < 2 ? &kvm.slot[space * 4 + id] : NULL;
}

static uint64_t pages_of(const struct slot *s)
{
	return s->as.memory_size / PAGE;
}

/* The guest writes a page of a slot. */
static void guest(uint32_t number, uint64_t page)
{
	struct slot *s = slot_of(number);

	CHECK(page < pages_of(s));
	if (s->as.flags & LOG)
		s->dirty[page / 64] |= 1ull << page % 64;
}

static bool failing(unsigned long cmd, uint32_t slot)
{
	return kvm.fails.error && kvm.fails.cmd == cmd &&
	       kvm.fails.slot == slot;
}

static void new_log(struct slot *s)
{
	uint64_t n;

	memset(s->dirty, 0, sizeof(s->dirty));
	for (n = 0; kvm.initially_set && n < pages_of(s); n++)
		s->dirty[n / 64] |= 1ull << n % 64;
}

static int played_set(const struct kvm_userspace_memory_region *as)
{
	struct slot *s = slot_of(as->slot);
	bool logged;

	if (failing(KVM_SET_USER_MEMORY_REGION, as->slot))
		return -kvm.fails.error;
	if (!s || as->flags & ~(LOG | KVM_MEM_READONLY) ||
	    (as->memory_size | as->userspace_addr | as->guest_phys_addr) &
		    (PAGE - 1))
		return -EINVAL;
	if (!memcmp(&s->as, as, sizeof(*as)))
		return 0;
	if (s->as.memory_size && as->memory_size &&
	    (s->as.memory_size != as->memory_size ||
	     s->as.userspace_addr != as->userspace_addr ||
	     (s->as.flags ^ as->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	kvm.sets++;
	kvm.made += !s->as.memory_size ||
		    s->as.guest_phys_addr != as->guest_phys_addr;
	logged = s->as.memory_size && s->as.flags & LOG;
	s->as = *as;
	if (as->memory_size && as->flags & LOG && !logged)
		new_log(s);
	return 0;
}

static int played_get(const struct kvm_dirty_log *get)
{
	struct slot *s = slot_of(get->slot);
	size_t size;

	kvm.gets++;
	if (failing(KVM_GET_DIRTY_LOG, get->slot))
		return -kvm.fails.error;
	if (!s)
		return -EINVAL;
	if (!(s->as.flags & LOG) || !s->as.memory_size)
		return -ENOENT;
	size = (pages_of(s) + 63) / 64 * 8;
	memcpy(get->dirty_bitmap, s->dirty, size);
	if (!kvm.manual)
		memset(s->dirty, 0, size);
	return 0;
}

static int played_clear(const struct kvm_clear_dirty_log *clear)
{
	struct slot *s = slot_of(clear->slot);
	const uint64_t *bits = clear->dirty_bitmap;
	uint64_t left, i;

	if (failing(KVM_CLEAR_DIRTY_LOG, clear->slot))
		return -kvm.fails.error;
	if (!s || clear->first_page & 63)
		return -EINVAL;
	if (!(s->as.flags & LOG) || !s->as.memory_size)
		return -ENOENT;
	if (clear->first_page > pages_of(s))
		return -EINVAL;
	left = pages_of(s) - clear->first_page;
	if (clear->num_pages > left ||
	    (clear->num_pages < left && clear->num_pages & 63))
		return -EINVAL;
	kvm.clears += clear->num_pages != 0;
	for (i = 0; i < (clear->num_pages + 63) / 64; i++)
		s->dirty[clear->first_page / 64 + i] &= ~bits[i];
	return 0;
}

static int played(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVM_CHECK_EXTENSION:
		return kvm.not_vm ? -kvm.not_vm : 1;
	case KVM_GET_API_VERSION:
		return kvm.is_dev ? KVM_API_VERSION : -ENOTTY;
	case KVM_SET_USER_MEMORY_REGION:
		return played_set(arg);
	case KVM_GET_DIRTY_LOG:
		return played_get(arg);
	case KVM_CLEAR_DIRTY_LOG:
		return played_clear(arg);
	default:
		return -ENOTTY;
	}
}

static void call_got(void)
{
	void (*call)(void) = kvm.got;

	kvm.got = NULL;
	if (call)
		call();
}

int ioctl(int vm, unsigned long cmd, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	ret = fcntl(vm, F_GETFD) < 0 ? -EBADF : played(cmd, arg);
	if (!ret && cmd == KVM_GET_DIRTY_LOG)
		call_got();
	errno = ret < 0 ? -ret : errno;
	return ret < 0 ? -1 : ret;
}

/* Helpers ----------------------------------------------------------------------- */

/* Pages [@at, @at + @n) from BASE on, at some other address of the guest */
#define SLOT(number, at, n, how) \
	{ \
		.iova = BASE + (at)*PAGE, .size = (n)*PAGE, \
		.guest_addr = (at)*PAGE, .vaddr = (1ull << 40) + (at)*PAGE, \
		.slot = number, .flags = how \
	}

/*
 * In any order, of two address spaces, adjacent and with holes between them. Only one has a
 * multiple of 64 pages.
 */
static const struct dmatrack_kvm_slot usual[] = {
	SLOT(2, 1000, 100, 0),
	SLOT(3, 0, 64, KVM_MEM_READONLY),
	SLOT(0x10002, 100, 10, LOG),
	SLOT(0, 110, 70, 0),
};

/* KVM gets the slots, as the program has set them. */
static void set_slots(const struct dmatrack_kvm_slot *slots, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct kvm_userspace_memory_region as = {
			.slot = slots[i].slot,
			.flags = slots[i].flags,
			.guest_phys_addr = slots[i].guest_addr,
			.memory_size = slots[i].size,
			.userspace_addr = slots[i].vaddr,
		};

		CHECK_EQ(played_set(&as), 0);
	}
	kvm.sets = kvm.made = 0;
}

static int open_log(const struct dmatrack_kvm_slot *slots, unsigned int n,
		    uint32_t flags)
{
	const struct dmatrack_kvm_log from = {
		.size = sizeof(from),
		.vm_fd = fd,
		.nr_slots = n,
		.slots = slots,
		.flags = flags,
	};

	dmatrack_close(t);
	t = NULL;
	return dmatrack_open_kvm_log(&t, &from);
}

static void reset(void)
{
	dmatrack_close(t);
	t = NULL;
	memset(&kvm, 0, sizeof(kvm));
	set_slots(usual, COUNT(usual));
}

static void begin(uint32_t flags)
{
	reset();
	kvm.manual = flags & MANUAL;
	CHECK_EQ(open_log(usual, COUNT(usual), flags), 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

/* Are all slots as they were, apart from these flags? */
static void check_flags(uint32_t added)
{
	unsigned int i;

	for (i = 0; i < COUNT(usual); i++)
		CHECK_EQ(slot_of(usual[i].slot)->as.flags,
			 usual[i].flags | added);
	CHECK_EQ(kvm.made, 0);
}

/* All pages of all slots */
static void check_all_dirty(void)
{
	check_dirty(0, 90, 0, 64, NONE);
	check_dirty(90, 800, 100, 80, NONE);
	check_dirty(900, 300, 1000, 100, NONE);
}

static const uint32_t modes[] = { 0, MANUAL };
#define EACH_MODE(m) (m = modes; m < modes + COUNT(modes); m++)

/* Tests ------------------------------------------------------------------------- */

static void harvest(uint32_t mode)
{
	begin(mode);
	CHECK_CLEAN();
	guest(3, 0);
	guest(3, 63);
	CHECK_DIRTY(0, 1, 63);
	CHECK_CLEAN();
	guest(0x10002, 9);
	guest(0, 0);
	guest(2, 99);
	CHECK_DIRTY(109, 2, 1099);
	CHECK_CLEAN();
	guest(0, 69);
	CHECK_DIRTY(179, 1, NONE);
	CHECK_CLEAN();
}

static void test_harvest(void)
{
	const uint32_t *m;

	for
		EACH_MODE(m)
	harvest(*m);
}

/* Logs are read as a whole: the rest is harvested later. Those outside of the range aren't read. */
static void test_part(void)
{
	const uint32_t *m;

	for
		EACH_MODE(m)
		{
			begin(*m);
			guest(3, 2);
			guest(3, 3);
			guest(3, 62);
			guest(0, 5);
			kvm.gets = 0;
			check_dirty(3, 1, 3, 1, NONE);
			CHECK_EQ(kvm.gets, 1);
			check_dirty(64, 36, 0, 0, NONE);
			CHECK_EQ(kvm.gets, 1);
			check_dirty(0, 64, 2, 1, 62);
			check_dirty(64, 1000, 115, 1, NONE);
			CHECK_CLEAN();
		}
}

/* Bits beyond the slot's last page are no pages. */
static void test_beyond(void)
{
	begin(0);
	slot_of(2)->dirty[1] = ~0ull;
	slot_of(0x10002)->dirty[0] = 1ull << 10;
	CHECK_DIRTY(1064, 36, NONE);
	CHECK_CLEAN();
}

static void test_coarse(void)
{
	uint64_t bits = 0;

	begin(MANUAL);
	guest(3, 5);
	guest(3, 63);
	CHECK_EQ(dmatrack_harvest(t, BASE + PAGE, 63 * PAGE, 16 * PAGE, &bits),
		 0);
	CHECK_EQ(bits, 9);
	CHECK_CLEAN();
}

/* The guest writes after the log was read, and before it is cleared, or harvested. */
static void write_after_get(void)
{
	guest(3, 7);
	guest(3, 8);
}

static void test_between(void)
{
	const uint32_t *m;

	for
		EACH_MODE(m)
		{
			begin(*m);
			guest(3, 7);
			kvm.got = write_after_get;
			check_dirty(0, 64, 7, 1, NONE);
			/* 7 was written before the harvest returned, and is copied after it */
			check_dirty(0, 64, 8, 1, *m ? NONE : 7);
			CHECK_CLEAN();
		}
}

/* The program is wrong about the mode: pages may be reported again, and none is lost. */
static void test_wrong_mode(void)
{
	begin(0);
	kvm.manual = true;
	guest(3, 7);
	CHECK_DIRTY(7, 1, NONE);
	guest(3, 9);
	CHECK_DIRTY(7, 1, 9);
	begin(MANUAL);
	kvm.manual = false;
	guest(3, 7);
	kvm.got = write_after_get;
	check_dirty(0, 64, 7, 1, NONE);
	CHECK_DIRTY(8, 1, NONE);
	CHECK_CLEAN();
}

/* A log begins empty, whatever was in it, and slots are as they were when it has stopped. */
static void test_start_stop(void)
{
	uint64_t bits[2];

	reset();
	guest(0x10002, 3);
	CHECK_EQ(open_log(usual, COUNT(usual), 0), 0);
	check_flags(0);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
	CHECK(says("not tracking"));
	CHECK_EQ(dmatrack_start(t), 0);
	check_flags(LOG);
	CHECK_EQ(kvm.sets, 3);
	CHECK_CLEAN();
	guest(3, 1);
	CHECK_EQ(dmatrack_start(t), 0); /* nothing changes */
	CHECK_DIRTY(1, 1, NONE);
	guest(3, 1);
	guest(0x10002, 1);
	CHECK_EQ(dmatrack_stop(t), 0);
	check_flags(0);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(kvm.sets, 6);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
	CHECK_EQ(slot_of(0x10002)->dirty[0], 2); /* it is the program's */
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_CLEAN();
	dmatrack_close(t);
	t = NULL;
	check_flags(0);
}

/* KVM may set all bits of a new log. */
static void test_initially_set(void)
{
	reset();
	kvm.manual = kvm.initially_set = true;
	CHECK_EQ(open_log(usual, COUNT(usual), MANUAL), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_CLEAN();
	guest(2, 98);
	CHECK_DIRTY(1098, 1, NONE);
}

static void refused(uint32_t mode, unsigned long cmd, uint32_t slot, int error,
		    const char *words)
{
	char name[16];

	reset();
	kvm.manual = mode & MANUAL;
	guest(0x10002, 3);
	CHECK_EQ(open_log(usual, COUNT(usual), mode), 0);
	kvm.fails = (struct call_fails){ cmd, slot, error };
	CHECK_EQ(dmatrack_start(t), -error);
	snprintf(name, sizeof(name), "slot 0x%x", slot);
	CHECK(says(name));
	CHECK(says(words));
	check_flags(0);
	kvm.fails.error = 0;
	CHECK_EQ(dmatrack_start(t), 0);
	check_flags(LOG);
	guest(3, 7);
	CHECK_DIRTY(7, 1, NONE);
}

/* All slots are switched, or none. */
static void test_refused(void)
{
	unsigned int i;

	for (i = 0; i < COUNT(usual); i++) {
		uint32_t slot = usual[i].slot;

		refused(0, KVM_SET_USER_MEMORY_REGION, slot, ENOMEM,
			"can't log it");
		refused(0, KVM_SET_USER_MEMORY_REGION, slot, EINVAL,
			"refuses to log it");
		refused(0, KVM_SET_USER_MEMORY_REGION, slot, EEXIST,
			"another slot has memory");
		refused(0, KVM_GET_DIRTY_LOG, slot, ENXIO, "dirty ring");
		refused(0, KVM_GET_DIRTY_LOG, slot, EIO, "can't be read");
	}
	/* of this one there are bits that are to be dropped */
	refused(MANUAL, KVM_CLEAR_DIRTY_LOG, 0x10002, EIO, "can't be read");
}

/* KVM refuses a slot that it has otherwise, and others are as before. */
static void test_other_slot(void)
{
	struct dmatrack_kvm_slot slots[COUNT(usual)];

	reset();
	memcpy(slots, usual, sizeof(slots));
	slots[0].size -= PAGE;
	CHECK_EQ(open_log(slots, COUNT(slots), 0), 0);
	CHECK_EQ(dmatrack_start(t), -EINVAL);
	CHECK(says("slot 0x2"));
	CHECK(says("0x63000"));
	check_flags(0);
	/* one whose log is on, too: else more bits would be read than there is room for */
	memcpy(slots, usual, sizeof(slots));
	slots[2].size -= PAGE;
	CHECK_EQ(open_log(slots, COUNT(slots), 0), 0);
	CHECK_EQ(dmatrack_start(t), -EINVAL);
	CHECK(says("slot 0x10002"));
	check_flags(0);
}

/* A log that can't be read: all pages are reported, and it begins anew. */
static void unreadable(uint32_t mode, unsigned long cmd)
{
	begin(mode);
	guest(2, 50);
	guest(3, 7);
	kvm.fails = (struct call_fails){ cmd, 3, EIO };
	check_dirty(0, 90, 0, 64, NONE); /* and it can't be started */
	check_flags(0);
	kvm.fails.error = 0;
	check_dirty(0, 90, 0, 64, NONE);
	check_flags(LOG);
	guest(3, 5);
	check_dirty(90, 800, 100, 80, NONE);
	check_dirty(900, 300, 1000, 100, NONE);
	CHECK_DIRTY(5, 1, NONE);
	CHECK_EQ(dmatrack_stop(t), 0);
	check_flags(0);
}

static void test_unreadable(void)
{
	unreadable(0, KVM_GET_DIRTY_LOG);
	/* with bits that are set initially, the start has some to clear */
	begin(MANUAL);
	kvm.initially_set = true;
	guest(3, 7);
	kvm.fails = (struct call_fails){ KVM_CLEAR_DIRTY_LOG, 3, EIO };
	check_dirty(0, 90, 0, 64, NONE);
	check_flags(0);
	kvm.fails.error = 0;
	check_all_dirty();
	CHECK_CLEAN();
	/* it fails once */
	begin(MANUAL);
	guest(3, 7);
	kvm.fails = (struct call_fails){ KVM_CLEAR_DIRTY_LOG, 3, EIO };
	check_dirty(0, 90, 0, 64, NONE);
	check_flags(LOG);
	kvm.fails.error = 0;
	check_dirty(90, 800, 100, 80, NONE);
	check_dirty(900, 300, 1000, 100, NONE);
	CHECK_CLEAN();
}

static void remove_slot(uint32_t number)
{
	const struct kvm_userspace_memory_region as = { .slot = number };

	CHECK_EQ(played_set(&as), 0);
	kvm.made = 0;
}

/* The program removes a slot while it is logged: it isn't made again. */
static void test_gone(void)
{
	static const uint32_t gone[] = { 0, 0x10002 };
	unsigned int i;

	for (i = 0; i < COUNT(gone); i++) {
		begin(0);
		guest(3, 1);
		remove_slot(gone[i]);
		check_dirty(0, 64, 1, 1, NONE);
		check_dirty(100, 80, 100, 80, NONE);
		check_all_dirty();
		check_all_dirty();
		CHECK_EQ(dmatrack_stop(t), 0);
		CHECK_EQ(dmatrack_start(t), -ENOENT);
		CHECK(says("was removed"));
		CHECK(says(i ? "slot 0x10002" : "slot 0x0"));
		CHECK_EQ(kvm.made, 0);
		CHECK_EQ(slot_of(gone[i])->as.memory_size, 0);
		CHECK_EQ(slot_of(2)->as.flags, 0);
		CHECK_EQ(slot_of(3)->as.flags, KVM_MEM_READONLY);
	}
	begin(0);
	remove_slot(2);
	CHECK_EQ(dmatrack_stop(t), 0); /* before anything was read */
	CHECK_EQ(slot_of(2)->as.memory_size, 0);
	CHECK_EQ(slot_of(0)->as.flags, 0);
}

static void test_ranges(void)
{
	begin(0);
	guest(3, 62);
	guest(3, 63);
	guest(2, 0);
	guest(0x10002, 9);
	guest(0, 0);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 3);
	CHECK_EQ(found[0].iova, BASE + 62 * PAGE);
	CHECK_EQ(found[0].last, BASE + 64 * PAGE - 1);
	CHECK_EQ(found[1].iova, BASE + 109 * PAGE);
	CHECK_EQ(found[1].last, BASE + 111 * PAGE - 1);
	CHECK_EQ(found[2].iova, BASE + 1000 * PAGE);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 0);
}

/* Long slots, one up to the last IOVA: cleared and listed piece by piece */
static void test_long_slots(void)
{
	const struct dmatrack_kvm_slot large[] = {
		{ BASE, (LONG - 5) * PAGE, 0, PAGE, 1, 0 },
		{ -LONG * PAGE, LONG * PAGE, LONG * PAGE, PAGE, 0x10001, 0 },
	};
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.iova = BASE,
		.last = UINT64_MAX,
		.page_size = PAGE,
		.ranges = (uintptr_t)found,
		.count = COUNT(found),
	};

	reset();
	kvm.manual = true;
	set_slots(large, 2);
	CHECK_EQ(open_log(large, 2, MANUAL), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(kvm.clears, 0);
	guest(1, 0);
	guest(1, LONG - 7);
	guest(1, LONG - 6);
	guest(0x10001, LONG / 2 - 1);
	guest(0x10001, LONG / 2);
	guest(0x10001, LONG - 1);
	list(PAGE, -PAGE);
	CHECK_EQ(kvm.clears, 5); /* parts that are dirty */
	CHECK_EQ(nr_found, 4);
	CHECK_EQ(found[0].iova, BASE);
	CHECK_EQ(found[0].last, BASE + PAGE - 1);
	CHECK_EQ(found[1].iova, BASE + (LONG - 7) * PAGE);
	CHECK_EQ(found[1].last, BASE + (LONG - 5) * PAGE - 1);
	CHECK_EQ(found[2].iova, -(LONG / 2 + 1) * PAGE);
	CHECK_EQ(found[2].last, -(LONG / 2 - 1) * PAGE - 1);
	list(PAGE, -PAGE);
	CHECK_EQ(nr_found, 0);
	guest(1, 3);
	guest(0x10001, LONG - 1);
	CHECK_EQ(dmatrack_ioctl(t, DMATRACK_GET_RANGES, (uintptr_t)&get), 0);
	CHECK_EQ(get.count, 1);
	CHECK(get.more && get.next > BASE + (LONG - 5) * PAGE);
	CHECK_EQ(get.last, UINT64_MAX);
	get.iova = get.next;
	get.count = COUNT(found);
	CHECK_EQ(dmatrack_ioctl(t, DMATRACK_GET_RANGES, (uintptr_t)&get), 0);
	CHECK_EQ(get.count, 1);
	CHECK_EQ(found[0].last, UINT64_MAX);
}

static void test_bad_buffer(void)
{
	uint64_t *nowhere =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	begin(0);
	guest(3, 2);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, nowhere), -EFAULT);
	CHECK_DIRTY(2, 1, NONE);
	munmap(nowhere, PAGE);
}

static void test_fork(void)
{
	unsigned int sets, gets;
	uint64_t bits;
	int status;
	pid_t pid;

	begin(0);
	guest(3, 5);
	sets = kvm.sets;
	gets = kvm.gets;
	pid = fork();
	if (!pid) {
		if (dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &bits) != -EPERM)
			_exit(1);
		if (dmatrack_stop(t) || dmatrack_start(t) != -EPERM)
			_exit(2);
		dmatrack_close(t);
		_exit(kvm.sets != sets || kvm.gets != gets);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_DIRTY(5, 1, NONE);
}

static void test_fixed(void)
{
	static char memory[PAGE] __attribute__((aligned(4096)));
	struct dmatrack_container_info *info;
	struct dmatrack_mapping m[8];

	begin(0);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, DMATRACK_MAP_READ),
		 -EOPNOTSUPP);
	CHECK(says("maps nothing"));
	CHECK_EQ(dmatrack_unmap(t, BASE, 64 * PAGE), -EOPNOTSUPP);
	CHECK_EQ(dmatrack_attach(t, "0000:00:03.0"), -EOPNOTSUPP);
	CHECK(!strcmp(dmatrack_driver(t), "kvm"));
	CHECK(!dmatrack_get_engine(t));
	CHECK_EQ(dmatrack_device_fd(t), -1);
	CHECK_EQ(dmatrack_mappings(t, 0, m, 8), 4);
	CHECK_EQ(m[0].iova, BASE);
	CHECK_EQ(m[3].last, BASE + 1100 * PAGE - 1);
	CHECK(!(m[0].flags & DMATRACK_MAPPED_VADDR));
	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK(info->flags & DMATRACK_INFO_NOTHING_LOST);
	CHECK(info->dirty_page_sizes & PAGE);
	dmatrack_info_free(info);
}

static int open_with(struct dmatrack_kvm_slot a, struct dmatrack_kvm_slot b)
{
	const struct dmatrack_kvm_slot slots[] = { a, b };

	return open_log(slots, 2, 0);
}

static void test_bad_slots(void)
{
	const struct dmatrack_kvm_slot ok = SLOT(1, 0, 10, 0);
	struct dmatrack_kvm_slot bad = SLOT(2, 9, 2, 0);

	reset();
	CHECK_EQ(open_with(ok, bad), -EINVAL);
	CHECK(says("slots 0x1 and 0x2 overlap"));
	CHECK_EQ(open_with(bad, ok), -EINVAL);
	bad = (struct dmatrack_kvm_slot)SLOT(1, 10, 2, 0);
	CHECK_EQ(open_with(bad, ok), -EINVAL);
	CHECK(says("slot 0x1 is there twice"));
#define BAD(change, words) \
	bad = (struct dmatrack_kvm_slot)SLOT(2, 10, 2, 0); \
	bad.change; \
	CHECK_EQ(open_with(ok, bad), -EINVAL); \
	CHECK(says("slot 0x2")); \
	CHECK(says(words))
	BAD(size = 0, "not whole pages");
	BAD(size -= 1, "not whole pages");
	BAD(iova += 8, "not whole pages");
	BAD(vaddr += 8, "not whole pages");
	BAD(guest_addr += 8, "not whole pages");
	BAD(iova = -PAGE, "beyond the last IOVA");
	BAD(size = (1ull << 31) * PAGE, "2^31 - 1");
	BAD(flags = 4, "flags 0x4");
	CHECK_EQ(open_log(&ok, 0, 0), -EINVAL);
	CHECK(says("no slots"));
	CHECK_EQ(open_log(NULL, 1, 0), -EINVAL);
	CHECK(says("no slots"));
	CHECK(!t);
	CHECK_EQ(kvm.sets, 0);
}

static void test_bad_arguments(void)
{
	struct dmatrack_kvm_log from = {
		.size = sizeof(from),
		.vm_fd = fd,
		.nr_slots = COUNT(usual),
		.slots = usual,
		.flags = 2,
	};

	reset();
	CHECK_EQ(dmatrack_open_kvm_log(&t, &from), -EINVAL);
	CHECK(says("flags 0x2"));
	from.flags = 0;
	from.reserved = 1;
	CHECK_EQ(dmatrack_open_kvm_log(&t, &from), -EINVAL);
	CHECK(says("reserved"));
	from.reserved = 0;
	from.vm_fd = -1;
	CHECK_EQ(dmatrack_open_kvm_log(&t, &from), -EBADF);
	CHECK(says("descriptor -1"));
	kvm.not_vm = ENOTTY;
	CHECK_EQ(open_log(usual, COUNT(usual), 0), -EINVAL);
	CHECK(says("isn't a virtual machine"));
	kvm.not_vm = EIO;
	CHECK_EQ(open_log(usual, COUNT(usual), 0), -EIO);
	CHECK(says("another process's"));
	kvm.not_vm = 0;
	kvm.is_dev = true;
	CHECK_EQ(open_log(usual, COUNT(usual), 0), -EINVAL);
	CHECK(says("KVM_CREATE_VM"));
	CHECK(!t);
}

/* The descriptor is the library's own. */
static void test_descriptor(void)
{
	int vm = fd;

	reset();
	fd = dup(vm);
	CHECK_EQ(open_log(usual, COUNT(usual), 0), 0);
	close(fd);
	fd = vm;
	CHECK_EQ(dmatrack_start(t), 0);
	guest(3, 1);
	CHECK_DIRTY(1, 1, NONE);
}

int main(void)
{
	fd = memfd_create("vm", MFD_CLOEXEC);
	TEST(test_harvest,
	     "what the guest writes is harvested, and nothing else");
	TEST(test_part, "a part of a slot");
	TEST(test_beyond, "bits beyond a slot's end are ignored");
	TEST(test_coarse, "by larger pages");
	TEST(test_between, "written between reading and clearing");
	TEST(test_wrong_mode, "with a wrong mode nothing is lost");
	TEST(test_start_stop,
	     "a log begins empty, and slots are left as they were");
	TEST(test_initially_set, "a log that begins with all bits set");
	TEST(test_refused, "all slots are logged, or none");
	TEST(test_other_slot, "slots that are not as described");
	TEST(test_unreadable, "after a failed call all may be dirty");
	TEST(test_gone, "a slot that was removed isn't made again");
	TEST(test_ranges, "as ranges");
	TEST(test_long_slots, "slots longer than a call clears, or a list has");
	TEST(test_bad_buffer, "a bad buffer loses nothing");
	TEST(test_fork, "a child changes nothing");
	TEST(test_fixed, "nothing can be mapped");
	TEST(test_bad_slots, "unsuitable slots");
	TEST(test_bad_arguments, "unsuitable descriptors and flags");
	TEST(test_descriptor, "the descriptor is duplicated");
	dmatrack_close(t);
	return tap_done();
}
