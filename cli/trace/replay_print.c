// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Prints calls and results as text, which is a trace again and can be kept as a test.
 */
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define WIDTH	    40 /* columns of a call, before its result */
#define PAGES_WIDTH 70 /* columns of a line of pages */

/* Numbers ----------------------------------------------------------------------- */

void replay_print_address(FILE *to, uint64_t n)
{
	fprintf(to, n ? "%#" PRIx64 : "%" PRIx64, n);
}

void replay_print_size(FILE *to, uint64_t n)
{
	static const char units[] = "KMGT";
	unsigned int unit = 0;

	while (n && !(n % 1024) && unit < 4) {
		n /= 1024;
		unit++;
	}
	if (unit)
		fprintf(to, "%" PRIu64 "%c", n, units[unit - 1]);
	else if (n > 1000000)
		replay_print_address(to, n);
	else
		fprintf(to, "%" PRIu64, n);
}

void replay_print_error(FILE *to, long ret)
{
	const char *name = strerrorname_np((int)-ret);

	if (name)
		fputs(name, to);
	else
		fprintf(to, "%ld", ret);
}

/* Pages ------------------------------------------------------------------------- */

/**
 * struct pages - a list of pages that is being printed
 * @to: stream to print to
 * @more: beginning of a continuation line
 * @width: columns of the line so far
 * @any: true: a page was printed
 */
struct pages {
	FILE *to;
	const char *more;
	int width;
	bool any;
};

static void print_range(struct pages *p, uint64_t first, uint64_t last)
{
	if (!p->any)
		p->width = fprintf(p->to, "pages");
	else if (p->width > PAGES_WIDTH)
		p->width = fprintf(p->to, "\n%s", p->more);
	p->any = true;
	p->width += fprintf(p->to, " %" PRIu64, first);
	if (last != first)
		p->width += fprintf(p->to, "-%" PRIu64, last);
}

void replay_print_pages(FILE *to, const uint64_t *bitmap, uint64_t npages,
			const char *more)
{
	struct pages p = { .to = to, .more = more };
	uint64_t pos = 0, len = 0;

	for (; dmatrack_next_run(bitmap, npages, &pos, &len); pos += len) {
		if (len == npages) {
			fputs("all", to);
			return;
		}
		print_range(&p, pos, pos + len - 1);
	}
	if (!p.any)
		fputs("none", to);
}

static void print_expected_pages(FILE *to, const struct replay_trace *t,
				 const struct replay_expect *x)
{
	struct pages p = { .to = to, .more = "  = pages" };
	uint32_t i;

	for (i = 0; i < x->nr_ranges; i++)
		print_range(&p, t->ranges[x->ranges + i].first,
			    t->ranges[x->ranges + i].last);
	if (!p.any)
		fputs(x->all ? "all" : "none", to);
}

/* Calls --------------------------------------------------------------------------- */

static const char *prot_name(unsigned int prot)
{
	static const char *const names[] = { "", "r", "w", "rw" };

	return names[prot & 3];
}

static void print_place(FILE *to, const struct replay_trace *t,
			const struct replay_call *call)
{
	if (call->where == REPLAY_ANYWHERE)
		return;
	fputs(" at ", to);
	if (call->where == REPLAY_RECORDED) {
		replay_print_address(to, call->place);
		return;
	}
	fputs(t->areas[call->area].name, to);
	if (call->place) {
		fputc('+', to);
		replay_print_size(to, call->place);
	}
}

static void print_range_arguments(FILE *to, const struct replay_call *call)
{
	fputc(' ', to);
	replay_print_address(to, call->iova);
	fputc(' ', to);
	if (call->verb == REPLAY_PIN || call->verb == REPLAY_UNPIN)
		fprintf(to, "%" PRIu64, call->size);
	else
		replay_print_size(to, call->size);
}

static void print_keys(FILE *to, const struct replay_call *call)
{
	if (call->has & REPLAY_HAS_ARGSZ)
		fprintf(to, " argsz=%" PRIu32, call->argsz);
	if (call->has & REPLAY_HAS_FLAGS)
		fprintf(to, " flags=%#" PRIx32, call->flags);
	if (call->has & REPLAY_HAS_BYTES)
		fprintf(to, " bytes=%" PRIu64, call->bytes);
	if (call->pointer)
		fprintf(to, " %s=%s",
			call->verb == REPLAY_MAP ? "vaddr" : "data",
			replay_parse_pointer_name(call->pointer));
}

static void print_more_arguments(FILE *to, const struct replay_trace *t,
				 const struct replay_call *call)
{
	if (call->verb == REPLAY_MAP || call->verb == REPLAY_PIN)
		fprintf(to, " %s", prot_name(call->prot));
	if (call->verb == REPLAY_MAP)
		print_place(to, t, call);
	if (call->with_bitmap)
		fputs(" bitmap", to);
	if (call->has & REPLAY_HAS_PAGE_SIZE) {
		fputc(' ', to);
		replay_print_size(to, call->page_size);
	}
	if (call->has & REPLAY_HAS_VALUE)
		fprintf(to, " %" PRIu64, call->value);
}

static void print_call(FILE *to, const struct replay_trace *t,
		       const struct replay_call *call)
{
	fputs(replay_parse_verb_name(call->verb), to);
	switch (call->verb) {
	case REPLAY_CONTAINER:
		fputs(call->type == VFIO_TYPE1_IOMMU ? " v1" : " v2", to);
		break;
	case REPLAY_START:
	case REPLAY_STOP:
	case REPLAY_INFO:
	case REPLAY_CHECK:
		break;
	default:
		if (call->everything)
			fputs(" all", to);
		else
			print_range_arguments(to, call);
	}
	print_more_arguments(to, t, call);
	print_keys(to, call);
}

/* Results ---------------------------------------------------------------------------- */

static void print_ret(FILE *to, const struct replay_call *call, long ret)
{
	if (ret < 0 && ret > -4096)
		replay_print_error(to, ret);
	else if (call->verb == REPLAY_UNMAP)
		replay_print_size(to, (uint64_t)ret);
	else
		fprintf(to, "%ld", ret);
}

static void print_result(FILE *to, const struct replay_call *call,
			 const struct replay_result *r)
{
	bool pages = r->bitmap && r->ret >= 0;

	if (!pages || r->ret)
		print_ret(to, call, r->ret);
	if (pages && r->ret)
		fputc(' ', to);
	if (pages)
		replay_print_pages(to, r->bitmap, r->npages, "  = pages");
	if (r->has_value && r->mixed)
		fputs("\t# the bytes differ", to);
	else if (r->has_value)
		fprintf(to, " value %#x", r->value);
}

static void print_expected(FILE *to, const struct replay_trace *t,
			   const struct replay_call *call)
{
	const struct replay_expect *x = &call->expect;

	if (x->has_ret)
		print_ret(to, call, x->ret);
	if (x->has_ret && x->has_pages)
		fputc(' ', to);
	if (x->has_pages)
		print_expected_pages(to, t, x);
	if (x->has_value)
		fprintf(to, "%svalue %#x", x->has_ret ? " " : "", x->value);
}

char *replay_print_text(const struct replay_trace *t,
			const struct replay_call *call)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	print_call(f, t, call);
	fclose(f);
	return text;
}

void replay_print(FILE *to, const struct replay_trace *t,
		  const struct replay_call *call, const struct replay_result *r)
{
	char *text = replay_print_text(t, call);

	if (call->verb == REPLAY_CONTAINER) {
		fprintf(to, "%s\n", text ? text : "");
	} else {
		fprintf(to, "%-*s = ", WIDTH, text ? text : "");
		print_result(to, call, r);
		fputc('\n', to);
	}
	free(text);
}

void replay_print_difference(const struct replay_trace *t,
			     const struct replay_call *call,
			     const struct replay_result *r)
{
	char *text = replay_print_text(t, call);

	cli_error("%s:%u: %s", t->name, call->line, text ? text : "");
	free(text);
	fputs("  expected: ", stderr);
	print_expected(stderr, t, call);
	fputs("\n  actual:   ", stderr);
	print_result(stderr, call, r);
	fputc('\n', stderr);
}
