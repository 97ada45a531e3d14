// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * fsdown: shut a file system down at once, as after a failure of its disk: all data that
 * isn't on disk is lost, the journal's end included.
 *
 *	fsdown FOLDER
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define SHUTDOWN     _IOR('X', 125, uint32_t) /* of ext4 and others */
#define NO_LOG_FLUSH 2u

int main(int argc, char **argv)
{
	uint32_t how = NO_LOG_FLUSH;
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;

	if (fd < 0 || ioctl(fd, SHUTDOWN, &how)) {
		perror("fsdown");
		return 1;
	}
	return 0;
}
