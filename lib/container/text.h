/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Text: is there one of an error? For functions of libdmatrack that take few nanoseconds. */
#ifndef DML_CONTAINER_TEXT_H
#define DML_CONTAINER_TEXT_H

#include <stdbool.h>

#include "dmatrack.h"

/* Whether dmatrack_error() has a text for this thread */
extern __thread bool dml_text_is_set;

#endif
