/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack trace: run a program, and write down the type1 calls that it makes.
 *
 *	trace.c		options, and what's said at the end
 *	trace_follow.c	its processes and threads, by ptrace(2)
 *	trace_call.c	a call to a line of a trace, as replay reads it
 */
#ifndef CLI_TRACE_TRACE_H
#define CLI_TRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "argument.h"

/**
 * struct trace_call - a call under way
 * @tid: the thread that makes it
 * @fd: on which descriptor of its process
 * @cmd: VFIO_IOMMU_MAP_DMA and its like
 * @arg: its third argument
 * @there: @given could be read
 * @given: the structure at @arg
 */
struct trace_call {
	pid_t tid;
	int fd;
	unsigned int cmd;
	uint64_t arg;
	bool there;
	union trace_argument given;
};

/**
 * struct trace_container - one that was seen
 * @next: the one seen before it
 * @number: from 1 on, in the order in which they got their type
 * @pid: a process that has it
 * @fd: its descriptor there
 */
struct trace_container {
	struct trace_container *next;
	uint64_t number;
	pid_t pid;
	int fd;
};

/**
 * struct trace - what's recorded
 * @to: the trace
 * @wanted: the container, by its number; 0: whichever got its type last
 * @marks: what a harvest reported becomes 'mark' lines before it
 * @containers: all that were seen
 * @nr_containers: how many
 * @calls: lines written
 * @others: calls left out, on other containers
 */
struct trace {
	FILE *to;
	uint64_t wanted;
	bool marks;
	struct trace_container *containers;
	uint64_t nr_containers;
	uint64_t calls;
	uint64_t others;
};

/*
 * A thread is about to make a call: read what it's given. Return: false: it isn't
 * on a container.
 */
bool trace_call_enter(struct trace_call *call);

/* It has returned @ret: write it down. */
void trace_call_leave(struct trace *t, const struct trace_call *call, long ret);

void trace_call_free(struct trace *t);

/**
 * trace_follow() - run a program to its end, with all that it starts
 * @t: gets its calls
 * @argv: its command line, ended by NULL
 *
 * Return: the program's exit status; 128 and its number if a signal ended it; or
 * CLI_FAILED after it was said why it can't be run or followed.
 */
int trace_follow(struct trace *t, char **argv);

#endif
