// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The harness itself: a case that ends early leaves nothing to the next one. The
 * first case must fail; it has two processes then, one without a parent, that
 * hold the container open and wait for ever.
 */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform.h"

#define LEFT 2

/* IDs of the processes that the first case leaves; shared with the second */
static pid_t *left;

__attribute__((constructor)) static void share_left(void)
{
	left = mmap(NULL, LEFT * sizeof(*left), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static _Noreturn void stay(int told, pid_t *pid)
{
	*pid = getpid();
	if (write(told, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

CASE(leftovers_made, ANY | FAILS)
{
	int told[2];
	char c[LEFT];
	int n;

	ASSERT(left != MAP_FAILED);
	ASSERT_OK(pipe(told));
	mapped(BASE, 8);
	if (!fork()) {
		if (!fork())
			stay(told[1], &left[0]);
		_exit(0);
	}
	if (!fork())
		stay(told[1], &left[1]);
	for (n = 0; n < LEFT; n++)
		ASSERT_EQ(read(told[0], c, 1), 1);
	ASSERT_EQ(n, 0);
}

/* The second case has a container: so the group was released. */
CASE(leftovers_gone, ANY)
{
	int n;

	if (!left[0])
		conform_skip("leftovers_made didn't run");
	for (n = 0; n < LEFT; n++) {
		EXPECT_EQ(kill(left[n], 0), -1);
		EXPECT_EQ(errno, ESRCH);
	}
	mapped(BASE, 8);
}
