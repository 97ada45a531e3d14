/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A signal that ends the program: SIGINT, SIGTERM, SIGHUP. The first is remembered, so
 * that a command can end in order and say so; a second one ends it at once.
 */
#ifndef CLI_COMMON_INTERRUPT_H
#define CLI_COMMON_INTERRUPT_H

#include <stdint.h>

/* From now on, also if called again. System calls that wait return EINTR. */
void cli_interrupt_catch(void);

/* For calls of the library, which the signal cancels. NULL: there's none */
struct dmatrack_cancel;
struct dmatrack_cancel *cli_interrupt_cancel(void);

/* Return: 0, or the signal that came */
int cli_interrupt_signal(void);

/* Sleep so many nanoseconds. Return: 0, or -EINTR: a signal came, now or before */
int cli_interrupt_sleep(uint64_t ns);

/* The exit status for it, after it was said on stderr, and what came of it */
int cli_interrupt_status(const char *what);

#endif
