// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Errors: see error.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

struct dml_text dml_error_save(int err)
{
	const char *said = dmatrack_error();
	struct dml_text why;

	snprintf(why.words, sizeof(why.words), "%s",
		 err && !*said ? strerror(-err) : said);
	return why;
}

void dml_error_restore(struct dml_text *text)
{
	dmatrack_set_error(0, "%s", text->words);
}

void dml_error_clear(void)
{
	if (*dmatrack_error())
		dmatrack_set_error(0, "%s", "");
}

int dml_error_foreign(int err, const char *name)
{
	if (err < 0 && !*dmatrack_error())
		dmatrack_set_error(err, "%s: %s", name, strerror(-err));
	return err;
}

int dml_error_no_other(int err, const struct dml_text *broke)
{
	struct dml_text why = dml_error_save(err);

	if (err == -ECANCELED || !*broke->words ||
	    !strcmp(broke->words, why.words))
		return dml_error(err, "%s", why.words);
	return dml_error(err, "%s; and there is no other connection: %s",
			 broke->words, why.words);
}

void dml_error_lacks(const char *function, const char *names, size_t at)
{
	while (at--)
		names += strcspn(names, ",") + 2;
	dmatrack_set_error(-EINVAL, "%s(): %.*s is NULL", function,
			   (int)strcspn(names, ","), names);
}
