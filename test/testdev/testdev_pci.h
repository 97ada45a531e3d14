/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The mediated PCI device (mdev type pci): its user's view.
 *
 * A PCI function with one memory BAR of 4 KiB, for a guest of a VMM. It writes
 * to memory, by vfio_dma_rw() and through pinned pages, and can be
 * migrated (VFIO migration, version 2: stop-copy, pre-copy, P2P). No interrupts.
 *
 * Operation number n of the device writes TDEV_PCI_SIZE bytes; place and data depend
 * on TDEV_PCI_SEED and n alone: see tdev_pci_slot() and tdev_pci_word(). An operation
 * that fails is tried again until it succeeds, so memory after n operations is known
 * to the last byte, whatever happened. Only operation n itself, if it has been tried,
 * may have written some of its bytes.
 *
 * Included by the kernel, by programs and by a freestanding guest: no types but
 * the compiler's.
 */
#ifndef TDEV_TESTDEV_PCI_H
#define TDEV_TESTDEV_PCI_H

/* An ID that no product has: vendor 1234 isn't assigned, and emulators use it. */
#define TDEV_PCI_VENDOR 0x1234
#define TDEV_PCI_DEVICE 0xd3a7

/* Registers in BAR 0, of 32 bits, by aligned accesses of 32 bits only */
#define TDEV_PCI_ID	   0x00 /* ro: TDEV_PCI_MAGIC */
#define TDEV_PCI_CONTROL   0x04 /* TDEV_PCI_GO, ... */
#define TDEV_PCI_IOVA_LOW  0x08 /* start of the region to write in */
#define TDEV_PCI_IOVA_HIGH 0x0c
#define TDEV_PCI_LENGTH	   0x10 /* length of the region, in bytes */
#define TDEV_PCI_SIZE	   0x14 /* bytes an operation, a multiple of 4 */
#define TDEV_PCI_SEED	   0x18
#define TDEV_PCI_RATE	   0x1c /* operations a second; 0: full speed */
#define TDEV_PCI_HELD	   0x20 /* bytes from IOVA on to keep pinned */
#define TDEV_PCI_DONE	   0x24 /* operations that are complete */
#define TDEV_PCI_FAILED	   0x28 /* ro: tries that failed */
#define TDEV_PCI_LOADS	   0x2c /* ro: migrations in which the device was loaded */
#define TDEV_PCI_REGS	   12

#define TDEV_PCI_MAGIC	   0x50544d44

/*
 * GO: write, as long as the device is bus master and the migration's state lets
 * it run. While GO is set, all registers but CONTROL keep their values. When the
 * write that clears it returns, every operation is complete. GO can be set only
 * with valid registers: LENGTH of at least SIZE and not above TDEV_PCI_LENGTH_MAX,
 * SIZE not 0 and not above TDEV_PCI_SIZE_MAX, HELD whole pages within the region and
 * not above TDEV_PCI_HELD_MAX, no wrap-around.
 *
 * PIN: every fourth operation pins its pages, writes through them and unpins.
 */
#define TDEV_PCI_GO	    (1u << 0)
#define TDEV_PCI_PIN	    (1u << 1)

#define TDEV_PCI_LENGTH_MAX (1u << 30)
#define TDEV_PCI_SIZE_MAX   4096u
#define TDEV_PCI_HELD_MAX   (16u << 20)

/* A bijection of 32-bit numbers that scatters them */
static inline unsigned int tdev_pci_mix(unsigned int x)
{
	x = (x ^ (x >> 16)) * 0x9e3779b1u;
	x = (x ^ (x >> 15)) * 0x27d4eb2fu;
	return x ^ (x >> 16);
}

/* The slot that operation @n writes: from IOVA + slot * SIZE on, SIZE bytes */
static inline unsigned int tdev_pci_slot(unsigned int seed, unsigned int n,
					 unsigned int slots)
{
	return tdev_pci_mix(seed + tdev_pci_mix(n)) % slots;
}

/* Word @i, of 32 bits and little-endian, of the data of operation @n */
static inline unsigned int tdev_pci_word(unsigned int seed, unsigned int n,
					 unsigned int i)
{
	return tdev_pci_mix(~seed + tdev_pci_mix(n)) + i * 0x9e3779b1u;
}

/*
 * The migration stream: a head, which can be read in pre-copy, and the state.
 * All words are little-endian. @sum is tdev_pci_sum() of the state before it.
 */
#define TDEV_PCI_STREAM_MAGIC	0x4d544d44
#define TDEV_PCI_STREAM_VERSION 1

struct tdev_pci_head {
	unsigned int magic;
	unsigned int version;
	unsigned int size; /* size of the state in bytes */
	unsigned int zero;
};

struct tdev_pci_state {
	unsigned int regs[TDEV_PCI_REGS]; /* by address, with ID */
	unsigned int config[16];	  /* the first 64 bytes of it */
	unsigned int sum;
};

struct tdev_pci_stream {
	struct tdev_pci_head head;
	struct tdev_pci_state state;
};

static inline unsigned int tdev_pci_sum(const struct tdev_pci_state *state)
{
	const unsigned int *word = (const unsigned int *)state;
	unsigned int i, sum = 0;

	for (i = 0; i < sizeof(*state) / 4 - 1; i++)
		sum = tdev_pci_mix(sum + word[i]);
	return sum;
}

#endif
