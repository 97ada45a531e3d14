// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack watch: its command line, and the loop that samples and prints. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "cli/common/options.h"
#include "cli/machine/machine.h"
#include "lib/util/clock.h"
#include "outlook.h"
#include "sample.h"
#include "show.h"

static const char help[] =
	"usage: dmatrack watch --pid PID [OPTION]...\n"
	"\n"
	"Watch what devices write to the memory of a running program, such as QEMU, and\n"
	"what migrating it would take. It reads by a view of its own, so the program\n"
	"notices nothing, even while it migrates. Needs dmatrack.ko, and the right to\n"
	"trace the program.\n"
	"\n"
	"  --pid PID          the program, with a container\n"
	"  --fd N             its descriptor of the container, if it has several\n"
	"  --interval MS      time between lines, in ms (default 1000, at least 100)\n"
	"  --count N          end after so many lines (default: at Ctrl-C, or when the\n"
	"                     program ends)\n"
	"  --bandwidth SIZE   bytes a second of a migration (default 1G)\n"
	"  --downtime MS      time that a migration may stop the machine for, in ms\n"
	"                     (default 300, as QEMU's)\n"
	"  --json             print JSON, an object a line, for programs\n"
	"  --help             print this text\n"
	"\n"
	"Each line has the bytes that were found dirty, a second; how many different bytes\n"
	"were written within the last 1, 10 and 60 seconds; and the rounds and times that a\n"
	"migration would have if it began now, or that its rounds would not end.\n"
	"\n"
	"Example:\n"
	"  dmatrack watch --pid $(pidof qemu-system-x86_64)\n"
	"\n"
	"Exit status: 0 watched until the program ended or as long as asked, 2 the command\n"
	"line is not understood, 3 it can't be watched, 128 + N: ended by signal N.\n";

struct options {
	uint64_t pid, fd, interval, count, bandwidth, downtime;
};

#define ANY_FD UINT64_MAX

static const struct cli_option options[] = {
	CLI_NUMBER("pid", struct options, pid, 1, INT32_MAX, 1),
	CLI_NUMBER("fd", struct options, fd, 0, INT32_MAX, 1),
	CLI_NUMBER("interval", struct options, interval, 100, 3600000, 1),
	CLI_NUMBER("count", struct options, count, 1, UINT32_MAX, 1),
	CLI_SIZE("bandwidth", struct options, bandwidth, 1, 1ull << 46, 1),
	CLI_NUMBER("downtime", struct options, downtime, 1, 3600000, 1),
	CLI_JSON,
	{ 0 }
};

static const struct cli_syntax syntax = { .options = options };

/* Open the container behind one descriptor of the process. Return: 0 or -errno */
static int open_fd(struct dmatrack **t, int pid, int fd)
{
	int ours = process_borrow(pid, fd), err;

	if (ours < 0) {
		cli_error("descriptor %d of process %d: %s", fd, pid,
			  process_explain(ours));
		return ours;
	}
	err = dmatrack_open_fd(t, ours);
	if (err)
		cli_error("%s", cli_error_why(err));
	close(ours);
	return err;
}

/* The descriptor of the process's container; -ENOENT: it has none, or several */
static int find_container(const struct options *o)
{
	struct process_fd *fds;
	int n = process_fds("", (int)o->pid, &fds), i, fd = -ENOENT, many = 0;

	if (n < 0) {
		process_complain((int)o->pid, n);
		return n;
	}
	for (i = 0; i < n; i++) {
		if (strcmp(fds[i].to, PROCESS_CONTAINER) != 0)
			continue;
		fd = fds[i].fd;
		many++;
	}
	process_free(fds, n);
	if (many == 1)
		return fd;
	if (many)
		cli_error("process %d has %d containers: choose one by --fd "
			  "('dmatrack info --pid' lists them)",
			  (int)o->pid, many);
	else
		cli_error("process %d has no container", (int)o->pid);
	return -ENOENT;
}

static int open_sample(struct sample *s, const struct options *o)
{
	int fd = o->fd == ANY_FD ? find_container(o) : (int)o->fd, err;
	struct dmatrack *t;

	if (fd < 0 || open_fd(&t, (int)o->pid, fd))
		return CLI_FAILED;
	err = sample_open(s, t);
	if (!err)
		return 0;
	cli_error("%s", cli_error_why(err));
	return CLI_FAILED;
}

/* Sample until @end. Return: 0, -EINTR: a signal, or as sample_take() */
static int sample_until(struct sample *s, uint64_t end)
{
	int err = sample_take(s);

	while (!err && dml_clock_now() < end) {
		uint64_t left = end - dml_clock_now();

		err = cli_interrupt_sleep(left < SAMPLE_TICK ? left :
							       SAMPLE_TICK);
		if (!err)
			err = sample_take(s);
	}
	return err ? err : sample_look(s);
}

static int watch(struct sample *s, const struct options *o)
{
	uint64_t interval = o->interval * (DML_NSEC / 1000), at = s->began, n;
	int err = 0;

	for (n = 0; !err && (!o->count || n < o->count); n++) {
		struct outlook outlook;

		sample_begin_line(s);
		err = sample_until(s, at + interval);
		if (err)
			break;
		outlook_make(&s->stamps, SAMPLE_PAGE, SAMPLE_TICK, s->mapped,
			     o->bandwidth, o->downtime * (DML_NSEC / 1000),
			     &outlook);
		show_line(s, dml_clock_now() - at, &outlook);
		at = dml_clock_now();
	}
	return err;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = {
		.fd = ANY_FD,
		.interval = 1000,
		.bandwidth = 1ull << 30,
		.downtime = 300,
	};
	struct sample s;
	int status = cli_options_parse(cmd, &syntax, &o, &argc, &argv), err;

	if (status != CLI_GO_ON)
		return status;
	if (!o.pid)
		return cli_error_usage("give the program to watch: --pid PID");
	status = open_sample(&s, &o);
	if (status)
		return status;
	cli_interrupt_catch();
	show_head(&s, (int)o.pid, o.bandwidth, o.downtime * (DML_NSEC / 1000));
	err = watch(&s, &o);
	sample_close(&s);
	if (err == -EINTR)
		return cli_interrupt_status("no longer watching");
	if (!err || err == -ENODEV) /* the program has ended */
		return CLI_OK;
	cli_error("%s", cli_error_why(err));
	return CLI_FAILED;
}

const struct cli_command cli_watch = {
	.name = "watch",
	.summary = "what devices write to a program's memory, live",
	.help = help,
	.run = run,
};
