// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack send: copies a workload's memory to a receiving dmatrack. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "cli/common/interrupt.h"
#include "lib/util/clock.h"
#include "peer.h"

static const char help[] =
	"usage: dmatrack send [OPTION]... ADDRESS\n"
	"\n"
	"Copy memory that devices write to, to a receiving dmatrack. Everything is sent\n"
	"once while they write; then, round by round, the pages that they wrote\n"
	"meanwhile, until so little is left that they can be stopped for it. The receiver\n"
	"gets exactly the memory of that moment, or nothing. If the connection breaks, it\n"
	"is made again, and the copy resumes where it stopped.\n"
	"\n"
	"ADDRESS:\n"
	"  unix:PATH          a socket on this machine\n"
	"  tcp:HOST:PORT      needs --tls, or --secret if HOST is this machine; IPv6 in\n"
	"                     brackets\n"
	"  exec:COMMAND       standard input and output of a shell command\n"
	"  -                  our standard input and output; reports go to stderr then\n"
	"\n" COPY_HELP_PROGRAM COPY_HELP_WORKLOAD "Connection:\n"
	"  --tls DIR          for tcp: a folder with ca-cert.pem, client-cert.pem and\n"
	"                     client-key.pem; both sides show a certificate\n" PEER_HELP
	"  --zstd             compress, in as many threads as there are processors\n"
	"  --level N          compress at level N, 1 to 19 (default: 1)\n"
	"  --check            at the end both sides compute a digest and compare, while\n"
	"                     the devices stand still\n"
	"  --retry-for S      after the connection broke, try for S seconds to make it\n"
	"                     again (default: 30; for the first connection 0)\n"
	"  --retry N          try at most N times (default: no limit)\n"
	"  --hello-timeout S  a receiver must complete the handshake within S seconds\n"
	"                     (default: 30)\n"
	"  --peer-timeout S   the connection has broken if the receiver sends and takes\n"
	"                     nothing for S seconds (default: 120)\n"
	"  --query ID         don't copy: ask a receiver for the outcome of a copy that\n"
	"                     ended with status 4. If it isn't complete, the receiver\n"
	"                     gives it up for good\n"
	"\n" COPY_HELP_ROUNDS COPY_HELP_OUTPUT "Examples:\n"
	"  dmatrack receive unix:/tmp/s image &    start a receiver,\n"
	"  dmatrack send unix:/tmp/s               and send it 1 GiB of this process\n"
	"  dmatrack send --zstd --check 'exec:ssh host dmatrack receive --resume - image'\n"
	"                                          send to another machine\n"
	"  dmatrack send --device 0000:00:03.0 --refine --hot 2M unix:/tmp/s\n"
	"                                          a PCI device, whose writes no driver sees\n"
	"\n"
	"Exit status: 0 copied, 1 it does not converge (with --give-up), 2 the command\n"
	"line is not understood, 3 it can't be done, 4 it isn't known whether the copy is\n"
	"complete (see --query), 128 + N: ended by signal N. Unless it is 0 or 4, there\n"
	"is no copy, and there will be none. With --query: 0 the copy is complete, 1 it\n"
	"isn't and never will be, 3 no receiver answers, 4 the receiver doesn't know the\n"
	"copy.\n";

#define MSEC	      1000000ull
#define PAUSE_FIRST   (50 * MSEC)
#define PAUSE_LONGEST (1000 * MSEC)
#define RETRY_AUTO    UINT64_MAX /* of --retry, --retry-for: not given */
#define RETRY_SECONDS 30

struct send_options {
	struct copy_options copy;
	struct peer_options peer;
	const char *query;
	uint64_t level;
	uint64_t retry;
	uint64_t retry_for;
	bool zstd;
	bool check;
};

#define OPTION(kind, name, member, ...) \
	CLI_##kind(name, struct send_options, member, ##__VA_ARGS__)

static const struct cli_option options[] = {
	COPY_OPTIONS(struct send_options, copy),
	COPY_OPTIONS_PROGRAM(struct send_options, copy),
	PEER_OPTIONS(struct send_options, peer),
	OPTION(FLAG, "zstd", zstd),
	OPTION(NUMBER, "level", level, 1, 19, 1),
	OPTION(FLAG, "check", check),
	OPTION(STRING, "query", query),
	OPTION(NUMBER, "retry", retry, 0, 1000000, 1),
	OPTION(NUMBER, "retry-for", retry_for, 0, 1000000, 1),
	{ 0 }
};

static const char *const operands[] = { "ADDRESS", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
};

/**
 * struct line - how to connect to the receiver, and how long to try
 * @o: the options
 * @copy: the copy that is sent
 * @peer: requirements for the receiver
 * @address: address of the receiver
 * @until: time to give up, by dml_clock_now()
 * @left: number of attempts left
 * @pause: time in ns before the next attempt
 */
struct line {
	const struct send_options *o;
	struct copy *copy;
	struct dmatrack_peer peer;
	const char *address;
	uint64_t until;
	uint64_t left;
	uint64_t pause;
};

/* Another attempt may succeed: a receiver may begin to listen. These errors would come again. */
static bool is_worth_retrying(int error)
{
	switch (error) {
	case -EINVAL:
	case -EPERM:
	case -EACCES:
	case -EKEYREJECTED:
	case -EPROTONOSUPPORT:
	case -EINTR:
	case -ECANCELED:
	case -ENOMEM:
		return false;
	}
	return true;
}

/* Set the limits of the attempts to connect. */
static void begin_attempts(struct line *l)
{
	uint64_t seconds = l->o->retry_for;
	bool given = seconds != RETRY_AUTO || l->o->retry != RETRY_AUTO;

	if (seconds == RETRY_AUTO)
		seconds = l->copy->begun || given ? RETRY_SECONDS : 0;
	l->until = dml_clock_now() + seconds * 1000 * MSEC;
	l->left = l->o->retry;
	l->pause = PAUSE_FIRST;
}

/* Wait before the next attempt. Return: @why if there is no further attempt */
static int await_attempt(struct line *l, int why)
{
	int ret;

	if (!is_worth_retrying(why) || !l->left ||
	    dml_clock_now() >= l->until || dml_clock_now() >= l->copy->limit ||
	    !strcmp(l->address, "-"))
		return why;
	if (l->left != RETRY_AUTO)
		l->left--;
	cli_progress("no connection (%s): trying again", strerror(-why));
	ret = cli_interrupt_sleep(l->pause);
	l->pause *= 2;
	if (l->pause > PAUSE_LONGEST)
		l->pause = PAUSE_LONGEST;
	return ret;
}

/* Called by the library for its first connection, and for each one after that broke */
static int connect_line(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	struct line *l = opaque;
	int ret = 0;

	/* attempt 1 of a copy that has begun: a connection broke, so the limits start anew */
	if (!attempt || (attempt == 1 && l->copy->begun))
		begin_attempts(l);
	if (attempt)
		ret = await_attempt(l, why);
	while (!ret) {
		ret = dmatrack_peer_connect(ch, l->address, &l->peer);
		if (!ret)
			return 0;
		if (ret == -EINVAL && !attempt)
			l->copy->status =
				cli_error_usage("%s", cli_error_why(ret));
		ret = await_attempt(l, ret);
	}
	return ret;
}

static struct dmatrack_sender describe_sender(struct line *l)
{
	return (struct dmatrack_sender){
		.size = sizeof(struct dmatrack_sender),
		.flags = (l->o->zstd ? DMATRACK_ZSTD : 0) |
			 (l->o->check ? DMATRACK_CHECK : 0),
		.level = (int32_t)l->o->level,
		.opaque = l,
		.connect = connect_line,
		.cancel = cli_interrupt_cancel(),
		.hello_timeout = (uint32_t)l->o->peer.hello_timeout * 1000,
		.peer_timeout = (uint32_t)l->o->peer.peer_timeout * 1000,
	};
}

static int open_sender(struct dmatrack_dest **dest, struct line *l)
{
	const struct dmatrack_sender s = describe_sender(l);
	uint8_t id[CLI_DIGEST];
	int ret = dmatrack_sender_create(dest, &s);

	if (!ret)
		ret = dmatrack_sender_id(*dest, id);
	if (ret)
		cli_error("%s: %s", l->address, cli_error_why(ret));
	else
		cli_text_digest(l->copy->id, id);
	return ret ? CLI_FAILED : 0;
}

/* Asking for the outcome of an earlier copy ----------------------------------- */

static bool parse_id(const char *text, uint8_t id[CLI_DIGEST])
{
	unsigned int i;
	int end;

	for (i = 0; i < CLI_DIGEST; i++, text += 2) {
		if (sscanf(text, "%2hhx%n", &id[i], &end) != 1 || end != 2)
			return false;
	}
	return !*text;
}

static int answer(const struct line *l, int status, const char *text)
{
	json_t *json = cli_json();

	if (!json) {
		fprintf(l->copy->out, "Copy %s: %s.\n", l->o->query, text);
		return status;
	}
	cli_json_string(json, "copy", l->o->query);
	json_object_set_new(json, "copied",
			    status == CLI_UNKNOWN ?
				    json_null() :
				    json_boolean(status == CLI_OK));
	return status;
}

static int query(struct line *l)
{
	const struct dmatrack_sender s = describe_sender(l);
	enum dmatrack_outcome outcome;
	uint8_t id[CLI_DIGEST];
	int ret;

	if (!parse_id(l->o->query, id))
		return cli_error_usage(
			"--query: '%s' is not 32 hexadecimal digits",
			l->o->query);
	cli_progress_init(l->o->copy.progress, l->o->copy.quiet);
	ret = dmatrack_sender_ask(&s, id, &outcome);
	cli_progress_clear();
	if (l->copy->status)
		return l->copy->status;
	if (ret && cli_interrupt_signal())
		return cli_interrupt_status("no receiver answered");
	if (ret) {
		cli_error("no answer: %s", cli_error_why(ret));
		return CLI_FAILED;
	}
	if (outcome == DMATRACK_COPIED)
		return answer(l, CLI_OK, "it is complete");
	if (outcome == DMATRACK_NOT_COPIED)
		return answer(l, CLI_NO,
			      "it isn't complete, and never will be");
	return answer(l, CLI_UNKNOWN, "this receiver doesn't know it");
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct send_options o = {
		.copy = COPY_DEFAULTS,
		.retry = RETRY_AUTO,
		.retry_for = RETRY_AUTO,
	};
	struct copy c = { .command = cmd->name,
			  .o = &o.copy,
			  .view = &copy_report_view,
			  .limit = UINT64_MAX };
	struct line l = { .o = &o, .copy = &c };
	struct dmatrack_dest *dest = NULL;
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	if (o.level)
		o.zstd = true;
	l.address = c.target = argv[0];
	c.out = strcmp(l.address, "-") ? stdout : stderr;
	cli_json_to(c.out);
	c.checked = o.check;
	c.releases = o.copy.p.pid; /* another program goes on */
	cli_interrupt_catch();
	ret = peer_set(&l.peer, &o.peer);
	if (!ret && o.query)
		return query(&l);
	if (!ret)
		ret = open_sender(&dest, &l);
	c.described = dest;
	return ret ? ret : copy_to(&c, dest);
}

const struct cli_command cli_send = {
	.name = "send",
	.summary = "copy memory that devices write to, to a receiving dmatrack",
	.help = help,
	.run = run,
};
