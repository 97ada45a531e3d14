// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack receive: receives memory from 'dmatrack send' into an image. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/events.h"
#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "lib/util/clock.h"
#include "peer.h"
#include "dmatrack_copy.h"

static const char help[] =
	"usage: dmatrack receive [OPTION]... ADDRESS IMAGE\n"
	"\n"
	"Wait for 'dmatrack send', and receive memory into an image file. The image gets\n"
	"its name when it is complete, exact and on disk; until then its name ends with\n"
	".partial. If the connection breaks, the sender may make it again, and the copy\n"
	"resumes where it stopped.\n"
	"\n"
	"ADDRESS:\n"
	"  unix:PATH          a socket on this machine\n"
	"  tcp:HOST:PORT      needs --tls, or --secret if HOST is this machine; IPv6 in\n"
	"                     brackets. Port 0: any free port; stderr says which\n"
	"  -                  standard input and output; reports go to stderr then\n"
	"\n"
	"Image:\n"
	"  --resume           continue the unfinished image of a receiver that ended\n"
	"                     before, if there is one\n"
	"  --replace          overwrite an existing image\n"
	"\n"
	"Connection:\n"
	"  --tls DIR          for tcp: a folder with ca-cert.pem, server-cert.pem and\n"
	"                     server-key.pem; both sides show a certificate\n" PEER_HELP
	"  --timeout S        give up after S seconds without a sender (default: no limit\n"
	"                     for the first one, 60 after a connection broke)\n"
	"  --hello-timeout S  a sender must complete the handshake within S seconds\n"
	"                     (default: 30)\n"
	"  --peer-timeout S   the connection has broken if the sender sends and takes\n"
	"                     nothing for S seconds (default: 1800)\n"
	"\n"
	"Output:\n"
	"  --json             print JSON, for programs\n" CLI_EVENTS_HELP
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Examples:\n"
	"  dmatrack receive unix:/tmp/s image            from a sender on this machine\n"
	"  dmatrack receive --tls certs tcp:0.0.0.0:7007 image\n"
	"                                                from other machines\n"
	"  dmatrack send 'exec:ssh here dmatrack receive --resume - image'\n"
	"                                                over ssh, started by the sender\n"
	"\n"
	"Exit status: 0 the image is complete, 1 the received data was altered, or with\n"
	"--resume the finished image was, 2 the command line is not understood, 3 it\n"
	"can't be done, 5 complete, but a crash of the machine may still undo it, 128 +\n"
	"N: ended by signal N. Unless it is 0 or 5, there is no new image. SIGINT gives\n"
	"the copy up and tells the sender; after SIGTERM or SIGHUP, --resume can\n"
	"continue.\n";

#define SLICE_MS     100 /* between two reports of progress */
#define TIMEOUT_AUTO UINT64_MAX
#define TIMEOUT	     60 /* seconds */
#define GOODBYE	     5	/* seconds, to tell the sender that it's complete */

struct receive_options {
	struct peer_options peer;
	uint64_t timeout;
	uint64_t events;
	bool resume;
	bool replace;
	bool progress;
	bool quiet;
};

#define OPTION(kind, name, member, ...) \
	CLI_##kind(name, struct receive_options, member, ##__VA_ARGS__)

static const struct cli_option options[] = {
	PEER_OPTIONS(struct receive_options, peer),
	OPTION(NUMBER, "timeout", timeout, 0, 1000000, 1),
	OPTION(FLAG, "resume", resume),
	OPTION(FLAG, "replace", replace),
	CLI_EVENTS(struct receive_options, events),
	CLI_JSON,
	OPTION(FLAG, "progress", progress),
	OPTION(FLAG, "quiet", quiet),
	{ 0 }
};

static const char *const operands[] = { "ADDRESS", "IMAGE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
};

/**
 * struct arrival - a copy that is being received
 * @o: the options
 * @address: address to listen at
 * @image: name of the image
 * @out: stream for reports
 * @listener: listener at @address; NULL: standard input and output
 * @dest: the image
 * @connected: true: a sender has connected before
 * @given_up: true: the sender or our user gave the copy up
 * @so_far: the library's figures so far
 * @began: time when the copy began, by dml_clock_now()
 * @told: number of rounds whose end was sent as an event
 */
struct arrival {
	struct receive_options *o;
	const char *address;
	const char *image;
	FILE *out;
	struct dmatrack_listener *listener;
	struct dmatrack_dest *dest;
	bool connected;
	bool given_up;
	struct dmatrack_arrival so_far;
	uint64_t began;
	uint32_t told;
};

/* Callbacks of the library ---------------------------------------------------- */

static bool is_stdio(const char *address)
{
	return !strcmp(address, "-");
}

/* How many times to wait SLICE_MS for a sender; 0: no limit */
static uint64_t patience(const struct arrival *a, int why)
{
	uint64_t seconds = a->o->timeout;

	if (why == -EALREADY && (a->connected || seconds == TIMEOUT_AUTO))
		seconds = GOODBYE;
	if (seconds == TIMEOUT_AUTO)
		seconds = a->connected ? TIMEOUT : 0;
	else if (!seconds)
		return 1;
	return seconds * 1000 / SLICE_MS;
}

static void turned_away(void *opaque, int error)
{
	cli_error("a peer was refused: %s", cli_error_why(error));
}

static int await_sender(struct arrival *a, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	uint64_t looks = patience(a, why), i;
	int ret;

	if (is_stdio(a->address)) /* can't be made again */
		return attempt ? why : dmatrack_connect(ch, a->address, NULL);
	for (i = 0; !looks || i < looks; i++) {
		if (cli_interrupt_signal())
			return -EINTR;
		cli_progress(a->connected ?
				     "waiting for the sender to connect again" :
				     "waiting for a sender");
		ret = dmatrack_accept(a->listener, ch, SLICE_MS);
		if (ret != -ETIMEDOUT)
			return ret;
	}
	return -ETIMEDOUT;
}

/* @why of -EALREADY: the copy is complete, and nothing was lost */
static int accept_sender(void *opaque, unsigned int attempt, int why,
			 struct dmatrack_channel **ch)
{
	struct arrival *a = opaque;
	int ret;

	if (attempt && a->connected && why != -EALREADY)
		cli_events_send(cli_events_new("lost"));
	ret = await_sender(a, attempt, why, ch);
	if (ret)
		return ret;
	a->connected = true;
	cli_events_send(cli_events_new("connected"));
	return 0;
}

static void add_regions(json_t *o, const struct dmatrack_region *regions,
			unsigned int n)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < n; i++)
		cli_json_range(list, regions[i].iova, regions[i].size);
	json_object_set_new(o, "regions", list);
}

static void tell_begin(const struct arrival *a, uint64_t size,
		       uint32_t page_size)
{
	json_t *event = cli_events_new("begin");

	if (!event)
		return;
	cli_json_string(event, "command", "receive");
	cli_json_string(event, "target", a->image);
	cli_json_number(event, "size_bytes", size);
	cli_json_number(event, "page_bytes", page_size);
	cli_events_send(event);
}

/* Rounds that have ended since this was called before: the figures are those of now. */
static void tell_rounds(struct arrival *a, const struct dmatrack_arrival *now)
{
	json_t *event;

	for (; a->told < now->rounds; a->told++) {
		event = cli_events_new("round_end");
		if (!event)
			return;
		cli_json_number(event, "round", a->told);
		cli_json_number(event, "received_bytes", now->bytes);
		cli_json_number(event, "data_bytes", now->data);
		cli_json_number(event, "zero_bytes", now->zeros);
		cli_events_send(event);
	}
}

static int begin(void *opaque, const struct dmatrack_region *regions,
		 unsigned int n, uint32_t page_size)
{
	struct arrival *a = opaque;
	char size[CLI_TEXT];
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		sum += regions[i].size;
	a->began = dml_clock_now();
	a->told = 0;
	tell_begin(a, sum, page_size);
	if (cli_json()) {
		add_regions(cli_json(), regions, n);
		return 0;
	}
	cli_progress_clear();
	fprintf(a->out, "Memory: %s in %u region%s at %#" PRIx64 ".\n",
		cli_text_size(size, sum), n, n == 1 ? "" : "s",
		regions[0].iova);
	fflush(a->out);
	return 0;
}

/*
 * Only SIGINT gives the copy up. Another signal cancels the next read: the connection ends as
 * if it had broken, and another process can resume the image.
 */
static int progress(void *opaque, const struct dmatrack_arrival *now)
{
	char came[CLI_TEXT], data[CLI_TEXT], memory[CLI_TEXT], time[CLI_TEXT];
	struct arrival *a = opaque;

	if (cli_interrupt_signal() == SIGINT)
		return -EINTR;
	tell_rounds(a, now);
	cli_progress(
		"round %u: %s received, %s written to an image of %s, %s elapsed",
		now->rounds, cli_text_size(came, now->bytes),
		cli_text_size(data, now->data),
		cli_text_size(memory, now->memory),
		cli_text_time(time, dml_clock_now() - a->began));
	return 0;
}

/* Reports --------------------------------------------------------------------- */

static void add_json(const struct arrival *a, json_t *o, bool complete)
{
	const struct dmatrack_arrival *n = &a->so_far;

	cli_json_string(o, "address", a->address);
	cli_json_string(o, "image", a->image);
	cli_json_number(o, "size_bytes", n->memory);
	cli_json_number(o, "received_bytes", n->bytes);
	cli_json_number(o, "data_bytes", n->data);
	cli_json_number(o, "zero_bytes", n->zeros);
	cli_json_number(o, "rounds_done", n->rounds);
	cli_json_number(o, "resumed", n->resumed);
	cli_json_bool(o, "copied", complete);
}

static void report(const struct arrival *a, bool complete)
{
	const struct dmatrack_arrival *n = &a->so_far;
	char memory[CLI_TEXT], came[CLI_TEXT], data[CLI_TEXT];

	if (cli_json())
		add_json(a, cli_json(), complete);
	if (cli_json() || !complete)
		return;
	fprintf(a->out,
		"Received %s in %u rounds: %s over the connection, %s written.\n",
		cli_text_size(memory, n->memory), n->rounds,
		cli_text_size(came, n->bytes), cli_text_size(data, n->data));
	if (n->resumed)
		fprintf(a->out,
			"The connection broke and was made again %u time%s.\n",
			n->resumed, n->resumed == 1 ? "" : "s");
	fprintf(a->out, "Image: %s\n", a->image);
}

static int fail(int error, const char *why)
{
	if (error == -DMATRACK_NOT_DURABLE) {
		cli_error("%s", why);
		return CLI_UNSURE;
	}
	if (cli_interrupt_signal())
		return cli_interrupt_status(cli_interrupt_signal() == SIGINT ?
						    "nothing was received" :
						    "continue with --resume");
	if (error == -ETIMEDOUT)
		cli_error("not received: no sender connected in time");
	else
		cli_error("not received: %s", why);
	return error == -EBADMSG ? CLI_NO : CLI_FAILED;
}

/* Running --------------------------------------------------------------------- */

static int set_up(struct arrival *a)
{
	unsigned int flags = (a->o->resume ? DMATRACK_IMAGE_RESUME : 0) |
			     (a->o->replace ? DMATRACK_IMAGE_REPLACE : 0);
	struct dmatrack_peer peer;
	int ret = peer_set(&peer, &a->o->peer);

	if (ret)
		return ret;
	peer.turned_away = turned_away;
	ret = dmatrack_image_create(&a->dest, a->image, flags);
	if (ret) {
		cli_error("%s", cli_error_why(ret));
		return ret == -EBADMSG ? CLI_NO : CLI_FAILED;
	}
	if (is_stdio(a->address))
		return 0;
	ret = dmatrack_peer_listen(&a->listener, a->address, &peer);
	if (ret) {
		cli_error("%s", cli_error_why(ret));
		return ret == -EINVAL ? CLI_USAGE : CLI_FAILED;
	}
	if (!a->o->quiet)
		fprintf(stderr, "Listening at %s\n",
			dmatrack_listener_address(a->listener));
	return 0;
}

static int receive(struct arrival *a)
{
	const struct dmatrack_receiver r = {
		.size = sizeof(r),
		.dest = a->dest,
		.opaque = a,
		.accept = accept_sender,
		.begin = begin,
		.progress = progress,
		.cancel = cli_interrupt_cancel(),
		.hello_timeout = (uint32_t)a->o->peer.hello_timeout * 1000,
		.peer_timeout = (uint32_t)a->o->peer.peer_timeout * 1000,
	};
	char why[256];
	int ret = dmatrack_receive(&r, &a->so_far), status;

	snprintf(why, sizeof(why), "%s", ret ? cli_error_why(ret) : "");
	cli_progress_clear();
	tell_rounds(a, &a->so_far);
	a->given_up = cli_interrupt_signal() ?
			      cli_interrupt_signal() == SIGINT :
			      ret == -ECANCELED;
	status = ret ? fail(ret, why) : CLI_OK;
	report(a, !ret || status == CLI_UNSURE);
	return status;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct receive_options o = { .timeout = TIMEOUT_AUTO,
				     .events = CLI_EVENTS_NONE };
	struct arrival a = { .o = &o };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	a.address = argv[0];
	a.image = argv[1];
	a.out = is_stdio(a.address) ? stderr : stdout;
	cli_json_to(a.out);
	cli_interrupt_catch();
	cli_progress_init(o.progress, o.quiet);
	ret = cli_events_open(o.events);
	if (!ret)
		ret = set_up(&a);
	if (!ret)
		ret = receive(&a);
	dmatrack_listener_close(a.listener);
	if (a.given_up) /* won't be resumed */
		dmatrack_image_discard(a.dest);
	dmatrack_dest_close(a.dest);
	return ret;
}

const struct cli_command cli_receive = {
	.name = "receive",
	.summary = "receive memory into an image file",
	.help = help,
	.run = run,
};
