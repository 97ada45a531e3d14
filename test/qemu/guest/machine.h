/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The machine that the guest runs on: ports, PCI, a console.
 */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define false ((bool)0)
#define true ((bool)1)

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 read32(u32 address)
{
	return *(volatile u32 *)address;
}

static inline void write32(u32 address, u32 value)
{
	*(volatile u32 *)address = value;
}

/* PCI configuration, by the address of a function and a register */
u32 pci_read(u32 function, u32 offset);
void pci_write(u32 function, u32 offset, u32 value);
bool pci_find(u16 vendor, u16 device, u32 *function);

/* Text on QEMU's debug console */
void say(const char *text);
void say_number(const char *text, u32 number);

#endif
