// SPDX-License-Identifier: GPL-2.0-only
/*
 * View: a view's descriptor, which DMATRACK_OPEN_VIEW returns.
 *
 * The file holds a reference to the host, so the view may outlast the container: calls on it then find the
 * container closed. It holds the module by its operations' owner.
 */
#include <linux/anon_inodes.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "core/stats.h"
#include "core/tracking.h"
#include "kernel_host.h"
#include "uapi/dmatrack.h"

/**
 * struct dmt_view_file - a view and what its file holds
 * @v: the view
 * @host: host of its container
 */
struct dmt_view_file {
	struct dmt_view v;
	struct dmt_host *host;
};

static void view_end(struct dmt_view_file *f)
{
	dmt_tracking_end(&f->v);
	dmt_host_put(f->host);
	kfree(f);
}

static int view_release(struct inode *inode, struct file *file)
{
	view_end(file->private_data);
	return 0;
}

static long view_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct dmt_view_file *f = file->private_data;

	return dmt_view_ioctl(&f->v, cmd, arg);
}

/* A line for each member of struct dmatrack_get_stats, and of the view's own */
static void view_show(struct seq_file *s, struct file *file)
{
	struct dmt_view_file *f = file->private_data;
	struct dmatrack_get_log log = { .last = ~0ULL };
	struct dmatrack_get_stats all = {};

	if (dmt_stats_get(&f->host->c, &all) ||
	    dmt_tracking_describe(&f->v, &log)) {
		seq_puts(s, "dmatrack-closed:\t1\n");
		return;
	}
	seq_printf(s, "dmatrack-on:\t%d\n",
		   !!(log.flags & DMATRACK_LOG_TRACKING));
	seq_printf(s, "dmatrack-taken:\t%llu\n", log.taken);
	seq_printf(s, "dmatrack-unread:\t%llu\n", log.unread);
	seq_printf(s, "dmatrack-dirty-bits:\t%d\n",
		   !!(all.flags & DMATRACK_STATS_DIRTY_BITS));
	seq_printf(s, "dmatrack-everything:\t%d\n",
		   !!(all.flags & DMATRACK_STATS_EVERYTHING));
	seq_printf(s, "dmatrack-mappings:\t%llu\n", all.mappings);
	seq_printf(s, "dmatrack-mapped:\t%llu\n", all.mapped);
	seq_printf(s, "dmatrack-pinned:\t%llu\n", all.pinned);
	seq_printf(s, "dmatrack-views:\t%llu\n", all.views);
	seq_printf(s, "dmatrack-log-memory:\t%llu\n", all.log_memory);
	seq_printf(s, "dmatrack-harvests:\t%llu\n", all.harvests);
}

static const struct file_operations view_fops = {
	.owner = THIS_MODULE,
	.release = view_release,
	.show_fdinfo = view_show,
	.unlocked_ioctl = view_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/**
 * dmt_view_open - DMATRACK_OPEN_VIEW
 * @host: host of the container, for which the caller has a reference
 * @arg: user pointer to a struct dmatrack_view_open
 *
 * Return: descriptor, or -errno
 */
int dmt_view_open(struct dmt_host *host, unsigned long arg)
{
	struct dmatrack_view_open open;
	struct dmt_view_file *f;
	int ret;

	if (dmt_copy_from_user(host, &open, (const void __user *)arg,
			       sizeof(open)))
		return -EFAULT;
	if (open.argsz < sizeof(open) || open.flags)
		return -EINVAL;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->v.c = &host->c;
	ret = dmt_tracking_start(&f->v);
	if (ret) {
		kfree(f);
		return ret;
	}
	refcount_inc(&host->users);
	f->host = host;
	ret = anon_inode_getfd("[dmatrack-view]", &view_fops, f,
			       O_RDWR | O_CLOEXEC);
	if (ret < 0)
		view_end(f);
	return ret;
}
