/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Views, as dmatrack_open_view() opens them; for the backends' @open_view. */
#ifndef DML_CONTAINER_VIEW_H
#define DML_CONTAINER_VIEW_H

struct dmatrack;

/* A view of @t, whose descriptor is @container; or whose engine is @t->engine. Return: 0 or -errno */
int dml_view_open_fd(struct dmatrack **view, struct dmatrack *t, int container);
int dml_view_open_engine(struct dmatrack **view, struct dmatrack *t);

#endif
