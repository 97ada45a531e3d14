// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a device offers for a migration, by a descriptor of it: it is only asked. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "why.h"

/* In newer versions of <linux/vfio.h>: Linux 6.2 */
#define PRE_COPY (1ull << 2)

/* A feature's call: its header, and the structure of a GET */
struct call {
	struct vfio_device_feature head;
	union {
		struct vfio_device_feature_migration migration;
		struct vfio_device_feature_mig_state state;
	} data;
};

/* Return: 0 or -errno. -ENOTTY: the device, or the kernel, does not have it */
static int ask(int fd, uint32_t what, struct call *call)
{
	*call = (struct call){
		.head.argsz = sizeof(*call),
		.head.flags = what,
	};
	return ioctl(fd, VFIO_DEVICE_FEATURE, call) < 0 ? -errno : 0;
}

static const char *const states[] = { "error",	   "stop",	  "running",
				      "stop-copy", "resuming",	  "running-P2P",
				      "pre-copy",  "pre-copy-P2P" };

static void explain_state(struct why *w, const char *about, int fd)
{
	struct call call;
	uint32_t state;
	json_t *o;

	if (ask(fd,
		VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		&call))
		return;
	state = call.data.state.device_state;
	o = finding_add(w,
			state == VFIO_DEVICE_STATE_ERROR ? FINDING_STOPS :
			state >= sizeof(states) / sizeof(*states) ?
							   FINDING_UNKNOWN :
							   FINDING_OK,
			"state", about);
	if (state >= sizeof(states) / sizeof(*states)) {
		finding_set(o, "what", "it is in an unknown state, %u", state);
		return;
	}
	finding_set(o, "what", "its state is %s%s", states[state],
		    state == VFIO_DEVICE_STATE_RUNNING ||
				    state == VFIO_DEVICE_STATE_ERROR ?
			    "" :
			    ": a migration is under way");
	if (state != VFIO_DEVICE_STATE_ERROR)
		return;
	finding_set(
		o, "why",
		"An earlier migration failed in the device, and it takes no other state now");
	finding_set(
		o, "next",
		"Reset it: start the guest again, or unplug the device and plug it in");
}

/* Return: it has the feature */
static bool explain_migration(struct why *w, const char *about,
			      const json_t *device, int fd)
{
	struct call call;
	uint64_t flags;
	json_t *o;
	int ret = ask(fd,
		      VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
		      &call);

	if (ret == -ENOTTY && device &&
	    !strcmp(machine_text(device, "driver") ?: "", "vfio-pci")) {
		device_explain_migration(w, device);
		return false;
	}
	o = finding_add(w, ret ? FINDING_STOPS : FINDING_OK, "migration",
			about);
	if (ret) {
		finding_set(o, "what",
			    "its driver can't save the device's state (%s)",
			    ret == -ENOTTY ? "no migration feature" :
					     strerror(-ret));
		finding_set(
			o, "why",
			"Without it the device can't go on elsewhere, so programs such as QEMU refuse to migrate");
		finding_set(
			o, "next",
			"Try a newer kernel's driver, firmware or tools of the vendor (some devices need it switched on there), or unplug the device for the migration");
		return false;
	}
	flags = call.data.migration.flags;
	finding_set(o, "what", "its state can be saved%s%s",
		    flags & PRE_COPY ? ", in part while it runs (pre-copy)" :
				       " (stop-copy)",
		    flags & VFIO_MIGRATION_P2P ? ", and with peers (P2P)" : "");
	return true;
}

/* Is the log needed: does nothing else say what the device writes? */
static bool needs_log(const struct why *w, const json_t *device)
{
	return !device || (device_has_iommu(device) &&
			   !json_is_true(device_dirty_bits(w, device)));
}

static void explain_log(struct why *w, const char *about, const json_t *device,
			int fd)
{
	struct call call;
	int ret = ask(fd,
		      VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
		      &call);
	bool missed = ret && needs_log(w, device);
	json_t *o = finding_add(w, missed ? FINDING_SLOWS : FINDING_OK,
				"device_log", about);

	if (!ret) {
		w->nr_logs++;
		finding_set(
			o, "what",
			"it keeps a log of its own writes, which programs such as QEMU use");
		return;
	}
	finding_set(o, "what", "it keeps no log of its own writes%s",
		    missed ? "" : ", and needs none");
	if (!missed)
		return;
	finding_set(
		o, "why",
		"Only such a log, or an IOMMU's dirty bits, say which pages it has written");
	finding_set(
		o, "next",
		"If its IOMMU has none, use a device that keeps a log, as some of mlx5, pds and others with a vendor's VFIO driver do");
}

void feature_explain(struct why *w, const char *about, const json_t *device,
		     int fd)
{
	if (explain_migration(w, about, device, fd))
		explain_state(w, about, fd);
	explain_log(w, about, device, fd);
}
