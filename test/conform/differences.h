/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef CONFORM_DIFFERENCES_H
#define CONFORM_DIFFERENCES_H

#include <stdbool.h>

/**
 * struct difference - a case that the stock driver must fail
 * @name: name of the case
 * @row: the row of design.md that describes it, or "kernel version"
 * @what: the stock driver's behaviour
 * @seen: text of the check that must fail; NULL: any check
 * @before: the first tried kernel version that passes (as 0x703 for 7.3); 0: none
 */
struct difference {
	const char *name;
	const char *row;
	const char *what;
	const char *seen;
	unsigned int before;
};

/* Return: the difference, or NULL if the running kernel has none there */
const struct difference *difference_of(const char *name);

/*
 * Return: why the case would stop the running kernel on the stock driver, if warnings
 * are fatal there; NULL if it wouldn't
 */
const char *difference_fatal(const char *name);

/* Return: the name of the nth case with a difference, or NULL after the last */
const char *difference_name(int n);

#define LINUX_6_12 0x60c
#define LINUX_7_3  0x703

/* Return: the running kernel's version in that form; 0 if it can't be read */
unsigned int kernel_version(void);

#endif
