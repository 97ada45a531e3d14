// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Prints calls and results as JSON, an object a line. */
#include <stdlib.h>
#include <string.h>

#include "cli/common/json.h"
#include "replay.h"

static json_t *json_of_pages(const struct replay_result *r)
{
	uint64_t pos = 0, len = 0;
	json_t *list = json_array();

	for (; dmatrack_next_run(r->bitmap, r->npages, &pos, &len); pos += len)
		json_array_append_new(list,
				      json_pack("[I, I]", (json_int_t)pos,
						(json_int_t)(pos + len - 1)));
	return list;
}

static void add_result(json_t *o, const struct replay_call *call,
		       const struct replay_result *r)
{
	if (r->ret < 0 && r->ret > -4096)
		cli_json_string(o, "errno", strerrorname_np((int)-r->ret));
	else
		cli_json_number(o, "result", (uint64_t)r->ret);
	if (r->bitmap && r->ret >= 0) {
		cli_json_number(o, "page_bytes", call->page_size);
		json_object_set_new(o, "pages", json_of_pages(r));
	}
	if (r->has_value && !r->mixed)
		cli_json_number(o, "value", r->value);
}

void replay_json(const struct replay_trace *t, const struct replay_call *call,
		 const struct replay_result *r, bool checked, bool met)
{
	char *text = replay_print_text(t, call);
	json_t *o = json_object();

	cli_json_number(o, "line", call->line);
	cli_json_string(o, "call", replay_parse_verb_name(call->verb));
	cli_json_string(o, "text", text);
	add_result(o, call, r);
	if (checked)
		cli_json_bool(o, "as_expected", met);
	cli_json_line(o);
	free(text);
}
