// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Bus mastering: a PCI device may write to memory while bit 2 of its command register is set. The read
 * that follows the write of the register can't pass writes that the device has sent before it (PCI's
 * ordering rules), so when it returns, these have arrived. A PCI Express device says in its status
 * whether requests of its own still wait for an answer.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "lib/util/clock.h"
#include "process.h"

#define PATIENCE     (DML_NSEC / 10)
#define CAPABILITIES 48 /* at most in 192 bytes */

int dml_busmaster_open(const char *address)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_word(int config, unsigned int at, uint16_t *value)
{
	uint16_t word = 0;
	ssize_t n = pread(config, &word, sizeof(word), at);

	*value = le16toh(word);
	if (n != sizeof(word))
		return n < 0 ? -errno : -EIO;
	return 0;
}

/* Set or clear the bit. Return: 0 or -errno */
static int set_bit(int config, bool on)
{
	uint16_t command, word;
	int err = read_word(config, PCI_COMMAND, &command);
	ssize_t n;

	if (err)
		return err;
	if (!!(command & PCI_COMMAND_MASTER) == on)
		return 0;
	word = htole16(command ^ PCI_COMMAND_MASTER);
	n = pwrite(config, &word, sizeof(word), PCI_COMMAND);
	if (n != sizeof(word))
		return n < 0 ? -errno : -EIO;
	err = read_word(config, PCI_COMMAND, &command);
	if (err)
		return err;
	return !!(command & PCI_COMMAND_MASTER) == on ? 0 : -EIO;
}

int dml_busmaster_is_on(int config)
{
	uint16_t command;
	int err = read_word(config, PCI_COMMAND, &command);

	return err ? err : !!(command & PCI_COMMAND_MASTER);
}

int dml_busmaster_off(int config)
{
	return set_bit(config, false);
}

int dml_busmaster_on(int config)
{
	return set_bit(config, true);
}

/* Return: where the PCI Express capability is; 0: there is none */
static unsigned int find_express(int config)
{
	uint16_t word, at;
	unsigned int i;

	if (read_word(config, PCI_STATUS, &word) ||
	    !(word & PCI_STATUS_CAP_LIST) ||
	    read_word(config, PCI_CAPABILITY_LIST, &at))
		return 0;
	for (i = 0; i < CAPABILITIES; i++) {
		at &= 0xfc;
		if (!at || read_word(config, at, &word))
			return 0;
		if ((word & 0xff) == PCI_CAP_ID_EXP)
			return at;
		at = word >> 8;
	}
	return 0;
}

int dml_busmaster_settle(int config)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + PATIENCE;
	unsigned int express = find_express(config);
	uint16_t status;

	while (express &&
	       !read_word(config, express + PCI_EXP_DEVSTA, &status) &&
	       status & PCI_EXP_DEVSTA_TRPND) {
		if (dml_clock_now() > limit)
			return -ETIMEDOUT;
		nanosleep(&moment, NULL);
	}
	return 0;
}
