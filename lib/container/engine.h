/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The engine's references, which views hold, so that it may be destroyed before they are closed. */
#ifndef DML_CONTAINER_ENGINE_H
#define DML_CONTAINER_ENGINE_H

struct dmatrack_engine;

void dml_engine_get(struct dmatrack_engine *e);
/* The last one frees it: dmatrack_engine_destroy()'s, or a view's. */
void dml_engine_put(struct dmatrack_engine *e);

#endif
