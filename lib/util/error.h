/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Texts of errors, for dmatrack_error(). Linked into both libraries; libdmatrack keeps the text. */
#ifndef DML_UTIL_ERROR_H
#define DML_UTIL_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "dmatrack.h"

/*
 * dmatrack_set_error(), as a macro, so that compilers see that it returns @err. A function that
 * passes on the error of another function doesn't set a text.
 */
#define dml_error(err, ...) \
	({ \
		int err_ = (err); \
		dmatrack_set_error(err_, __VA_ARGS__); \
		err_; \
	})

/* The same when memory is short. An error without a text would show that of an older call. */
#define dml_no_memory() dml_error(-ENOMEM, "no memory")

/**
 * struct dml_text - a saved text of an error
 * @words: what dmatrack_error() returned; "": no text
 *
 * Saved while other work may fail and overwrite the text (cleaning up, a callback), so that the
 * caller gets the text of the first failure.
 */
struct dml_text {
	char words[DMATRACK_ERROR_MAX];
};

/* Return: the thread's text; if it is empty, strerror() of @err, or "" if @err is 0 */
struct dml_text dml_error_save(int err);
void dml_error_restore(struct dml_text *text);

/* For functions that return no error: they may be called between a failure and dmatrack_error() */
#define DML_KEEP_TEXT \
	__attribute__((cleanup(dml_error_restore))) struct dml_text kept_ = \
		dml_error_save(0)

/* Clear the thread's text: a call begins, or has recovered from a failure. */
void dml_error_clear(void);

/*
 * The program's function @name returned @err: set a text if @err is negative and the function set
 * none. Return: @err
 */
int dml_error_foreign(int err, const char *name);

/*
 * A connection broke, with the text @broke, and the attempt to get another one failed with @err:
 * set a text that has both. Return: @err
 */
int dml_error_no_other(int err, const struct dml_text *broke);

/*
 * Return: whether one of these pointers, all parameters of the calling function, is NULL; a text
 * is set then. A public function that returns errors begins with it: it also clears the text of
 * an older call.
 */
#define dml_lacks(...) \
	({ \
		const void *const pointers_[] = { __VA_ARGS__ }; \
		const size_t n_ = sizeof(pointers_) / sizeof(*pointers_); \
		size_t i_ = 0; \
		while (i_ < n_ && pointers_[i_]) \
			i_++; \
		dml_error_clear(); \
		if (__builtin_expect(i_ < n_, 0)) \
			dml_error_lacks(__func__, #__VA_ARGS__, i_); \
		i_ < n_; \
	})

/* Set the text for dml_lacks(): the parameter at @at of @names is NULL. */
void dml_error_lacks(const char *function, const char *names, size_t at);

#endif
