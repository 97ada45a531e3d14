// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Structures that begin with their size. */
#include <errno.h>
#include <string.h>

#include "sized.h"
#include "error.h"

#define LONGEST \
	4096 /* bytes; a greater value is an uninitialised member, not a size */

static int check_more(const unsigned char *from, size_t theirs, size_t ours,
		      const char *what)
{
	size_t i;

	if (theirs > LONGEST)
		return dml_error(
			-E2BIG,
			"%s: size is %zu, more than the maximum of %d: set it to "
			"sizeof(%s)",
			what, theirs, LONGEST, what);
	for (i = ours; i < theirs; i++) {
		if (from[i])
			return dml_error(
				-E2BIG,
				"%s: byte %zu is not 0, but this library supports "
				"only the first %zu bytes",
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
		return dml_error(
			-EINVAL,
			"%s: size is %zu, not %zu: set it to sizeof(%s)", what,
			theirs, ours, what);
	ret = check_more(from, theirs, ours, what);
	if (ret)
		return ret;
	memset(to, 0, ours);
	memcpy(to, from, theirs < ours ? theirs : ours);
	return 0;
}
