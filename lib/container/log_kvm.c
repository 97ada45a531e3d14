// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A log: what KVM logs of the processors' writes to a virtual machine's memory slots.
 *
 * KVM keeps a bit for each page of a slot. A call that clears bits also protects their pages (makes
 * them unwritable, or clears the dirty bits of their page table entries) and flushes the
 * processors' TLBs before it returns: the next write to such a page sets its bit again.
 *
 * Why no write is lost: a page is copied after the harvest that reports it has returned.
 *
 * - Without manual protection, KVM_GET_DIRTY_LOG takes the bits by exchange, protects their pages
 *   and flushes. A write after the flush sets a bit for the next harvest. One before it, by
 *   an old entry of a TLB, sets no bit, but its page is reported, and the write is in memory when
 *   the call returns: it is copied.
 * - With manual protection, KVM_GET_DIRTY_LOG clears nothing, and KVM_CLEAR_DIRTY_LOG clears no
 *   bits but those that were read. A bit that is set between the two calls and was not read stays
 *   for the next harvest. If it was read, its page is reported, and the write is in memory when
 *   KVM_CLEAR_DIRTY_LOG returns: it is copied.
 * - If the program is wrong about the mode, nothing is lost either. If KVM_GET_DIRTY_LOG has
 *   cleared the bits, KVM_CLEAR_DIRTY_LOG may clear some that were set since, but only of pages
 *   that are reported, as above. If it is not called where it had to be, bits stay set: their pages are
 *   reported by each harvest.
 *
 * KVM has no call that lists slots, and KVM_SET_USER_MEMORY_REGION makes a slot that isn't there. A
 * slot that the program has removed since the start must not be made again when its log is to be
 * switched off, or on again after an error: see has_log() and struct logged_slot.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/dmt_env.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"
#include "log.h"

#define SLOT_FLAGS     (KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES)
#define SLOT_PAGES_MAX ((1ULL << 31) - 1) /* KVM's limit */
#define CLEAR_PAGES    (1ULL << 18)	  /* a call: KVM is locked meanwhile */

/**
 * struct logged_slot - a slot
 * @as: the slot as the program has set it
 * @on: whether KVM logs it, since the log was started
 * @gone: whether its log vanished while it was on: the program has removed the slot, or
 *	  switched its log off. Then it isn't switched on again
 */
struct logged_slot {
	struct dmatrack_kvm_slot as;
	bool on;
	bool gone;
};

/**
 * struct log_kvm - KVM's log
 * @base: the common part; its ranges are those of @slot
 * @fd: descriptor of the virtual machine, or -1
 * @manual: whether reading leaves the bits as they are
 * @page_size: bytes that a bit stands for
 * @slot: array of @base.nr slots, ascending by IOVA
 * @bits: buffer for the bits of the largest slot
 * @piece: bytes of the largest slot, rounded up to a power of two
 */
struct log_kvm {
	struct dml_log base;
	int fd;
	bool manual;
	uint64_t page_size;
	struct logged_slot *slot;
	uint64_t *bits;
	uint64_t piece;
};

static struct log_kvm *to_kvm(struct dml_log *log)
{
	return container_of(log, struct log_kvm, base);
}

/* Calls ------------------------------------------------------------------------- */

static int call(const struct log_kvm *k, unsigned long cmd, void *arg)
{
	return ioctl(k->fd, cmd, arg) < 0 ? -errno : 0;
}

static int set_flags(const struct log_kvm *k, const struct dmatrack_kvm_slot *s,
		     uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = s->slot,
		.flags = flags,
		.guest_phys_addr = s->guest_addr,
		.memory_size = s->size,
		.userspace_addr = s->vaddr,
	};

	return call(k, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Clear those of @n bits from the one at @first on that are set in @k->bits. */
static int clear_bits(const struct log_kvm *k, uint32_t slot, uint64_t first,
		      uint64_t n)
{
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.num_pages = (uint32_t)n,
		.first_page = first,
		.dirty_bitmap = k->bits + first / 64,
	};

	return call(k, KVM_CLEAR_DIRTY_LOG, &clear);
}

/* Does KVM have the slot, and a log of it? If not, clearing no bits fails with -ENOENT. */
static bool has_log(const struct log_kvm *k, uint32_t slot)
{
	return clear_bits(k, slot, 0, 0) != -ENOENT;
}

/* KVM takes whole words of 64 bits, but for the last of the slot. */
static int clear_slot(const struct log_kvm *k, uint32_t slot, uint64_t pages)
{
	uint64_t first, n, pos, len;
	int err = 0;

	for (first = 0; first < pages && !err; first += n) {
		n = min(CLEAR_PAGES, pages - first);
		pos = 0;
		if (dmatrack_next_run(k->bits + first / 64, n, &pos, &len))
			err = clear_bits(k, slot, first, n);
	}
	return err;
}

/* Read a slot's log into @k->bits, and clear it. */
static int take_bits(const struct log_kvm *k, const struct dmatrack_kvm_slot *s)
{
	struct kvm_dirty_log get = {
		.slot = s->slot,
		.dirty_bitmap = k->bits,
	};
	int err = call(k, KVM_GET_DIRTY_LOG, &get);

	if (!err && k->manual)
		err = clear_slot(k, s->slot, s->size / k->page_size);
	return err;
}

/* Reading ----------------------------------------------------------------------- */

static int take_slot(struct log_kvm *k, const struct dmatrack_kvm_slot *s)
{
	uint64_t page = k->page_size, pos = 0, n;
	int err = take_bits(k, s);

	if (err)
		return err;
	for (; dmatrack_next_run(k->bits, s->size / page, &pos, &n); pos += n)
		dml_log_mark(&k->base, s->iova + pos * page,
			     s->iova + (pos + n) * page - 1);
	return 0;
}

static int kvm_take(struct dml_log *log, uint64_t iova, uint64_t last)
{
	struct log_kvm *k = to_kvm(log);
	uint32_t i = dml_log_find(log->range, log->nr, iova);
	int err = 0;

	for (; i < log->nr && log->range[i].iova <= last && !err; i++)
		err = take_slot(k, &k->slot[i].as);
	return err;
}

static uint64_t kvm_piece(const struct dml_log *log)
{
	return container_of(log, struct log_kvm, base)->piece;
}

/* Starting and stopping --------------------------------------------------------- */

static int cant_switch(const struct dmatrack_kvm_slot *s, int err)
{
	if (err == -EINVAL)
		return dml_error(
			err,
			"slot 0x%x: KVM refuses to log it: it was set with a "
			"size other than 0x%llx, another address of the "
			"memory than 0x%llx, or other flags than 0x%x",
			s->slot, (unsigned long long)s->size,
			(unsigned long long)s->vaddr, s->flags);
	if (err == -EEXIST)
		return dml_error(err,
				 "slot 0x%x: another slot has memory at guest "
				 "address 0x%llx",
				 s->slot, (unsigned long long)s->guest_addr);
	return dml_error(err, "slot 0x%x: KVM can't log it: %s", s->slot,
			 strerrordesc_np(-err));
}

static int cant_read(const struct dmatrack_kvm_slot *s, int err)
{
	if (err == -ENXIO)
		return dml_error(err,
				 "slot 0x%x has no log: the virtual machine "
				 "was given a dirty ring in place of it",
				 s->slot);
	return dml_error(err, "slot 0x%x: KVM's log of it can't be read: %s",
			 s->slot, strerrordesc_np(-err));
}

/* Begin with an empty log: it may have been on before, and KVM may set all bits of a new one. */
static int start_slot(const struct log_kvm *k, struct logged_slot *s)
{
	int err = set_flags(k, &s->as, s->as.flags | KVM_MEM_LOG_DIRTY_PAGES);

	if (err)
		return cant_switch(&s->as, err);
	s->on = true;
	err = take_bits(k, &s->as);
	return err ? cant_read(&s->as, err) : 0;
}

static void stop_slot(const struct log_kvm *k, struct logged_slot *s)
{
	if (!s->on)
		return;
	s->on = false;
	s->gone = !has_log(k, s->as.slot);
	if (!s->gone && !(s->as.flags & KVM_MEM_LOG_DIRTY_PAGES))
		set_flags(k, &s->as, s->as.flags);
}

static void kvm_stop(struct dml_log *log)
{
	struct log_kvm *k = to_kvm(log);
	uint32_t i;

	for (i = 0; i < log->nr; i++)
		stop_slot(k, &k->slot[i]);
}

static int check_gone(const struct log_kvm *k)
{
	uint32_t i;

	for (i = 0; i < k->base.nr; i++)
		if (k->slot[i].gone)
			return dml_error(-ENOENT,
					 "slot 0x%x was removed, or its log "
					 "switched off, while it was read: "
					 "close the log, and open it with the "
					 "slots that there are",
					 k->slot[i].as.slot);
	return 0;
}

static int kvm_start(struct dml_log *log)
{
	struct log_kvm *k = to_kvm(log);
	int err = check_gone(k);
	uint32_t i;

	for (i = 0; i < log->nr && !err; i++)
		err = start_slot(k, &k->slot[i]);
	if (err)
		kvm_stop(log);
	return err;
}

/* Opening and closing ----------------------------------------------------------- */

static void kvm_close(struct dml_log *log)
{
	struct log_kvm *k = to_kvm(log);

	if (k->fd >= 0)
		close(k->fd);
	free(log->range);
	free(k->slot);
	free(k->bits);
	free(k);
}

static const struct dml_log_ops kvm_ops = {
	.start = kvm_start,
	.stop = kvm_stop,
	.take = kvm_take,
	.piece = kvm_piece,
	.close = kvm_close,
};

/* A virtual machine and /dev/kvm both have extensions, but only /dev/kvm has a version. */
static int open_vm(struct log_kvm *k, int fd)
{
	int ret;

	k->fd = dml_container_duplicate(fd);
	if (k->fd < 0)
		return k->fd;
	ret = ioctl(k->fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);
	if (ret < 0 && errno == EIO)
		return dml_error(-EIO,
				 "descriptor %d: the virtual machine is "
				 "another process's, or KVM has ended it",
				 fd);
	if (ret <= 0 || ioctl(k->fd, KVM_GET_API_VERSION, 0) >= 0)
		return dml_error(-EINVAL,
				 "descriptor %d isn't a virtual machine: give "
				 "the one that KVM_CREATE_VM returned",
				 fd);
	return 0;
}

static int check_slot(const struct log_kvm *k,
		      const struct dmatrack_kvm_slot *s)
{
	uint64_t mask = k->page_size - 1;

	if (!s->size || (s->iova | s->size | s->guest_addr | s->vaddr) & mask)
		return dml_error(
			-EINVAL,
			"slot 0x%x is not whole pages: IOVA 0x%llx, size "
			"0x%llx, guest address 0x%llx, memory at 0x%llx",
			s->slot, (unsigned long long)s->iova,
			(unsigned long long)s->size,
			(unsigned long long)s->guest_addr,
			(unsigned long long)s->vaddr);
	if (s->size / k->page_size > SLOT_PAGES_MAX)
		return dml_error(-EINVAL,
				 "slot 0x%x: KVM takes 2^31 - 1 pages, and not "
				 "0x%llx bytes",
				 s->slot, (unsigned long long)s->size);
	if (s->iova + (s->size - 1) < s->iova)
		return dml_error(-EINVAL,
				 "slot 0x%x: 0x%llx bytes at IOVA 0x%llx go "
				 "beyond the last IOVA",
				 s->slot, (unsigned long long)s->size,
				 (unsigned long long)s->iova);
	if (s->flags & ~SLOT_FLAGS)
		return dml_error(-EINVAL,
				 "slot 0x%x: flags 0x%x are not "
				 "KVM_MEM_READONLY (0x2) or "
				 "KVM_MEM_LOG_DIRTY_PAGES (0x1)",
				 s->slot, s->flags);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct logged_slot *x = a, *y = b;

	return x->as.slot < y->as.slot ? -1 : x->as.slot > y->as.slot;
}

static int by_iova(const void *a, const void *b)
{
	const struct logged_slot *x = a, *y = b;

	return x->as.iova < y->as.iova ? -1 : x->as.iova > y->as.iova;
}

/* Of a slot that is there twice, the log would be read for one of the two alone. */
static int check_numbers(struct log_kvm *k)
{
	uint32_t i;

	qsort(k->slot, k->base.nr, sizeof(*k->slot), by_number);
	for (i = 1; i < k->base.nr; i++)
		if (k->slot[i].as.slot == k->slot[i - 1].as.slot)
			return dml_error(-EINVAL,
					 "struct dmatrack_kvm_log: slot 0x%x "
					 "is there twice",
					 k->slot[i].as.slot);
	return 0;
}

static int set_ranges(struct log_kvm *k)
{
	struct dmatrack_range *r = k->base.range;
	uint32_t i;

	qsort(k->slot, k->base.nr, sizeof(*k->slot), by_iova);
	for (i = 0; i < k->base.nr; i++) {
		const struct dmatrack_kvm_slot *s = &k->slot[i].as;

		r[i].iova = s->iova;
		r[i].last = s->iova + s->size - 1;
		if (i && r[i].iova <= r[i - 1].last)
			return dml_error(-EINVAL,
					 "slots 0x%x and 0x%x overlap at IOVA "
					 "0x%llx",
					 k->slot[i - 1].as.slot, s->slot,
					 (unsigned long long)s->iova);
	}
	return 0;
}

static int set_slots(struct log_kvm *k, const struct dmatrack_kvm_log *from)
{
	uint64_t largest = k->page_size;
	uint32_t i;
	int err = 0;

	k->slot = calloc(from->nr_slots, sizeof(*k->slot));
	k->base.range = calloc(from->nr_slots, sizeof(*k->base.range));
	if (!k->slot || !k->base.range)
		return dml_no_memory();
	k->base.nr = from->nr_slots;
	for (i = 0; i < k->base.nr && !err; i++) {
		k->slot[i].as = from->slots[i];
		err = check_slot(k, &from->slots[i]);
		largest = max(largest, from->slots[i].size);
	}
	if (!err)
		err = check_numbers(k);
	if (!err)
		err = set_ranges(k);
	if (err)
		return err;
	for (k->piece = k->page_size; k->piece < largest;)
		k->piece *= 2;
	k->bits = calloc(1, dmatrack_bitmap_size(largest, k->page_size));
	return k->bits ? 0 : dml_no_memory();
}

static int take_kvm_log(struct dmatrack_kvm_log *to,
			const struct dmatrack_kvm_log *from)
{
	int err = DML_SIZED_TAKE(to, from, struct dmatrack_kvm_log, reserved);

	if (!err && (to->flags & ~DMATRACK_KVM_MANUAL_PROTECT || to->reserved))
		err = dml_error(-EINVAL,
				"struct dmatrack_kvm_log: flags 0x%x are not "
				"DMATRACK_KVM_MANUAL_PROTECT (0x1) or 0, or "
				"reserved, 0x%x, is not 0",
				to->flags, to->reserved);
	return err;
}

int dmatrack_open_kvm_log(struct dmatrack **t,
			  const struct dmatrack_kvm_log *kvm_log)
{
	struct dmatrack_kvm_log from;
	struct log_kvm *k;
	int err;

	if (dml_lacks(t, kvm_log))
		return -EINVAL;
	err = take_kvm_log(&from, kvm_log);
	if (err)
		return err;
	k = calloc(1, sizeof(*k));
	if (!k)
		return dml_no_memory();
	dml_log_init(&k->base, &kvm_ops, "kvm");
	k->fd = -1;
	k->manual = from.flags & DMATRACK_KVM_MANUAL_PROTECT;
	k->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	err = open_vm(k, from.vm_fd);
	if (!err && (!from.nr_slots || !from.slots))
		err = dml_error(-EINVAL,
				"struct dmatrack_kvm_log: there are no slots");
	if (!err)
		err = set_slots(k, &from);
	return dml_log_open(t, &k->base, err);
}
