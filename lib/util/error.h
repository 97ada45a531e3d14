/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What went wrong, in words, for dmatrack_error(). In both libraries: the text is in one. */
#ifndef DML_UTIL_ERROR_H
#define DML_UTIL_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "dmatrack.h"

/*
 * dmatrack_set_error(), as a macro, so that compilers see that an @err that isn't 0 is what it
 * returns. A function that passes on the error of another one leaves its text alone.
 */
#define dml_error(err, ...) \
	({ int err_ = (err); dmatrack_set_error(err_, __VA_ARGS__); err_; })

/*
 * The same for want of memory: each error has a text, or an older call's would be taken
 * for its own.
 */
#define dml_no_memory() dml_error(-ENOMEM, "no memory")

/**
 * struct dml_text - what was said of a failure
 * @words: as dmatrack_error() has it; "": nothing
 *
 * Kept while something else is done that may fail as well, and overwrite it: cleaning up, a function of
 * the program's. The caller hears of the failure that came first.
 */
struct dml_text {
	char words[DMATRACK_ERROR_MAX];
};

/* @err: what to take where nothing was said; 0: nothing */
struct dml_text dml_error_save(int err);
void dml_error_restore(struct dml_text *text);

/* For functions without an error, which may be called between a failure and dmatrack_error() */
#define DML_KEEP_TEXT \
	__attribute__((cleanup(dml_error_restore))) struct dml_text kept_ = dml_error_save(0)

/* What was said is of no failure that counts: a call begins, or one failure has been mended. */
void dml_error_clear(void);

/*
 * A function that isn't the library's, @name, returned @err, and may have said nothing of it.
 * Return: @err
 */
int dml_error_foreign(int err, const char *name);

/* There's no connection in place of one that broke as @broke has it: @err. Return: @err */
int dml_error_no_other(int err, const struct dml_text *broke);

/*
 * Whether one of the pointers that the calling function needs is NULL, which has been said then. All
 * are parameters of it. A public function that returns errors begins with it: it also forgets
 * what was said of an older call.
 */
#define dml_lacks(...) \
	dml_error_lacks_any(__func__, #__VA_ARGS__, \
			    (const void *const[]){ __VA_ARGS__ }, \
			    sizeof((const void *[]){ __VA_ARGS__ }) / sizeof(void *))
bool dml_error_lacks_any(const char *function, const char *names,
			 const void *const *pointers, size_t n);

#endif
