// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sync: see image_sync.h. */
#include <errno.h>
#include <unistd.h>

#include "image_sync.h"
#include "lib/util/thread.h"

#define ENOUGH (64u << 20) /* bytes */

static int sync_now(int fd)
{
	int ret;

	do
		ret = fdatasync(fd);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static void *sync_thread(void *opaque)
{
	struct dml_image_sync *s = opaque;

	s->error = sync_now(s->fd);
	atomic_store(&s->done, true);
	return NULL;
}

/* If no thread can be made, dml_image_sync_wait() does the work. */
static void begin(struct dml_image_sync *s, int fd)
{
	s->fd = fd;
	atomic_store(&s->done, false);
	s->running = !dml_thread_create(&s->thread, sync_thread, s);
	s->left = 0;
}

static void join(struct dml_image_sync *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void dml_image_sync_written(struct dml_image_sync *s, int fd, uint64_t size)
{
	s->left += size;
	if (s->left < ENOUGH || (s->running && !atomic_load(&s->done)))
		return;
	join(s);
	if (!s->error)
		begin(s, fd);
}

int dml_image_sync_wait(struct dml_image_sync *s, int fd)
{
	join(s);
	if (!s->error)
		s->error = sync_now(fd);
	s->left = 0;
	return s->error;
}

void dml_image_sync_end(struct dml_image_sync *s)
{
	join(s);
	s->error = 0;
	s->left = 0;
}
