/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The part of the Test Anything Protocol that the tests need. A test's body
 * uses CHECK(); the first CHECK() that fails ends the test, not the program.
 *
 * A program that has no arguments of its own takes --list, which prints the names of
 * its tests, and patterns: it runs the tests that have one of them in their name. A
 * program with arguments of its own defines TAP_OWN_ARGUMENTS. Numbers aren't patterns.
 */
#ifndef DMT_TAP_H
#define DMT_TAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf tap_fail;
static int tap_count, tap_failed;
static bool tap_lists;
static char **tap_patterns;

#ifndef TAP_OWN_ARGUMENTS
__attribute__((constructor)) static void tap_arguments(int argc, char **argv)
{
	tap_lists = argc > 1 && !strcmp(argv[1], "--list");
	tap_patterns = argc > 1 && (argv[1][0] < '0' || argv[1][0] > '9') ?
			       argv + 1 :
			       NULL;
}
#endif

/* Is the test with this name to be run? */
static inline bool tap_wants(const char *name)
{
	char **pattern = tap_patterns;

	if (tap_lists) {
		puts(name);
		return false;
	}
	while (pattern && *pattern && !strstr(name, *pattern))
		pattern++;
	return !pattern || *pattern;
}

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			longjmp(tap_fail, 1); \
		} \
	} while (0)

#define CHECK_EQ(a, b) \
	do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
		if (a_ != b_) { \
			printf("# %s:%d: %s is %lld (%#llx), not %lld (%#llx)\n", \
			       __FILE__, __LINE__, #a, a_, a_, b_, b_); \
			longjmp(tap_fail, 1); \
		} \
	} while (0)

/* One test: a function without arguments, and its name for people */
#define TEST(fn, name) \
	do { \
		int bad_; \
\
		if (!tap_wants(name)) \
			break; \
		bad_ = setjmp(tap_fail); \
		if (!bad_) \
			fn(); \
		tap_failed += bad_; \
		printf("%sok %d - %s\n", bad_ ? "not " : "", ++tap_count, \
		       name); \
		fflush(stdout); \
	} while (0)

#define SKIP(name, why) \
	do { \
		if (tap_wants(name)) \
			printf("ok %d - %s # SKIP %s\n", ++tap_count, name, \
			       why); \
	} while (0)

/* Print the last line. Return: main()'s return value */
static inline int tap_done(void)
{
	if (tap_lists)
		return 0;
	if (!tap_count && tap_patterns)
		printf("not ok 1 - no test has such a name: try --list\n");
	printf("1..%d\n", tap_count);
	return tap_failed != 0 || !tap_count;
}

#endif
