// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What is copied: another program's memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/machine/machine.h"
#include "copy.h"

/* Return: 0, or an exit status: options that are about this process's memory, or need it */
static int check_options(const struct copy *c)
{
	const struct copy_options *o = c->o;
	const char *other = o->w.device ? "--device" :
			    o->w.size	? "--size" :
			    o->w.source ? "--source" :
			    o->w.v1	? "--v1" :
			    o->digest	? "--digest" :
			    c->checked	? "--check" :
					  NULL;

	if (other)
		return cli_error_usage(
			"%s is not for another program's memory, --pid", other);
	return o->p.pid == (uint64_t)getpid() ?
		       cli_error_usage("--pid: that is this program itself") :
		       0;
}

static void complain(const struct copy_options *o, int error)
{
	if (!o->p.all && (error == -ENODEV || error == -ENOENT))
		cli_error("%s; --all copies all of its memory",
			  dmatrack_error());
	else
		process_container_error(error, (int)o->p.pid);
}

static void add_sources(struct copy *c)
{
	const struct dmatrack_process_info *i = c->info;

	c->source[0] = i->container;
	if (i->container)
		c->source_name[c->nsources++] = "container";
	c->source_name[c->nsources++] = "process";
	c->driver = i->container ? dmatrack_driver(i->container) : "process";
}

static int open_program(struct copy *c, unsigned int copies)
{
	const struct program_options *o = &c->o->p;
	const struct dmatrack_process_config config = {
		.size = sizeof(config),
		.pid = (int32_t)o->pid,
		.fd = o->fd == PROGRAM_ANY_FD ? -1 : (int32_t)o->fd,
		.flags = (o->all ? DMATRACK_PROCESS_ALL : 0) |
			 (o->quiesce ? DMATRACK_PROCESS_QUIESCE : 0),
	};
	int ret = check_options(c);
	size_t i;

	(void)copies;
	if (ret)
		return ret;
	ret = dmatrack_process_open(&c->process, &config);
	if (ret) {
		complain(c->o, ret);
		return CLI_FAILED;
	}
	c->info = dmatrack_process_get_info(c->process);
	c->program = process_name("", config.pid);
	c->region = c->info->regions;
	c->nregions = c->info->nregions;
	add_sources(c);
	for (i = 0; i < c->info->nspans;
	     i++) /* regions have margins that aren't memory */
		c->size += c->info->spans[i].size;
	if (*c->info->no_log)
		cli_error(
			"note: all memory counts as written by processors, and is read again while the program stands still: %s",
			c->info->no_log);
	return 0;
}

static void close_program(struct copy *c)
{
	dmatrack_process_close(c->process);
	free(c->program);
}

static int copy_program(struct copy *c, const struct dmatrack_precopy *p)
{
	int ret = dmatrack_process_copy(c->process, p, &c->totals);

	dmatrack_process_get_info(c->process);
	return ret;
}

static int go_on(struct copy *c)
{
	int ret = dmatrack_process_go_on(c->process);

	if (ret)
		cli_error("%s", cli_error_why(ret));
	dmatrack_process_get_info(c->process);
	return ret ? CLI_FAILED : 0;
}

static int read_memory(const struct copy *c, unsigned int region,
		       uint64_t offset, void *buf, size_t size)
{
	return dmatrack_process_read(
		c->process, c->region[region].iova + offset, buf, size);
}

static void print(const struct copy *c)
{
	const struct dmatrack_process_info *i = c->info;
	char size[CLI_TEXT];

	fprintf(c->out,
		"Memory: %s in %u range%s, of %s (process %" PRIu64 ").\n",
		cli_text_size(size, c->size), c->nregions,
		c->nregions == 1 ? "" : "s", c->program ?: "?", c->o->p.pid);
	fprintf(c->out, "Tracked by %s%s.\n",
		i->container ? "a view of its container" : "",
		i->log	     ? (i->container ? ", and its page tables" :
					       "its page tables") :
		i->container ? "" :
			       "nothing");
}

const char *origin_program_way(const struct copy *c)
{
	static const char *const ways[] = { NULL, "cgroup", "signal",
					    "stopped already" };

	return ways[c->info->way];
}

static void json(const struct copy *c, json_t *o)
{
	json_t *program = json_object();

	cli_json_string(o, "device", NULL);
	cli_json_string(o, "kind", "program");
	cli_json_number(program, "pid", c->o->p.pid);
	cli_json_string(program, "name", c->program);
	cli_json_bool(program, "all", c->o->p.all);
	cli_json_string(program, "stopped_by", origin_program_way(c));
	cli_json_number(program, "devices_quiesced", c->info->devices);
	cli_json_number(program, "pages_written_while_stopped",
			c->info->written / WORKLOAD_PAGE);
	json_object_set_new(o, "program", program);
}

const struct copy_origin copy_origin_program = {
	.open = open_program,
	.close = close_program,
	.copy = copy_program,
	.go_on = go_on,
	.read = read_memory,
	.print = print,
	.json = json,
};
