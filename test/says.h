/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The text of the last error */
#ifndef DMT_TEST_SAYS_H
#define DMT_TEST_SAYS_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dmatrack.h"

/* Return: whether dmatrack_error() has these words; if not, it is printed */
static inline bool says(const char *words)
{
	if (strstr(dmatrack_error(), words))
		return true;
	printf("# it says: %s\n", dmatrack_error());
	return false;
}

#endif
