/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What went wrong, in words, for dmatrack_error(). */
#ifndef DMT_LIB_ERROR_H
#define DMT_LIB_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/**
 * dmt_error() - say what went wrong
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
#define dmt_error(err, ...) \
	({ int err_ = (err); dmt_say(__VA_ARGS__); err_; })

/*
 * The same for want of memory: each error has a text, or an older call's would be taken
 * for its own.
 */
#define dmt_no_memory() dmt_error(-ENOMEM, "no memory")

/**
 * struct dmt_text - what was said of a failure
 * @words: as dmatrack_error() has it; "": nothing
 *
 * Kept while something else is done that may fail as well, and overwrite it: cleaning up, a function of
 * the program's. The caller hears of the failure that came first.
 */
struct dmt_text {
	char words[512];
};

/* @err: what to take where nothing was said; 0: nothing */
struct dmt_text dmt_why(int err);
void dmt_say_again(struct dmt_text *text);

/* For functions without an error, which may be called between a failure and dmatrack_error() */
#define DMT_KEEP_TEXT \
	__attribute__((cleanup(dmt_say_again))) struct dmt_text kept_ = dmt_why(0)

/* What was said is of no failure that counts: a call begins, or one failure has been mended. */
void dmt_forget(void);

/*
 * A function that isn't the library's, @name, returned @err, and may have said nothing of it.
 * Return: @err
 */
int dmt_foreign(int err, const char *name);

/* There's no connection in place of one that broke as @broke has it: @err. Return: @err */
int dmt_no_other(int err, const struct dmt_text *broke);

/*
 * Whether one of the pointers that the calling function needs is NULL, which has been said then. All
 * are parameters of it. A public function that returns errors begins with it: it also forgets
 * what was said of an older call.
 */
#define dmt_lacks(...) \
	dmt_lacks_any(__func__, #__VA_ARGS__, \
		      (const void *const[]){ __VA_ARGS__ }, \
		      sizeof((const void *[]){ __VA_ARGS__ }) / sizeof(void *))
bool dmt_lacks_any(const char *function, const char *names,
		   const void *const *pointers, size_t n);

__attribute__((format(printf, 1, 2)))
void dmt_say(const char *format, ...);

#endif
