/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What went wrong, in words, for dmatrack_error(). */
#ifndef DML_UTIL_ERROR_H
#define DML_UTIL_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/**
 * dml_error() - say what went wrong
 * @err: a negative errno
 * @format: a clause without a full stop, with the names and numbers that matter:
 *	    "group 12: device 0000:00:04.0 is bound to e1000e". What's longer than the
 *	    thread's buffer is cut
 *
 * For the calling thread. Who passes on the error of another function of the library
 * leaves its text alone.
 *
 * Return: @err. A macro, so that compilers see it's no 0
 */
#define dml_error(err, ...) \
	({ int err_ = (err); dml_error_set(__VA_ARGS__); err_; })

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
	char words[512];
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

__attribute__((format(printf, 1, 2)))
void dml_error_set(const char *format, ...);

#endif
