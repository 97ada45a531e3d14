// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack receive: what 'dmatrack send' sends, into an image. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "peer.h"
#include "dmatrack_copy.h"

static const char help[] =
"usage: dmatrack receive [OPTION]... ADDRESS IMAGE\n"
"\n"
"Wait for 'dmatrack send', and receive memory into an image file. The image\n"
"gets its name when it is complete, exact and on disk; until then its name ends\n"
"with .partial. A connection that breaks may be made again by the sender, and goes\n"
"on where it ended.\n"
"\n"
"ADDRESS:\n"
"  unix:PATH          a socket on this machine\n"
"  tcp:HOST:PORT      needs --tls, or --secret if HOST is this machine; IPv6 in\n"
"                     brackets. Port 0: any; stderr says which\n"
"  -                  standard input and output; reports go to stderr then\n"
"\n"
"Image:\n"
"  --resume           go on with what a receiver that was killed has left there,\n"
"                     if there is anything\n"
"  --replace          an image of that name, if there is one\n"
"\n"
"Connection:\n"
"  --tls DIR          for tcp: a folder with ca-cert.pem, server-cert.pem and\n"
"                     server-key.pem; both sides show a certificate\n"
PEER_HELP
"  --timeout S        give up after so many seconds without a sender (default: 60\n"
"                     once there was one; before, wait for ever)\n"
"  --hello-timeout S  the handshake must be done within so many seconds\n"
"                     (default: 30)\n"
"  --peer-timeout S   a connection has broken when the sender sends or takes\n"
"                     nothing for so many seconds (default: 1800)\n"
"\n"
"Output:\n"
"  --json             for programs\n"
"  --progress         show progress on stderr, even if that is no terminal\n"
"  --quiet            show no progress\n"
"  --help             this text\n"
"\n"
"Examples:\n"
"  dmatrack receive unix:/tmp/s image            from a sender on this machine\n"
"  dmatrack receive --tls certs tcp:0.0.0.0:7007 image\n"
"                                                from anywhere, authenticated\n"
"  ssh there dmatrack send - | ...               no: both directions are needed;\n"
"  dmatrack send 'exec:ssh here dmatrack receive --resume - image'\n"
"                                                this is how\n"
"\n"
"Exit status: 0 the image is there, 1 what came was altered, or the finished image\n"
"that --resume found, 2 the command line is not understood, 3 it can't be done, 128\n"
"and the number of a signal: ended by it. Unless it is 0, there is no new image. SIGINT gives the copy up, and the sender is\n"
"told; after SIGTERM or SIGHUP --resume can go on.\n";

#define SLICE_MS	100		/* between two lines of progress */
#define TIMEOUT_AUTO	UINT64_MAX
#define TIMEOUT		60
#define GOODBYE		5		/* for one who may not know it's complete */

struct receive_options {
	struct peer_options peer;
	uint64_t timeout;
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
 * struct arrival - what is being received
 * @o: options
 * @address: where we listen
 * @image: its name
 * @out: where reports go
 * @listener: there
 * @dest: the image
 * @was: there was a sender already
 * @given_up: by the sender, or by our user
 * @so_far: how far it is
 */
struct arrival {
	struct receive_options *o;
	const char *address;
	const char *image;
	FILE *out;
	struct dmatrack_listener *listener;
	struct dmatrack_dest *dest;
	bool was;
	bool given_up;
	struct dmatrack_arrival so_far;
};

/* What the library asks of us ------------------------------------------------- */

/* Standard input and output: the sender is there already. */
static bool is_ours(const char *address)
{
	return !strcmp(address, "-");
}

/* How often to look for a sender; 0: for ever */
static uint64_t patience(const struct arrival *a, int why)
{
	uint64_t seconds = a->o->timeout;

	if (why == -EALREADY && (a->was || seconds == TIMEOUT_AUTO))
		seconds = GOODBYE;
	if (seconds == TIMEOUT_AUTO)
		seconds = a->was ? TIMEOUT : 0;
	else if (!seconds)
		return 1;
	return seconds * 1000 / SLICE_MS;
}

static void turned_away(void *opaque, int error)
{
	cli_error("turned away: %s", cli_error_why(error));
}

static int accept_sender(void *opaque, unsigned int attempt, int why,
			 struct dmatrack_channel **ch)
{
	struct arrival *a = opaque;
	uint64_t looks = patience(a, why), i;
	int ret;

	if (is_ours(a->address))	/* there's no other one */
		return attempt ? why : dmatrack_connect(ch, a->address, NULL);
	for (i = 0; !looks || i < looks; i++) {
		if (cli_interrupt_signal())
			return -EINTR;
		cli_progress(a->was ? "waiting for the sender to come back" :
				      "waiting for a sender");
		ret = dmatrack_accept(a->listener, ch, SLICE_MS);
		if (!ret)
			a->was = true;
		if (ret != -ETIMEDOUT)
			return ret;
	}
	return -ETIMEDOUT;
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

static int begin(void *opaque, const struct dmatrack_region *regions,
		 unsigned int n, uint32_t page_size)
{
	struct arrival *a = opaque;
	char size[CLI_TEXT];
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		sum += regions[i].size;
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
 * Another signal than SIGINT doesn't give up: it cancels the next read, the connection ends as
 * if it had broken, and the image is there for another process.
 */
static int progress(void *opaque, const struct dmatrack_arrival *now)
{
	char came[CLI_TEXT], data[CLI_TEXT], memory[CLI_TEXT];

	if (cli_interrupt_signal() == SIGINT)
		return -EINTR;
	cli_progress("round %u: %s came, %s written to an image of %s",
		     now->rounds, cli_text_size(came, now->bytes),
		     cli_text_size(data, now->data),
		     cli_text_size(memory, now->memory));
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
	fprintf(a->out, "Received %s in %u rounds: %s came, %s written.\n",
		cli_text_size(memory, n->memory), n->rounds,
		cli_text_size(came, n->bytes), cli_text_size(data, n->data));
	if (n->resumed)
		fprintf(a->out, "The connection was lost and found again %u time%s.\n",
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
		cli_error("not received: no sender came in time");
	else
		cli_error("not received: %s", why);
	return error == -EBADMSG ? CLI_NO : CLI_FAILED;
}

/* It itself ------------------------------------------------------------------- */

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
	if (is_ours(a->address))
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
	a->given_up = cli_interrupt_signal() ? cli_interrupt_signal() == SIGINT :
					   ret == -ECANCELED;
	status = ret ? fail(ret, why) : CLI_OK;
	report(a, !ret || status == CLI_UNSURE);
	return status;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct receive_options o = { .timeout = TIMEOUT_AUTO };
	struct arrival a = { .o = &o };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	a.address = argv[0];
	a.image = argv[1];
	a.out = is_ours(a.address) ? stderr : stdout;
	cli_json_to(a.out);
	cli_interrupt_catch();
	cli_progress_init(o.progress, o.quiet);
	ret = set_up(&a);
	if (!ret)
		ret = receive(&a);
	dmatrack_listener_close(a.listener);
	if (a.given_up)		/* the sender won't go on, or isn't to */
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
