// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The guest that is migrated. It lets the device write to a region of its memory, and
 * writes to another region itself meanwhile. When it finds that it has been migrated, it
 * stops the device and checks every byte of both. Then it goes on, and checks once more.
 *
 * The right value of each byte follows from the number of operations: the device counts
 * its own, and the count is migrated with it. The device's operations are in random order,
 * at a rate at which a migration's round writes only some of the pages. So a page whose
 * mark was lost isn't always written and marked again in the next round.
 *
 * With 'load=RATE,KIB' as the last word of its command line, it fills its memory and has the device
 * write so many single pages a second in so many KiB. Then it stands still, so that all that is written is
 * the device's, and known.
 *
 * The guest prints these lines on the debug console:
 *
 *	running
 *	arrived done N failed N own N bad N	after each migration; 'bad' counts
 *	later done N failed N own N bad N	pages that are wrong
 *	end
 */
#include "iommu.h"
#include "machine.h"
#include "test/testdev/testdev_pci.h"

/* Memory: this program from 1 MiB on, then: */
#define TABLES	    0x00700000u /* page tables of the IOMMU */
#define LAST	    0x00800000u /* by slot: its last operation, plus 1 */
#define REGION	    0x01000000u /* the region that the device writes */
#define REGION_SIZE IOMMU_SIZE
#define GUARD	    0x00010000u /* untouched bytes before and behind a region */
#define OWN	    0x01800000u
#define OWN_SIZE    0x00100000u
#define MEMORY_END  0x03f00000u /* behind it QEMU's firmware may have tables */

#define PAGE	    4096u
#define SLOT	    1300u /* not of a power of two: slots cross pages */
#define SLOTS	    (REGION_SIZE / SLOT)
#define HELD	    0x00010000u
#define RATE	    1500u
#define SEED	    0x2545f491u
#define OWN_SLOT    256u
#define OWN_SLOTS   (OWN_SIZE / OWN_SLOT)
#define OWN_SEED    0x9e3779b9u

/* IOVA of the device's region if there is an IOMMU */
#define IOVA 0x80000000u

/* Device operations between the two checks at the destination */
#define LATER 300u

static u32 bar;
static bool iommu;
static u32 own_done; /* number of this program's own operations */
static u32 replayed; /* number of the device's operations entered in LAST */

static u32 reg_read(u32 reg)
{
	return read32(bar + reg);
}

static void reg_write(u32 reg, u32 value)
{
	write32(bar + reg, value);
}

/* The value of a word that hasn't been written yet */
static u32 blank(u32 address)
{
	return ~address;
}

static void fill(u32 from, u32 size)
{
	u32 i;

	for (i = 0; i < size; i += 4)
		write32(from + i, blank(from + i));
}

/* Checks: each counts pages that hold a wrong word, one page after the other */

struct check {
	u32 bad;
	u32 last; /* number of the last bad page */
};

static void check_word(struct check *c, u32 address, u32 want)
{
	if (read32(address) == want || c->last == address / PAGE)
		return;
	c->last = address / PAGE;
	if (c->bad++ < 4) {
		say_number("# at ", address);
		say_number(": is ", read32(address));
		say_number(", not ", want);
		say("\n");
	}
}

static void check_blank(struct check *c, u32 from, u32 size)
{
	u32 i;

	for (i = 0; i < size; i += 4)
		check_word(c, from + i, blank(from + i));
}

/* @op: number of the last operation on the slot, plus 1; 0: there was none */
static void check_slot(struct check *c, u32 address, u32 size, u32 seed, u32 op)
{
	u32 i;

	if (!op) {
		check_blank(c, address, size);
		return;
	}
	for (i = 0; i < size / 4; i++)
		check_word(c, address + i * 4, tdev_pci_word(seed, op - 1, i));
}

/*
 * The last operation may have failed where the IOMMU didn't map the slot, and may have
 * written some of its words: those are right, too. Restore them before the slot is
 * checked.
 */
static void forget_failed(u32 done)
{
	u32 slot = tdev_pci_slot(SEED, done, SLOTS), i;
	u32 address = REGION + slot * SLOT, op = read32(LAST + slot * 4);

	for (i = 0; i < SLOT; i += 4)
		if (read32(address + i) == tdev_pci_word(SEED, done, i / 4))
			write32(address + i,
				op ? tdev_pci_word(SEED, op - 1, i / 4) :
				     blank(address + i));
}

static void check_region(struct check *c, u32 done)
{
	u32 slot;

	for (; replayed < done; replayed++) {
		slot = tdev_pci_slot(SEED, replayed, SLOTS);
		write32(LAST + slot * 4, replayed + 1);
	}
	if (iommu)
		forget_failed(done);
	check_blank(c, REGION - GUARD, GUARD);
	for (slot = 0; slot < SLOTS; slot++)
		check_slot(c, REGION + slot * SLOT, SLOT, SEED,
			   read32(LAST + slot * 4));
	check_blank(c, REGION + SLOTS * SLOT, REGION_SIZE - SLOTS * SLOT);
	check_blank(c, REGION + REGION_SIZE, GUARD);
}

/* This program's own operations go through the slots in order. */
static void check_own(struct check *c)
{
	u32 pass = own_done / OWN_SLOTS, slot;

	for (slot = 0; slot < OWN_SLOTS; slot++) {
		u32 op = pass * OWN_SLOTS + slot + 1;

		if (slot >= own_done % OWN_SLOTS)
			op = pass ? op - OWN_SLOTS : 0;
		check_slot(c, OWN + slot * OWN_SLOT, OWN_SLOT, OWN_SEED, op);
	}
}

static void check_all(const char *when)
{
	struct check c = { 0, ~0u };
	u32 done;

	reg_write(TDEV_PCI_CONTROL, 0);
	done = reg_read(TDEV_PCI_DONE);
	check_region(&c, done);
	check_own(&c);
	say(when);
	say_number(" done ", done);
	say_number(" failed ", reg_read(TDEV_PCI_FAILED));
	say_number(" own ", own_done);
	say_number(" bad ", c.bad);
	say("\n");
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO | TDEV_PCI_PIN);
}

/* Work */

/* Unmap a part of the device's memory, map it again, go on to another part. */
static void remap(void)
{
	static u32 turn;

	if (turn % 8 == 0)
		iommu_window(turn / 16 * 37 % IOMMU_WINDOWS, turn % 16 == 8);
	turn++;
}

static void work(void)
{
	u32 n, i;

	if (iommu)
		remap();

	for (n = 0; n < 16; n++, own_done++) {
		u32 slot = OWN + own_done % OWN_SLOTS * OWN_SLOT;

		for (i = 0; i < OWN_SLOT / 4; i++)
			write32(slot + i * 4,
				tdev_pci_word(OWN_SEED, own_done, i));
	}
}

static void work_until(u32 done)
{
	while ((int)(reg_read(TDEV_PCI_DONE) - done) < 0)
		work();
}

static bool find_device(u32 *function)
{
	if (!pci_find(TDEV_PCI_VENDOR, TDEV_PCI_DEVICE, function))
		return false;
	bar = pci_read(*function, 0x10) & ~0xfu;
	pci_write(*function, 0x04, 0x6); /* memory, bus master */
	return bar && reg_read(TDEV_PCI_ID) == TDEV_PCI_MAGIC;
}

static void start_device(void)
{
	reg_write(TDEV_PCI_IOVA_LOW, iommu ? IOVA : REGION);
	reg_write(TDEV_PCI_IOVA_HIGH, 0);
	reg_write(TDEV_PCI_LENGTH, REGION_SIZE);
	reg_write(TDEV_PCI_SIZE, SLOT);
	reg_write(TDEV_PCI_SEED, SEED);
	reg_write(TDEV_PCI_RATE, RATE);
	reg_write(TDEV_PCI_HELD, HELD);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO | TDEV_PCI_PIN);
}

/*
 * What follows @word in the last word of the command line in the loader's information; NULL: that is another
 * word
 */
static const char *last_word(u32 info, const char *word)
{
	const char *line = (const char *)read32(info + 16), *last = line;

	if (!(read32(info) & 4))
		return (void *)0;
	for (; *line; line++)
		if (*line == ' ')
			last = line + 1;
	while (*word && *word == *last)
		word++, last++;
	return *word ? (void *)0 : last;
}

static bool wants_iommu(u32 info)
{
	const char *rest = last_word(info, "iommu");

	return rest && !*rest;
}

/* The number at @text; @text: out: behind it and the comma that follows */
static u32 number(const char **text)
{
	u32 n = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++)
		n = n * 10 + (u32)(**text - '0');
	if (**text == ',')
		(*text)++;
	return n;
}

/* The device writes at a rate in a part of memory; see above. */
static void be_load(const char *text)
{
	u32 rate = number(&text), kib = number(&text);

	fill(LAST, MEMORY_END - LAST);
	reg_write(TDEV_PCI_IOVA_LOW, REGION);
	reg_write(TDEV_PCI_IOVA_HIGH, 0);
	reg_write(TDEV_PCI_LENGTH, kib * 1024);
	reg_write(TDEV_PCI_SIZE, PAGE);
	reg_write(TDEV_PCI_SEED, SEED);
	reg_write(TDEV_PCI_RATE, rate);
	reg_write(TDEV_PCI_HELD, 0);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO);
	say("running\n");
	for (;;)
		__asm__ volatile("hlt");
}

void guest_main(u32 info);

void guest_main(u32 info)
{
	const char *load = last_word(info, "load=");
	u32 loads = 0, function;

	iommu = wants_iommu(info);
	if (!find_device(&function)) {
		say("no device\n");
		return;
	}
	if (load)
		be_load(load);
	if (iommu)
		iommu_start(function, IOVA, REGION, TABLES);
	fill(REGION - GUARD, REGION_SIZE + 2 * GUARD);
	fill(OWN, OWN_SIZE);
	start_device();
	work_until(1);
	say("running\n");
	for (;;) {
		while (reg_read(TDEV_PCI_LOADS) == loads)
			work();
		loads = reg_read(TDEV_PCI_LOADS);
		check_all("arrived");
		work_until(reg_read(TDEV_PCI_DONE) + LATER);
		check_all("later");
		say("end\n");
	}
}
