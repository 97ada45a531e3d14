// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Signals that end the program: see interrupt.h. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "interrupt.h"
#include "lib/util/cancel.h"
#include "lib/util/clock.h"

static volatile sig_atomic_t caught;
static volatile sig_atomic_t armed; /* the next signal is the first one */
static struct dmatrack_cancel *cancel;
/* Called before a second signal ends the program; or NULL */
static void (*volatile before_end)(void);

/* The second one ends the program as if it had not been caught, once this function returns. */
static void end(int number)
{
	if (before_end)
		before_end();
	signal(number, SIG_DFL);
	raise(number);
}

static void remember(int number)
{
	int error = errno;

	if (!armed) {
		end(number);
		return;
	}
	armed = 0;
	caught = number;
	dmatrack_cancel_set(cancel);
	errno = error;
}

void cli_interrupt_catch(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old, new = { .sa_handler = remember };
	size_t i;

	armed = 1;
	if (!cancel)
		dmatrack_cancel_create(&cancel);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!sigaction(numbers[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN) /* nohup ignores it */
			sigaction(numbers[i], &new, NULL);
	}
}

void cli_interrupt_before_end(void (*restore)(void))
{
	before_end = restore;
}

int cli_interrupt_signal(void)
{
	return caught;
}

struct dmatrack_cancel *cli_interrupt_cancel(void)
{
	return cancel;
}

int cli_interrupt_sleep(uint64_t ns)
{
	dml_cancel_sleep(cancel, dml_clock_now() + ns);
	return caught ? -EINTR : 0;
}

int cli_interrupt_status(const char *consequence)
{
	char name[64];

	snprintf(name, sizeof(name), "%s", strsignal(caught));
	*name = (char)tolower((unsigned char)*name);
	cli_error("%s; %s", caught == SIGINT ? "interrupted" : name,
		  consequence);
	return CLI_SIGNAL + caught;
}
