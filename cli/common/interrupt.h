/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Signals that end the program: SIGINT, SIGTERM, SIGHUP. The first one is remembered, so
 * that a command can end in order and report it; a second one ends the program at once.
 */
#ifndef CLI_COMMON_INTERRUPT_H
#define CLI_COMMON_INTERRUPT_H

#include <stdint.h>

/* Catch them from now on; waiting system calls return EINTR. A further call rearms it. */
void cli_interrupt_catch(void);

/*
 * Have @restore called before a second signal ends the program; it is called by the signal's handler, and may
 * call async-signal-safe functions alone. NULL: nothing is
 */
void cli_interrupt_before_end(void (*restore)(void));

/* For calls of the library, which a signal cancels. NULL if there was no memory for it */
struct dmatrack_cancel;
struct dmatrack_cancel *cli_interrupt_cancel(void);

/* Return: number of the signal that was caught; 0: none */
int cli_interrupt_signal(void);

/* Sleep @ns nanoseconds. Return: 0, or -EINTR if a signal is or was caught */
int cli_interrupt_sleep(uint64_t ns);

/* Print the signal and its @consequence on stderr. Return: exit status */
int cli_interrupt_status(const char *consequence);

#endif
