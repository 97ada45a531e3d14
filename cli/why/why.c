// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack why: its command line, and what is looked at for it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/json.h"
#include "cli/common/options.h"
#include "why.h"

static const char help[] =
	"usage: dmatrack why [OPTION]... DEVICE\n"
	"       dmatrack why --pid PID [OPTION]...\n"
	"\n"
	"Explain why a machine doesn't migrate: what stops a migration, what slows it, what\n"
	"is fine, and what to do next. The container of a program that runs is watched for\n"
	"two seconds, to say how many rounds a migration would take. It opens no device, and\n"
	"takes no page from another reader.\n"
	"\n"
	"DEVICE: a PCI address, the UUID of a mediated device, or a platform device's name.\n"
	"If a program uses it, its container is looked at, too.\n"
	"\n"
	"  --pid PID    all devices and containers of a running program. Needs the right to\n"
	"               trace it\n"
	"\n"
	"Rounds of a migration (needs dmatrack.ko, and a program that runs):\n"
	"  --measure MS       watch what devices write for MS ms, 100 to 60000 (default\n"
	"                     2000; 0: don't)\n"
	"  --bandwidth SIZE   bytes a second of a migration (default 1G)\n"
	"  --downtime MS      time that a migration may stop the machine for, in ms\n"
	"                     (default 300, as QEMU's)\n"
	"\n"
	"Output:\n"
	"  --json       print JSON, for programs\n"
	"  --root DIR   explain the machine whose /dev, /proc and /sys are copied to DIR\n"
	"  --progress   show progress on stderr even if it is no terminal\n"
	"  --quiet      show no progress\n"
	"  --help       print this text\n"
	"\n"
	"Examples:\n"
	"  dmatrack why 0000:00:03.0\n"
	"  dmatrack why --pid $(pidof qemu-system-x86_64)\n"
	"\n"
	"Exit status: 0 nothing found that stops a migration, 1 something stops it, 2 the\n"
	"command line is not understood, 3 it can't be looked at.\n";

struct options {
	const char *root;
	uint64_t pid, measure, bandwidth, downtime;
	bool progress, quiet;
};

#define MSEC	      1000000ull
#define MEASURE_LEAST 100u /* ms: a tick of the samples */

static const struct cli_option options[] = {
	CLI_NUMBER("pid", struct options, pid, 1, INT32_MAX, 1),
	CLI_NUMBER("measure", struct options, measure, 0, 60000, 1),
	CLI_SIZE("bandwidth", struct options, bandwidth, 1, 1ull << 46, 1),
	CLI_NUMBER("downtime", struct options, downtime, 1, 3600000, 1),
	CLI_JSON,
	CLI_STRING("root", struct options, root),
	CLI_FLAG("progress", struct options, progress),
	CLI_FLAG("quiet", struct options, quiet),
	{ 0 }
};

static const char *const operands[] = { "DEVICE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
	.optional = 1,
};

/* Is the device there, in no group? */
static bool is_ungrouped(const struct why *w)
{
	static const char *const buses[] = { "pci", "platform", "mdev" };
	char p[PATH_MAX];
	unsigned int i;

	for (i = 0; i < sizeof(buses) / sizeof(*buses); i++)
		if (!access(files_path(p, w->root, "/sys/bus/%s/devices/%s",
				       buses[i], w->device),
			    F_OK))
			return true;
	return false;
}

static int explain_no_group(struct why *w)
{
	json_t *o;

	if (!*w->device || *w->device == '.' || strchr(w->device, '/') ||
	    !is_ungrouped(w)) {
		cli_error("there is no device %s", w->device);
		return CLI_FAILED;
	}
	o = finding_add(w, FINDING_STOPS, "group", w->device);
	finding_set(o, "what", "it is in no IOMMU group");
	finding_set(
		o, "why",
		"A program gets a device only by its group, and only behind an IOMMU");
	finding_set(
		o, "next",
		"Switch the IOMMU on in the firmware, and boot Linux with intel_iommu=on (Intel)");
	return 0;
}

/* What holds for a device that no program uses, or whose program can't be looked at */
static void explain_idle(struct why *w, const json_t *group,
			 const json_t *device)
{
	json_t *groups = json_array();

	device_explain_migration(w, device);
	device_explain(w, group, device);
	space_explain_machine(w);
	json_array_append(groups, (json_t *)group);
	dirty_explain(w, groups);
	json_decref(groups);
}

static int explain_device(struct why *w)
{
	const json_t *group;
	const json_t *device = device_find(w, w->device, &group);
	const json_t *user;

	if (!device)
		return explain_no_group(w);
	user = json_array_get(json_object_get(group, "users"), 0);
	if (!user) {
		explain_idle(w, group, device);
		return 0;
	}
	w->pid = (int)json_integer_value(json_object_get(user, "pid"));
	return tenant_explain(w);
}

static void explain_iommufd(struct why *w)
{
	char p[PATH_MAX];
	bool has = !access(files_path(p, w->root, "/dev/iommu"), F_OK);
	json_t *o = finding_add(w, FINDING_OK, "iommufd", NULL);

	finding_set(
		o, "what",
		has ? "this kernel has iommufd" :
		      "this kernel has no iommufd: programs use VFIO's containers");
}

static void print(const struct why *w)
{
	char *name = w->pid ? process_name(w->root, w->pid) : NULL;

	if (w->device)
		printf("%s%s", w->device, w->pid ? ", used by " : "");
	if (w->pid)
		printf("%s (process %d)", name ?: "?", w->pid);
	puts("\n");
	finding_print(w);
	free(name);
}

/* "2 findings stop a migration: migration, everything" */
static int complain(const struct why *w, unsigned int stops)
{
	char ids[256] = "";
	const json_t *o;
	size_t i, len = 0;

	/* they are the first ones */
	for (i = 0; i < stops; i++) {
		o = json_array_get(w->findings, i);
		snprintf(ids + len, sizeof(ids) - len, "%s%s", i ? ", " : "",
			 machine_text(o, "id"));
		len = strlen(ids);
	}
	cli_error("%u finding%s stop%s a migration: %s", stops,
		  stops == 1 ? "" : "s", stops == 1 ? "s" : "", ids);
	return CLI_NO;
}

static int conclude(struct why *w, json_t *json)
{
	unsigned int stops = finding_count(w, FINDING_STOPS);

	cli_progress_clear();
	finding_sort(w);
	if (json) {
		json_object_set(json, "outlooks", w->outlooks);
		json_object_set(json, "findings", w->findings);
	} else {
		print(w);
	}
	if (stops)
		return complain(w, stops);
	if (!json)
		printf("\nNothing that was found stops a migration%s.\n",
		       finding_count(w, FINDING_UNKNOWN) ?
			       ", but not all is known" :
			       "");
	return CLI_OK;
}

static int explain(struct why *w, json_t *json)
{
	int ret;

	machine_collect(w->root, w->machine);
	ret = w->device ? explain_device(w) : tenant_explain(w);
	explain_iommufd(w);
	if (json) {
		cli_json_string(json, "device", w->device);
		cli_json_number(json, "pid",
				w->pid ? (uint64_t)w->pid : UINT64_MAX);
	}
	return ret ?: conclude(w, json);
}

/* Return: CLI_GO_ON, or the status of a usage error */
static int check(const struct options *o, int argc)
{
	if (!o->pid == !argc)
		return cli_error_usage("give a DEVICE or --pid PID");
	if (o->measure && o->measure < MEASURE_LEAST)
		return cli_error_usage(
			"--measure: %u ms is too short to see a rate: give %u or more, or 0 for none",
			(unsigned int)o->measure, MEASURE_LEAST);
	return CLI_GO_ON;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = {
		.root = "",
		.measure = 2000,
		.bandwidth = 1ull << 30,
		.downtime = 300,
	};
	struct why w = { 0 };
	char full[CLI_TEXT];
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret == CLI_GO_ON)
		ret = check(&o, argc);
	if (ret != CLI_GO_ON)
		return ret;
	if (argc)
		w.device = cli_container_device(full, argv[0]);
	w.root = o.root;
	w.pid = (int)o.pid;
	w.measure = o.measure * MSEC;
	w.bandwidth = o.bandwidth;
	w.downtime = o.downtime * MSEC;
	w.machine = json_object();
	w.findings = json_array();
	w.outlooks = json_array();
	cli_progress_init(o.progress, o.quiet);
	ret = explain(&w, cli_json());
	json_decref(w.machine);
	json_decref(w.findings);
	json_decref(w.outlooks);
	return ret;
}

const struct cli_command cli_why = {
	.name = "why",
	.summary = "explain why a machine does not migrate",
	.help = help,
	.run = run,
};
