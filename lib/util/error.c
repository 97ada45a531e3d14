// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The text of a thread's last error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dmatrack.h"
#include "error.h"

static __thread struct dml_text said;

void dml_error_set(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said.words, sizeof(said.words), format, args);
	va_end(args);
}

struct dml_text dml_error_save(int err)
{
	struct dml_text why = said;

	if (err && !*why.words)
		snprintf(why.words, sizeof(why.words), "%s", strerror(-err));
	return why;
}

void dml_error_restore(struct dml_text *text)
{
	said = *text;
}

void dml_error_clear(void)
{
	*said.words = '\0';
}

int dml_error_foreign(int err, const char *name)
{
	if (err < 0 && !*said.words)
		dml_error_set("%s: %s", name, strerror(-err));
	return err;
}

int dml_error_no_other(int err, const struct dml_text *broke)
{
	struct dml_text why = dml_error_save(err);

	if (err == -ECANCELED || !*broke->words || !strcmp(broke->words, why.words))
		return dml_error(err, "%s", why.words);
	return dml_error(err, "%s; and there is no other connection: %s",
			 broke->words, why.words);
}

bool dml_error_lacks_any(const char *function, const char *names,
			 const void *const *pointers, size_t n)
{
	size_t i;

	dml_error_clear();
	for (i = 0; i < n && pointers[i]; i++)
		names += strcspn(names, ",") + 2;
	if (i < n)
		dml_error_set("%s(): %.*s is NULL", function,
			      (int)strcspn(names, ","), names);
	return i < n;
}

const char *dmatrack_error(void)
{
	return said.words;
}
