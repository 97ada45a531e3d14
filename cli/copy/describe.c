// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The description of a copy, which its image keeps: a JSON object, which dmatrack-image(5) describes. */
#include <stdlib.h>
#include <time.h>

#include "copy.h"

static void add_date(json_t *o, int64_t seconds)
{
	time_t when = (time_t)seconds;
	char date[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) &&
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm))
		cli_json_string(o, "date", date);
}

static void add_program(json_t *o, const struct copy *c)
{
	const struct dmatrack_process_info *p = c->info;
	json_t *program = json_object(), *list = json_array();
	size_t i;

	cli_json_number(program, "pid", c->o->p.pid);
	cli_json_string(program, "name", c->program);
	cli_json_string(program, "stopped_by", origin_program_way(c));
	json_object_set_new(o, "program", program);
	for (i = 0; i < p->nspans; i++)
		cli_json_hex(cli_json_range(list, p->spans[i].iova,
					    p->spans[i].size),
			     "address", p->spans[i].address);
	json_object_set_new(o, "mappings", list);
}

int describe_copy(const struct copy *c)
{
	json_t *o;
	char *text;
	int ret;

	if (!c->described || (!c->process && !c->base))
		return 0;
	o = json_object();
	cli_json_string(o, "dmatrack", DMATRACK_RELEASE);
	add_date(o, c->process ?
			    dmatrack_process_get_info(c->process)->stop_time :
			    (int64_t)time(NULL));
	if (c->process)
		add_program(o, c);
	if (c->base)
		cli_json_string(o, "base", c->base);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	ret = text ? dmatrack_dest_describe(c->described, text) : -ENOMEM;
	free(text);
	return ret;
}
