/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Metrics: the numbers of an interval in Prometheus's text format, version 0.0.4 */
#ifndef CLI_WATCH_METRICS_H
#define CLI_WATCH_METRICS_H

#include <stdio.h>

#include "serve.h"

/* Print them. */
void metrics_print(const struct serve *s, FILE *out);

#endif
