// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Events of a copy, for programs: dmatrack-json(5) describes them. */
#include "copy.h"

static void add_copy(json_t *event, const struct copy *c)
{
	cli_json_string(event, "command", c->command);
	cli_json_string(event, "target", c->target);
	cli_json_string(event, "driver", c->driver);
	cli_json_number(event, "size_bytes", c->size);
	cli_json_number(event, "page_bytes", WORKLOAD_PAGE);
}

static void add_round(json_t *event, const struct dmatrack_round *round)
{
	cli_json_number(event, "round", round->number);
	cli_json_bool(event, "last", round->last);
	cli_json_number(event, "pages_dirty", round->dirty);
}

/* The command sends its own end, when all has been done. Return: NULL: such events aren't sent */
static const char *name_of(uint32_t kind)
{
	switch (kind) {
	case DMATRACK_EVENT_BEGIN:
		return "begin";
	case DMATRACK_EVENT_ROUND_BEGIN:
		return "round_begin";
	case DMATRACK_EVENT_STOP:
		return "stop";
	case DMATRACK_EVENT_RESUME:
		return "resume";
	case DMATRACK_EVENT_LOST:
		return "lost";
	case DMATRACK_EVENT_CONNECTED:
		return "connected";
	}
	return NULL;
}

void copy_events_tell(const struct copy *c, const struct dmatrack_event *e)
{
	const char *name = name_of(e->kind);
	json_t *event = name ? cli_events_new(name) : NULL;

	if (!event)
		return;
	if (e->kind == DMATRACK_EVENT_BEGIN)
		add_copy(event, c);
	if (e->round)
		add_round(event, e->round);
	cli_events_send(event);
}

void copy_events_round(const struct copy *c)
{
	const struct copy_round *own = &c->round[c->nrounds - 1];
	json_t *event = cli_events_new("round_end");

	if (!event)
		return;
	add_round(event, &own->r);
	json_object_set_new(event, "figures", copy_report_round(c, own));
	cli_events_send(event);
}
