// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Opens the container that a command works on. */
#include <errno.h>
#include <stdio.h>

#include "cli.h"
#include "dmatrack.h"

const char *cli_container_device(char *full, const char *device)
{
	unsigned int bus, slot, function;
	int end = 0;

	/* lspci prints 00:03.0 */
	if (sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) !=
		    3 ||
	    end != 7 || device[end])
		return device;
	snprintf(full, CLI_TEXT, "0000:%s", device);
	return full;
}

int cli_container_open(struct dmatrack **t, const char *device,
		       unsigned int type, unsigned int engine_flags)
{
	char full[CLI_TEXT];
	int ret;

	if (device)
		device = cli_container_device(full, device);
	ret = device ? dmatrack_open_vfio(t, device, type) :
		       dmatrack_open_engine(t, type, engine_flags);
	if (!ret)
		return 0;
	cli_error("%s", cli_error_why(ret));
	return device && ret == -EINVAL ? CLI_USAGE : CLI_FAILED;
}
