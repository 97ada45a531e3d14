/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack trace: runs a program, and records the type1 calls that it makes.
 *
 *	trace.c		options, and the summary
 *	trace_follow.c	follows its processes and threads by ptrace(2)
 *	trace_call.c	writes a call as a line of a trace, which replay reads
 */
#ifndef CLI_TRACE_TRACE_H
#define CLI_TRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "argument.h"

/**
 * struct trace_call - a call that a traced thread makes
 * @tid: number of the thread
 * @fd: descriptor of the container in its process
 * @cmd: number of the call, such as VFIO_IOMMU_MAP_DMA
 * @arg: argument of the call, in most cases an address
 * @there: true: @given was read
 * @given: structure at @arg
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
 * struct trace_container - a container of the traced program
 * @next: the container seen before it
 * @number: its number, from 1 on, in the order in which containers got their type
 * @pid: number of a process that has it
 * @fd: its descriptor in that process
 */
struct trace_container {
	struct trace_container *next;
	uint64_t number;
	pid_t pid;
	int fd;
};

/**
 * struct trace - a trace that is being recorded
 * @to: file of the trace
 * @wanted: number of the container to record; 0: the one that got its type last
 * @marks: true: write 'mark' lines of the reported pages before each harvest
 * @containers: containers seen, the last one first
 * @nr_containers: number of containers
 * @calls: number of calls written
 * @others: number of calls on other containers, which are left out
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
 * Called before a thread makes a call: read its argument. Return: false: the call isn't
 * on a container
 */
bool trace_call_enter(struct trace_call *call);

/* Called when the call has returned @ret: write its line. */
void trace_call_leave(struct trace *t, const struct trace_call *call, long ret);

void trace_call_free(struct trace *t);

/**
 * trace_follow() - run a program, and record calls until it and its children have ended
 * @t: the trace to write to
 * @argv: command line of the program, ended by NULL
 *
 * Return: the program's exit status; 128 + N if signal N ended it; or CLI_FAILED after an
 * error message, if it can't be run or followed.
 */
int trace_follow(struct trace *t, char **argv);

#endif
