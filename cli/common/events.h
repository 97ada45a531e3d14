/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Events for programs: JSON, an object a line, on a descriptor that the program has opened for the
 * command (--events FD). dmatrack-json(5) describes them.
 *
 * A program that doesn't read them holds nothing up: an event that can't be written at once is
 * dropped and counted, and one that closes its end gets no more.
 */
#ifndef CLI_COMMON_EVENTS_H
#define CLI_COMMON_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "options.h"

#define CLI_EVENTS_NONE UINT64_MAX

/* An entry of an option table: a descriptor that carries neither input nor output */
#define CLI_EVENTS(type, member) \
	CLI_NUMBER("events", type, member, 2, INT32_MAX, 1)

#define CLI_EVENTS_HELP \
	"  --events FD        write what happens to descriptor FD, as JSON, an object a\n" \
	"                     line, for programs: see dmatrack-json(5)\n"

/**
 * cli_events_open() - begin to send events
 * @fd: descriptor to write them to; CLI_EVENTS_NONE: there are none
 *
 * Return: 0, or an exit status after an error message.
 */
int cli_events_open(uint64_t fd);

/* Return: a new event, to be filled in and given to cli_events_send(); NULL: none is wanted */
json_t *cli_events_new(const char *name);
void cli_events_send(json_t *event);

/* The command ends: send the last event, and say on stderr how many were dropped. */
void cli_events_end(int status);

#endif
