/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The Test Anything Protocol, as much as the tests here need. A test's body
 * uses CHECK(); the first that fails ends the test, not the program.
 */
#ifndef DMT_TAP_H
#define DMT_TAP_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf tap_fail;
static int tap_count, tap_failed;

#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			longjmp(tap_fail, 1);				\
		}							\
	} while (0)

#define CHECK_EQ(a, b)							\
	do {								\
		long long a_ = (long long)(a), b_ = (long long)(b);	\
		if (a_ != b_) {						\
			printf("# %s:%d: %s is %lld (%#llx), not %lld (%#llx)\n", \
			       __FILE__, __LINE__, #a, a_, a_, b_, b_);	\
			longjmp(tap_fail, 1);				\
		}							\
	} while (0)

/* One test: a function without arguments, and its name for people */
#define TEST(fn, name)							\
	do {								\
		int bad_ = setjmp(tap_fail);				\
		if (!bad_)						\
			fn();						\
		tap_failed += bad_;					\
		printf("%sok %d - %s\n", bad_ ? "not " : "", ++tap_count, \
		       name);						\
		fflush(stdout);						\
	} while (0)

#define SKIP(name, why)							\
	do {								\
		printf("ok %d - %s # SKIP %s\n", ++tap_count, name, why); \
	} while (0)

/* The last line; what main() returns */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
