// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "machine.h"

#define CONSOLE	    0xe9
#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

/* The compiler may generate calls of memset(). */
void *memset(void *to, int c, unsigned long n);

void *memset(void *to, int c, unsigned long n)
{
	volatile u8 *p = to;

	while (n--)
		*p++ = c;
	return to;
}

u32 pci_read(u32 function, u32 offset)
{
	outl(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
	return inl(PCI_DATA);
}

void pci_write(u32 function, u32 offset, u32 value)
{
	outl(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
	outl(PCI_DATA, value);
}

/* Search the first bus, which is QEMU's default for devices. */
bool pci_find(u16 vendor, u16 device, u32 *function)
{
	for (*function = 0; *function < 256; (*function)++)
		if (pci_read(*function, 0) == (vendor | (u32)device << 16))
			return true;
	return false;
}

void say(const char *text)
{
	while (*text)
		outb(CONSOLE, *text++);
}

void say_number(const char *text, u32 number)
{
	char digits[11], *p = digits + 10;

	*p = '\0';
	do {
		*--p = '0' + number % 10;
		number /= 10;
	} while (number);
	say(text);
	say(p);
}
