// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Backend: a container in this process. */
#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "dmatrack_engine.h"
#include "lib/util/error.h"
#include "view.h"

static long engine_ioctl(struct dmatrack *t, unsigned long cmd,
			 unsigned long arg)
{
	return dmatrack_engine_ioctl(t->engine, cmd, arg);
}

static void engine_close(struct dmatrack *t)
{
	dmatrack_engine_destroy(t->engine);
	free(t);
}

static const struct dmatrack_ops engine_ops = {
	.ioctl = engine_ioctl,
	.close = engine_close,
	.open_view = dml_view_open_engine,
};

int dmatrack_open_engine(struct dmatrack **t, unsigned int type,
			 unsigned int flags)
{
	struct dmatrack *e;
	int ret;

	if (dml_lacks(t))
		return -EINVAL;
	e = malloc(sizeof(*e));
	if (!e)
		return dml_error(-ENOMEM, "no memory");
	*e = (struct dmatrack){
		.ops = &engine_ops,
		.driver = "engine",
		.device_fd = -1,
	};
	ret = dmatrack_engine_create(&e->engine, type, flags);
	if (ret) {
		free(e);
		return ret;
	}
	e->features = dml_info_features(e);
	*t = e;
	return 0;
}
