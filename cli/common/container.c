// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The container that a command works on, and what's said if there is none. */
#include <errno.h>

#include "cli.h"
#include "dmatrack.h"

int cli_container_open(struct dmatrack **t, const char *device,
		       unsigned int type, unsigned int engine_flags)
{
	int ret = device ? dmatrack_open_vfio(t, device, type) :
			   dmatrack_open_engine(t, type, engine_flags);

	if (!ret)
		return 0;
	cli_error("%s", cli_error_why(ret));
	return device && ret == -EINVAL ? CLI_USAGE : CLI_FAILED;
}
