// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: a view, which is one more reader of a container: of the kernel's driver by a descriptor,
 * or of an engine.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend.h"
#include "core/tracking.h"
#include "core/type1.h"
#include "engine.h"
#include "engine/host.h"
#include "engine/reclaim.h"
#include "lib/util/error.h"
#include "view.h"

/**
 * struct view - a view
 * @base: the part common to all backends
 * @fd: its descriptor, with the kernel's driver
 * @v: the view, in an engine
 * @e: the engine
 */
struct view {
	struct dmatrack base;
	int fd;
	struct dmt_view v;
	struct dmatrack_engine *e;
};

static struct view *to_view(struct dmatrack *t)
{
	return (struct view *)t;
}

/* Return: a view with the features of @t, or NULL */
static struct view *view_new(const struct dmatrack *t,
			     const struct dmatrack_ops *ops)
{
	struct view *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->base.ops = ops;
	w->base.driver = t->driver;
	w->base.device_fd = -1;
	w->base.features = t->features;
	w->base.is_view = true;
	w->fd = -1;
	return w;
}

/* In the kernel ------------------------------------------------------------------ */

static long fd_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	int ret = ioctl(to_view(t)->fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static void fd_close(struct dmatrack *t)
{
	close(to_view(t)->fd);
	free(t);
}

static const struct dmatrack_ops fd_ops = {
	.ioctl = fd_ioctl,
	.close = fd_close,
	.fixed = true,
};

int dml_view_open_fd(struct dmatrack **view, struct dmatrack *t, int container)
{
	struct dmatrack_view_open open = { .argsz = sizeof(open) };
	struct view *w = view_new(t, &fd_ops);
	int err;

	if (!w)
		return -ENOMEM;
	w->fd = ioctl(container, DMATRACK_OPEN_VIEW, &open);
	if (w->fd >= 0) {
		*view = &w->base;
		return 0;
	}
	err = -errno;
	free(w);
	return err;
}

/* In this process ---------------------------------------------------------------- */

static long engine_ioctl(struct dmatrack *t, unsigned long cmd,
			 unsigned long arg)
{
	long ret = dmt_view_ioctl(&to_view(t)->v, (unsigned int)cmd, arg);

	dmt_reclaim();
	return ret;
}

static void engine_close(struct dmatrack *t)
{
	struct view *w = to_view(t);

	dmt_tracking_end(&w->v);
	dmt_reclaim();
	dml_engine_put(w->e);
	free(w);
}

static const struct dmatrack_ops engine_ops = {
	.ioctl = engine_ioctl,
	.close = engine_close,
	.fixed = true,
};

int dml_view_open_engine(struct dmatrack **view, struct dmatrack *t)
{
	struct view *w = view_new(t, &engine_ops);
	int err;

	if (!w)
		return -ENOMEM;
	w->e = t->engine;
	w->v.c = &t->engine->c;
	err = dmt_tracking_start(&w->v);
	dmt_reclaim();
	if (err) {
		free(w);
		return err;
	}
	dml_engine_get(w->e);
	*view = &w->base;
	return 0;
}

/* -------------------------------------------------------------------------------- */

int dmatrack_open_view(struct dmatrack **view, struct dmatrack *t)
{
	int err;

	if (dml_lacks(view, t))
		return -EINVAL;
	if (!t->ops->open_view || !(t->features & DMATRACK_FEATURE_VIEWS))
		return dml_error(
			-EOPNOTSUPP,
			"the %s driver has one reader: another one would take pages away "
			"from it; containers of dmatrack have views",
			t->driver);
	err = t->ops->open_view(view, t);
	if (!err)
		return 0;
	return dml_error(err, "opening a view: %s",
			 err == -ENOSPC ?
				 "the container has 64, and can't have more" :
				 strerrordesc_np(-err));
}
