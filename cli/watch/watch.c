// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack watch: its command line, and the loop that samples and shows. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "lib/util/clock.h"
#include "recorder.h"
#include "screen.h"
#include "serve.h"

static const char help[] =
	"usage: dmatrack watch --pid PID | --device DEVICE | --demo [OPTION]...\n"
	"\n"
	"Watch what devices write to the memory of a running program, such as QEMU, and\n"
	"what migrating it would take: live in a terminal, elsewhere a line a second. It\n"
	"reads by a view of its own, so the program notices nothing, even while it\n"
	"migrates. Needs dmatrack.ko, and the right to trace the program.\n"
	"\n"
	"What:\n"
	"  --pid PID          the program, with a container\n"
	"  --device DEVICE    the program that uses this device: a PCI address or a UUID\n"
	"  --fd N             its descriptor of the container, if it has several\n"
	"  --demo             try it without a device: threads of this process write to\n"
	"                     memory of this process. Takes --size, --hot, --rate,\n"
	"                     --threads and --pins, as 'dmatrack demo' does\n"
	"\n"
	"How:\n"
	"  --interval MS      time between lines, in ms (default 1000, at least 100)\n"
	"  --count N          end after so many lines (default: at Ctrl-C, or when the\n"
	"                     program ends)\n"
	"  --bandwidth SIZE   bytes a second of a migration (default 1G)\n"
	"  --downtime MS      time that a migration may stop the machine for, in ms\n"
	"                     (default 300, as QEMU's)\n"
	"  --listen ADDRESS   serve the numbers to Prometheus, at http://ADDRESS/metrics:\n"
	"                     HOST:PORT, or PORT of this machine's loopback. Anyone who\n"
	"                     can connect can read them\n"
	"  --record FILE      write a record to FILE, for 'dmatrack report', which may follow\n"
	"                     it while it grows\n"
	"  --lines            print lines, in a terminal too\n"
	"  --json             print JSON, an object a line, for programs\n"
	"  --help             print this text\n"
	"\n"
	"The screen has keys: h explains them, q quits. Each line has the bytes that were\n"
	"found dirty, a second; how many different bytes were written within the last 1,\n"
	"10 and 60 seconds; and the rounds and times that a migration would have if it\n"
	"began now, or that its rounds would not end.\n"
	"\n"
	"Examples:\n"
	"  dmatrack watch --pid $(pidof qemu-system-x86_64)\n"
	"  dmatrack watch --demo --rate 2000\n"
	"\n"
	"Exit status: 0 watched until the program ended or as long as asked, 2 the command\n"
	"line is not understood, 3 it can't be watched, 128 + N: ended by signal N.\n";

/**
 * struct options - the command line
 * @target: what to watch
 * @interval: ms of an interval
 * @count: number of intervals; 0: no limit
 * @bandwidth: bytes a second of a migration
 * @downtime: ms that it may stop the machine for
 * @listen: address at which the numbers are served; NULL: nowhere
 * @record: file for a record; NULL: none
 * @lines: true: print lines in a terminal, too
 */
struct options {
	struct target_options target;
	uint64_t interval, count, bandwidth, downtime;
	const char *listen;
	const char *record;
	bool lines;
};

#define OPTION(kind, name, member, ...) \
	CLI_##kind(name, struct options, member, __VA_ARGS__)

static const struct cli_option options[] = {
	OPTION(NUMBER, "pid", target.pid, 1, INT32_MAX, 1),
	OPTION(NUMBER, "fd", target.fd, 0, INT32_MAX, 1),
	CLI_STRING("device", struct options, target.device),
	CLI_FLAG("demo", struct options, target.demo),
	OPTION(SIZE, "size", target.workload.size, 4096, 1ull << 46, 4096),
	OPTION(SIZE, "hot", target.workload.hot, 1, 1ull << 46, 1),
	OPTION(NUMBER, "rate", target.workload.rate, 0, 1000000000, 1),
	OPTION(NUMBER, "threads", target.workload.threads, 1, TDEV_THREADS_MAX,
	       1),
	OPTION(NUMBER, "pins", target.workload.pins, 0, WORKLOAD_PINS, 1),
	OPTION(NUMBER, "interval", interval, 100, 3600000, 1),
	OPTION(NUMBER, "count", count, 1, UINT32_MAX, 1),
	OPTION(SIZE, "bandwidth", bandwidth, 1, 1ull << 46, 1),
	OPTION(NUMBER, "downtime", downtime, 1, 3600000, 1),
	CLI_STRING("listen", struct options, listen),
	CLI_STRING("record", struct options, record),
	CLI_FLAG("lines", struct options, lines),
	CLI_JSON,
	{ 0 }
};

static const struct cli_syntax syntax = { .options = options };

/**
 * struct watch - watching
 * @o: the command line
 * @target: what is watched
 * @sample: its container
 * @show: how it is shown
 * @screen: the terminal; its term is NULL: lines are printed
 * @serve: clients that read the numbers
 * @recorder: the record
 */
struct watch {
	struct options o;
	struct target target;
	struct sample sample;
	struct show show;
	struct screen screen;
	struct serve serve;
	struct recorder recorder;
};

/* Wait until @end, or for a key or a client. Return: 0 or -EINTR: a signal */
static int wait_for(struct watch *w, uint64_t end)
{
	struct pollfd fds[SERVE_CLIENTS + 2] = { 0 };
	unsigned int n = serve_fds(&w->serve, fds);

	if (w->screen.term)
		fds[n++] =
			(struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	dml_clock_poll(fds, n, end);
	serve_work(&w->serve);
	if (w->screen.term && fds[n - 1].revents & (POLLHUP | POLLERR))
		w->screen.quit = true; /* the terminal has gone */
	return cli_interrupt_signal() ? -EINTR : 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_over(const struct watch *w, uint64_t end)
{
	return w->screen.quit || dml_clock_now() >= end;
}

/* ns of an interval, which the screen's keys change */
static uint64_t interval_of(const struct watch *w)
{
	uint64_t ms = w->screen.term ? w->screen.interval : w->o.interval;

	return ms * (DML_NSEC / 1000);
}

/*
 * Sample until an interval that began at @begin, with a sample, is over. The next sample is at least a tick
 * later, so a tick is of one interval.
 *
 * Return: 0, -EINTR: a signal, or as sample_take().
 */
static int sample_interval(struct watch *w, uint64_t begin)
{
	uint64_t next = dml_clock_now() + SAMPLE_TICK;
	int err = 0;

	while (!err && !is_over(w, begin + interval_of(w))) {
		if (dml_clock_now() >= next) {
			err = sample_take(&w->sample);
			next = later(next + SAMPLE_TICK, dml_clock_now());
		}
		if (!err)
			err = wait_for(
				w, dml_clock_earlier(next,
						     begin + interval_of(w)));
		if (!err && w->screen.term)
			err = screen_keys(&w->screen);
	}
	if (!err)
		err = sample_take(&w->sample);
	return err ? err : sample_look(&w->sample);
}

static int show(struct watch *w, uint64_t ns)
{
	struct shown shown;

	show_take(&shown, &w->show, &w->sample, ns);
	serve_set(&w->serve, &w->show, &shown);
	recorder_add(&w->recorder, &shown);
	if (w->screen.term)
		return screen_show(&w->screen, &shown);
	if (ns)
		show_line(&shown);
	else
		show_head(&w->show, &shown);
	return 0;
}

static int watch(struct watch *w)
{
	uint64_t at = w->sample.watch->began, now, n;
	int err = show(w, 0);

	for (n = 0; !err && (!w->o.count || n < w->o.count); n++) {
		sample_begin_line(&w->sample);
		err = sample_interval(w, at);
		if (err || w->screen.quit)
			break;
		now = dml_clock_now();
		err = show(w, now - at);
		at = now;
	}
	return err;
}

/* In a terminal the screen, elsewhere lines */
static int watch_shown(struct watch *w)
{
	int err = 0;

	if (!w->o.lines && !cli_json())
		err = screen_open(&w->screen, &w->show, &w->sample,
				  w->o.interval);
	if (!err || err == -ENOTTY) {
		err = watch(w);
		if (w->screen.term)
			screen_close(&w->screen);
	}
	return err;
}

static int finish(const struct watch *w, int err)
{
	if (err == -EINTR)
		return cli_interrupt_status("no longer watching");
	if (err == -ENODEV && w->screen.show)
		printf("%s (process %d) has closed its container\n",
		       w->target.name, w->target.pid);
	if (!err || err == -ENODEV) /* the program has ended */
		return CLI_OK;
	cli_error("%s", cli_error_why(err));
	return CLI_FAILED;
}

static int watch_sample(struct watch *w)
{
	int status = 0, err, closed;

	if (w->o.record)
		status = recorder_open(&w->recorder, w->o.record, &w->show,
				       &w->sample);
	if (status)
		return status;
	cli_interrupt_catch();
	err = watch_shown(w);
	closed = recorder_close(&w->recorder, w->o.record);
	status = finish(w, err);
	return status ? status : closed;
}

static int open_and_watch(struct watch *w)
{
	int err = sample_open(&w->sample, w->target.container), status;

	if (err) {
		cli_error("%s", cli_error_why(err));
		return CLI_FAILED;
	}
	w->show = (struct show){
		.target = &w->target,
		.bandwidth = w->o.bandwidth,
		.downtime = w->o.downtime * (DML_NSEC / 1000),
	};
	status = watch_sample(w);
	sample_close(&w->sample);
	return status;
}

static int check(const struct options *o)
{
	const struct target_options *t = &o->target;

	if (!!t->pid + !!t->device + t->demo != 1)
		return cli_error_usage(
			"give the program to watch: --pid PID, or --device "
			"DEVICE, or --demo");
	if (t->demo && t->fd != TARGET_ANY_FD)
		return cli_error_usage("--fd is for --pid and --device");
	return CLI_GO_ON;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct watch w = {
		.o = { .target = { .fd = TARGET_ANY_FD,
				   .workload = WORKLOAD_DEFAULTS },
		       .interval = 1000,
		       .bandwidth = 1ull << 30,
		       .downtime = 300 },
		.serve.fd = -1,
	};
	int status;

	w.o.target.workload.pins = 0;
	status = cli_options_parse(cmd, &syntax, &w.o, &argc, &argv);
	if (status == CLI_GO_ON)
		status = check(&w.o);
	if (status != CLI_GO_ON)
		return status;
	status = target_open(&w.target, &w.o.target);
	if (!status && w.o.listen)
		status = serve_open(&w.serve, w.o.listen);
	if (!status)
		status = open_and_watch(&w);
	serve_close(&w.serve);
	target_close(&w.target);
	return status;
}

const struct cli_command cli_watch = {
	.name = "watch",
	.summary = "what devices write to a program's memory, live",
	.help = help,
	.run = run,
};
