// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What processors write, and this kernel can log: the sources beside containers */
#include <errno.h>
#include <unistd.h>

#include "dmatrack.h"
#include "info.h"

#define PAGE 4096

/* Return: whether the kernel can log what process @pid writes; whether it may, it is not asked */
static bool can_log(pid_t pid)
{
	static char memory[2 * PAGE];
	const struct dmatrack_mapping mapping = {
		.last = PAGE - 1,
		.vaddr = ((uintptr_t)memory + PAGE - 1) & -(uintptr_t)PAGE,
	};
	const struct dmatrack_process_log from = {
		.size = sizeof(from),
		.pid = pid,
		.nr_mappings = 1,
		.mappings = &mapping,
	};
	struct dmatrack *t = NULL;
	int ret = dmatrack_open_process_log(&t, &from);

	dmatrack_close(t);
	return ret != -EOPNOTSUPP;
}

void info_processors_add(json_t *json, bool here)
{
	json_object_set_new(json, "logs_this_process",
			    here ? json_boolean(can_log(0)) : json_null());
	json_object_set_new(json, "logs_other_processes",
			    here ? json_boolean(can_log(getppid())) :
				   json_null());
	json_object_set_new(
		json, "kvm",
		here ? json_boolean(!access("/dev/kvm", R_OK | W_OK)) :
		       json_null());
}

static const char *answer(const json_t *json, const char *member)
{
	const json_t *o = json_object_get(json, member);

	return json_is_true(o) ? "yes" : json_is_false(o) ? "no" : "not known";
}

void info_processors_print(const json_t *json)
{
	puts("Logs of what processors write:");
	printf("  in a process that copies itself          %s\n",
	       answer(json, "logs_this_process"));
	printf("  in another process                       %s\n",
	       answer(json, "logs_other_processes"));
	printf("  in a guest of KVM                        %s\n",
	       answer(json, "kvm"));
}
