/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Unix sockets: their addresses, and listening at one. */
#ifndef DML_STREAM_UNIX_H
#define DML_STREAM_UNIX_H

#include <sys/un.h>

#include "lib/util/limit.h"

/* Return: 0 or -EINVAL, with a text */
int dml_unix_address(struct sockaddr_un *sun, const char *path);

/*
 * Bind @fd and listen, and replace the socket that an ended process left. @limit: of the wait while
 * another process is about to listen there. Return: 0; -EADDRINUSE, -ETIMEDOUT, -ECANCELED, or as
 * bind(2) and open(2); with a text
 */
int dml_unix_listen(int fd, const struct sockaddr_un *sun,
		    const struct dml_limit *limit);

#endif
