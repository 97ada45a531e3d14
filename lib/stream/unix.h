/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Unix sockets: their addresses, and which process may listen at one. */
#ifndef DMT_LIB_UNIX_H
#define DMT_LIB_UNIX_H

#include <sys/un.h>

#include "lib/util/wait.h"

/* Return: 0 or -EINVAL; dmatrack_error() says more */
int dmt_unix_address(struct sockaddr_un *sun, const char *path);

/*
 * Bind @fd and listen, in place of a process that has gone, too. @limit: of the wait while another
 * process is about to listen there. Return: 0; -EADDRINUSE, -ETIMEDOUT, -ECANCELED, what
 * bind(2) and open(2) have; dmatrack_error() says more
 */
int dmt_unix_listen(int fd, const struct sockaddr_un *sun,
		    const struct dmt_limit *limit);

#endif
