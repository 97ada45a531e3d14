// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Structures that begin with their size. */
#include <errno.h>
#include <string.h>

#include "sized.h"
#include "error.h"

#define LONGEST	4096	/* more is no size, but what happened to be there */

static int check_more(const unsigned char *from, size_t theirs, size_t ours,
		      const char *what)
{
	size_t i;

	if (theirs > LONGEST)
		return dml_error(-E2BIG, "%s: its size is %zu, and no such structure is longer than %d",
				 what, theirs, LONGEST);
	for (i = ours; i < theirs; i++) {
		if (from[i])
			return dml_error(-E2BIG, "%s: byte %zu is not 0, and this library knows only %zu",
					 what, i, ours);
	}
	return 0;
}

int dml_sized_take(void *to, size_t ours, size_t least, const void *from,
		   const char *what)
{
	size_t theirs;
	int ret;

	if (!from)
		return dml_error(-EINVAL, "%s: NULL", what);
	memcpy(&theirs, from, sizeof(theirs));
	if (theirs < least || (theirs < ours && theirs % sizeof(void *)))
		return dml_error(-EINVAL, "%s: its size is %zu, not %zu", what,
				 theirs, ours);
	ret = check_more(from, theirs, ours, what);
	if (ret)
		return ret;
	memset(to, 0, ours);
	memcpy(to, from, theirs < ours ? theirs : ours);
	return 0;
}
