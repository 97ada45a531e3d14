/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef CONFORM_DIFFERENCES_H
#define CONFORM_DIFFERENCES_H

#include <stdbool.h>

/**
 * struct difference - a case that the stock driver must fail
 * @name: of the case
 * @row: the row of design.md that says so, or "kernel version"
 * @what: what the stock driver does
 * @seen: what is said by a check that fails; NULL: anything
 * @before: the first kernel version (as 0x703 for 7.3), of those that have been
 *	    tried, that passes; 0: none
 */
struct difference {
	const char *name;
	const char *row;
	const char *what;
	const char *seen;
	unsigned int before;
};

/* NULL: none on the kernel that runs */
const struct difference *difference_of(const char *name);

/*
 * What the case makes the stock driver do that stops the kernel that runs, if
 * warnings are fatal; NULL: nothing
 */
const char *difference_fatal(const char *name);

/* The nth case that these are said of, or NULL after the last */
const char *difference_name(int n);

#define LINUX_6_12	0x60c
#define LINUX_7_3	0x703

/* The running kernel's version, to compare with those; 0: it can't be read */
unsigned int kernel_version(void);

#endif
