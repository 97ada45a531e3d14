// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What is copied: another program's memory. */
#include <inttypes.h>

#include "copy.h"

/* Return: 0, or an exit status: options that are about this process's memory, or need it */
static int check_options(const struct copy_options *o)
{
	const char *other = o->w.device ? "--device" :
			    o->w.size	? "--size" :
			    o->w.source ? "--source" :
			    o->w.v1	? "--v1" :
			    o->digest	? "--digest" :
					  NULL;

	return other ? cli_error_usage(
			       "%s is not for another program's memory, --pid",
			       other) :
		       0;
}

static int open_program(struct copy *c, unsigned int copies)
{
	struct program *p = &c->program;
	int ret = check_options(c->o);
	size_t i;

	(void)copies;
	if (!ret && c->checked)
		ret = cli_error_usage(
			"--check is not for another program's memory, --pid");
	if (!ret)
		ret = program_open(p, &c->o->p);
	if (ret)
		return ret;
	if (p->view) {
		c->source[c->nsources] = p->view;
		c->source_name[c->nsources++] = "container";
	}
	c->source_name[c->nsources++] = "process";
	c->driver = p->view ? dmatrack_driver(p->view) : "process";
	c->region = p->region;
	c->nregions = p->nregions;
	for (i = 0; i < p->nspans;
	     i++) /* regions have margins that aren't memory */
		c->size += p->span[i].size;
	if (p->no_log)
		cli_error(
			"note: all memory counts as written by processors, and is read again while the program stands still: %s",
			p->no_log);
	return 0;
}

static void close_program(struct copy *c)
{
	if (c->program.o)
		program_close(&c->program);
}

static int stop(struct copy *c)
{
	return program_stop(&c->program) ? CLI_FAILED : 0;
}

static int check(struct copy *c)
{
	return program_check(&c->program) ? CLI_FAILED : 0;
}

static int go_on(struct copy *c)
{
	return program_go_on(&c->program) ? CLI_FAILED : 0;
}

static int dirty(void *opaque, unsigned int region, uint64_t *bitmap)
{
	struct copy *c = opaque;

	return writes_dirty(&c->program, region, bitmap);
}

static int read_memory(void *opaque, unsigned int region, uint64_t offset,
		       void *buf, size_t size)
{
	struct copy *c = opaque;

	return memory_read(&c->program, region, offset, buf, size);
}

static void print(const struct copy *c)
{
	const struct program *p = &c->program;
	char size[CLI_TEXT];

	fprintf(c->out, "Memory: %s in %u range%s, of %s (process %d).\n",
		cli_text_size(size, c->size), c->nregions,
		c->nregions == 1 ? "" : "s", p->name ?: "?", p->pid);
	fprintf(c->out, "Tracked by %s%s.\n",
		p->view ? "a view of its container" : "",
		p->log	? (p->view ? ", and its page tables" :
				     "its page tables") :
		p->view ? "" :
			  "nothing");
}

static void json(const struct copy *c, json_t *o)
{
	const struct program *p = &c->program;
	json_t *program = json_object();

	cli_json_string(o, "device", NULL);
	cli_json_string(o, "kind", "program");
	cli_json_number(program, "pid", (uint64_t)p->pid);
	cli_json_string(program, "name", p->name);
	cli_json_bool(program, "all", p->o->all);
	cli_json_string(program, "stopped_by",
			c->totals.downtime ? standstill_way(p->still) : NULL);
	cli_json_number(program, "devices_quiesced",
			standstill_devices(p->still));
	cli_json_number(program, "pages_written_while_stopped", p->busy_pages);
	json_object_set_new(o, "program", program);
}

const struct copy_origin copy_origin_program = {
	.open = open_program,
	.close = close_program,
	.stop = stop,
	.check = check,
	.go_on = go_on,
	.dirty = dirty,
	.read = read_memory,
	.print = print,
	.json = json,
};
