// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What people and programs get to see of the demonstration. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "demo.h"

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

void demo_report_begin(const struct demo_options *o,
		       const struct demo_memory *m,
		       const struct demo_result *r)
{
	char size[CLI_TEXT], hole[CLI_TEXT];

	if (o->json)
		return;
	cli_progress_clear();
	printf("Memory: %s in %u mapping%s at %#" PRIx64,
	       cli_text_size(size, m->w.size), m->w.nmappings,
	       m->w.nmappings == 1 ? "" : "s", m->w.mapping[0].iova);
	if (m->w.hole)
		printf(", with a hole of %s", cli_text_size(hole, m->w.hole));
	printf(", tracked by %s.\n", workload_who_tracks(&m->w));
	workload_print_devices(&m->w, stdout);
	printf("Tracking started in %.3f ms.\n\n", ms(r->start_ns));
	printf("%5s %13s %7s %9s %11s %9s %13s\n", "round", "pages dirty",
	       "of all", "copied", "harvest ms", "copy ms", "writes before");
	fflush(stdout);
}

void demo_report_round(const struct demo_options *o,
		       const struct demo_memory *m,
		       const struct demo_round *round)
{
	char dirty[CLI_TEXT], copied[CLI_TEXT], writes[CLI_TEXT];

	if (o->json)
		return;
	cli_progress_clear();
	cli_text_size(copied, round->bytes);
	if (!round->harvest_ns) {	/* all of it */
		printf("%5s %13s %7s %9s %11s %9.1f %13s\n", round->name, "-",
		       "-", copied, "-", ms(round->copy_ns), "-");
		fflush(stdout);
		return;
	}
	printf("%5s %13s %5.1f %% %9s %11.3f %9.1f %13s\n", round->name,
	       cli_text_count(dirty, round->dirty),
	       100.0 * (double)round->dirty / (double)(m->w.size / WORKLOAD_PAGE),
	       copied, ms(round->harvest_ns), ms(round->copy_ns),
	       cli_text_count(writes, round->writes));
	fflush(stdout);
}

/* Notes */

static void print_diverging(const struct demo_memory *m)
{
	puts("Each harvest reported every page, so the rounds got no shorter:");
	if (!strcmp(m->w.kind, "edu"))
		puts("nobody sees where this device writes, as its IOMMU keeps no dirty bits.");
	else
		puts("the device writes all of the memory faster than it can be copied.");
}

static void print_notes(const struct demo_memory *m,
			const struct demo_result *r)
{
	char count[CLI_TEXT];

	if (r->failed && m->w.hole)
		printf("%s writes touched the hole and failed, as they must.\n",
		       cli_text_count(count, r->failed));
	else if (r->failed)
		printf("%s writes failed.\n", cli_text_count(count, r->failed));
	if (r->all_dirty && r->nrounds > 2)
		print_diverging(m);
	if (r->stray)
		printf("FAULT: %s pages were reported where nothing is mapped.\n",
		       cli_text_count(count, r->stray));
}

static void print_difference(const struct demo_memory *m,
			     const struct demo_result *r)
{
	char count[CLI_TEXT];
	uint64_t iova = workload_memory_iova(&m->w, r->first);

	printf("THE COPY DIFFERS in %s bytes, first at IOVA %#" PRIx64
	       " (page %" PRIu64 ", byte %" PRIu64 "): memory %#04x, copy %#04x\n",
	       cli_text_count(count, r->differ), iova, r->first / WORKLOAD_PAGE,
	       r->first % WORKLOAD_PAGE, m->w.live[r->first], m->copy[r->first]);
}

static void print_verdict(const struct demo_memory *m,
			  const struct demo_result *r)
{
	char size[CLI_TEXT], writes[CLI_TEXT], bytes[CLI_TEXT];

	if (r->differ) {
		print_difference(m, r);
		return;
	}
	printf("exact copy: all %s compared, byte for byte, after %s writes of %s\n",
	       cli_text_size(size, m->w.size),
	       cli_text_count(writes, r->writes + r->pinned_writes),
	       cli_text_size(bytes, r->bytes));
}

/* JSON. Strings are ours or checked by dmatrack_open_vfio(): no escapes needed. */

static void print_json_round(const struct demo_round *round, bool more)
{
	printf("    {\"round\": \"%s\", \"pages_dirty\": %" PRIu64
	       ", \"bytes_copied\": %" PRIu64 ", \"harvest_ns\": %" PRIu64
	       ", \"copy_ns\": %" PRIu64 ", \"writes\": %" PRIu64
	       ", \"writes_failed\": %" PRIu64 "}%s\n",
	       round->name, round->dirty, round->bytes, round->harvest_ns,
	       round->copy_ns, round->writes, round->failed, more ? "," : "");
}

static void print_json_mappings(const struct demo_memory *m)
{
	unsigned int i;

	for (i = 0; i < m->w.nmappings; i++)
		printf("    {\"iova\": %" PRIu64 ", \"size\": %" PRIu64 "}%s\n",
		       m->w.mapping[i].iova, m->w.mapping[i].size,
		       i + 1 < m->w.nmappings ? "," : "");
}

static void print_json_device(const struct demo_options *o,
			      const struct demo_memory *m)
{
	if (o->w.device)
		printf("  \"device\": \"%s\",\n", o->w.device);
	else
		printf("  \"device\": null,\n");
	printf("  \"driver\": \"%s\",\n  \"kind\": \"%s\",\n", m->w.driver,
	       m->w.kind);
	printf("  \"threads\": %" PRIu64 ",\n  \"rate\": %" PRIu64
	       ",\n  \"pins\": %" PRIu64 ",\n  \"seed\": %" PRIu64 ",\n",
	       o->w.threads, o->w.rate, o->w.pins, o->w.seed);
}

static void print_json_verdict(const struct demo_memory *m,
			       const struct demo_result *r)
{
	printf("  \"writes\": %" PRIu64 ",\n  \"pinned_writes\": %" PRIu64
	       ",\n  \"bytes_written\": %" PRIu64
	       ",\n  \"writes_failed\": %" PRIu64 ",\n",
	       r->writes, r->pinned_writes, r->bytes, r->failed);
	printf("  \"converges\": %s,\n  \"stray_pages\": %" PRIu64 ",\n",
	       r->all_dirty ? "false" : "true", r->stray);
	printf("  \"bytes_different\": %" PRIu64 ",\n", r->differ);
	if (r->differ)
		printf("  \"first_difference\": %" PRIu64 ",\n",
		       workload_memory_iova(&m->w, r->first));
	printf("  \"exact\": %s\n", r->differ ? "false" : "true");
}

static void print_json(const struct demo_options *o,
		       const struct demo_memory *m, const struct demo_result *r)
{
	unsigned int i;

	puts("{");
	print_json_device(o, m);
	printf("  \"size\": %" PRIu64 ",\n  \"mappings\": [\n", m->w.size);
	print_json_mappings(m);
	printf("  ],\n  \"start_ns\": %" PRIu64 ",\n  \"rounds\": [\n",
	       r->start_ns);
	for (i = 0; i < r->nrounds; i++)
		print_json_round(&r->round[i], i + 1 < r->nrounds);
	puts("  ],");
	print_json_verdict(m, r);
	puts("}");
}

void demo_report_end(const struct demo_options *o, const struct demo_memory *m,
		     const struct demo_result *r)
{
	cli_progress_clear();
	if (o->json) {
		print_json(o, m, r);
		return;
	}
	putchar('\n');
	print_notes(m, r);
	print_verdict(m, r);
}
