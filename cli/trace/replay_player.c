// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Carries out a call, on a container or by a device in it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "argument.h"
#include "dmatrack_engine.h"
#include "replay.h"

#define FILL 0x5a /* byte to write if the trace gives no value */

/*
 * The call's structure, and room behind it: GET_INFO writes argsz bytes, which the parser
 * limits to this size.
 */
static union {
	union trace_argument is;
	unsigned char room[65536];
} arg;

/* Containers and devices ------------------------------------------------------------ */

int replay_player_open(struct replay_player *p, unsigned int type)
{
	replay_player_close(p);
	return cli_container_open(&p->t, p->device,
				  p->v1 ? VFIO_TYPE1_IOMMU : type,
				  DMATRACK_ENGINE_CHECKED);
}

void replay_player_close(struct replay_player *p)
{
	dev_close(p->d);
	dmatrack_close(p->t);
	p->d = NULL;
	p->t = NULL;
}

/* Open the device only when a call needs it: edu maps memory of its own. */
static int need_device(struct replay_player *p, const struct replay_call *call)
{
	int ret = p->d ? 0 : dev_open(&p->d, p->t);

	if (!ret)
		return 0;
	cli_error(
		"%s:%u: %s: %s", p->trace, call->line,
		p->device ? p->device : "engine",
		ret == -ENODEV ?
			"not a device that can be told to write (dmt_testdev, edu)" :
			strerror(-ret));
	return CLI_FAILED;
}

/* Calls on the container -------------------------------------------------------------- */

static uint32_t argsz(const struct replay_call *call, size_t right)
{
	return call->has & REPLAY_HAS_ARGSZ ? call->argsz : (uint32_t)right;
}

static uint32_t flags(const struct replay_call *call, uint32_t right)
{
	return call->has & REPLAY_HAS_FLAGS ? call->flags : right;
}

static void *new_argument(void)
{
	return memset(&arg, 0, sizeof(arg));
}

static long do_ioctl(struct replay_player *p, unsigned long cmd)
{
	return dmatrack_ioctl(p->t, cmd, (unsigned long)&arg);
}

static int run_map(struct replay_player *p, const struct replay_call *call,
		   struct replay_result *r)
{
	struct vfio_iommu_type1_dma_map *map = new_argument();
	void *memory;
	int ret = replay_memory_of(&p->memory, call, p->trace, &memory);

	if (ret)
		return ret;
	map->argsz = argsz(call, sizeof(*map));
	map->flags = flags(call, call->prot);
	map->vaddr = (uintptr_t)memory;
	map->iova = call->iova;
	map->size = call->size;
	r->ret = do_ioctl(p, VFIO_IOMMU_MAP_DMA);
	return 0;
}

static int refuse_bitmap(struct replay_player *p,
			 const struct replay_call *call, uint64_t bytes)
{
	char size[CLI_TEXT];

	cli_error(
		"%s:%u: no room for a bitmap of %s; if the call is to fail, say data=bad",
		p->trace, call->line, cli_text_size(size, bytes));
	return CLI_FAILED;
}

/* Allocate a bitmap, and describe it to the driver in @bitmap. */
static int new_bitmap(struct replay_player *p, const struct replay_call *call,
		      struct vfio_bitmap *bitmap, struct replay_result *r)
{
	uint64_t need = dmatrack_bitmap_size(call->size, call->page_size);
	uint64_t room;

	bitmap->pgsize = call->page_size;
	bitmap->size = call->has & REPLAY_HAS_BYTES ? call->bytes : need;
	room = bitmap->size > need ? bitmap->size : need;
	if (call->pointer != REPLAY_POINTER_GOOD) {
		bitmap->data =
			replay_memory_wrong(&p->memory, call->pointer, room);
		return 0;
	}
	if (room > REPLAY_BITMAP)
		return refuse_bitmap(p, call, room);
	r->mapped = room ? room : 1;
	r->bitmap = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bitmap == MAP_FAILED) {
		r->bitmap = NULL;
		return refuse_bitmap(p, call, room);
	}
	bitmap->data = (void *)r->bitmap;
	if (call->page_size)
		r->npages = call->size / call->page_size +
			    !!(call->size % call->page_size);
	return 0;
}

static int run_unmap(struct replay_player *p, const struct replay_call *call,
		     struct replay_result *r)
{
	struct vfio_iommu_type1_dma_unmap *unmap = new_argument();
	bool bitmap = call->with_bitmap;
	int ret = bitmap ? new_bitmap(p, call, &arg.is.bitmap, r) : 0;

	if (ret)
		return ret;
	unmap->argsz = argsz(
		call, sizeof(*unmap) + (bitmap ? sizeof(arg.is.bitmap) : 0));
	unmap->flags = flags(
		call, (bitmap ? VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP : 0) |
			      (call->everything ? VFIO_DMA_UNMAP_FLAG_ALL : 0));
	unmap->iova = call->iova;
	unmap->size = call->size;
	r->ret = do_ioctl(p, VFIO_IOMMU_UNMAP_DMA);
	if (!r->ret)
		r->ret = (long)unmap->size;
	return 0;
}

static void run_switch(struct replay_player *p, const struct replay_call *call,
		       struct replay_result *r)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty = new_argument();

	dirty->argsz = argsz(call, sizeof(*dirty));
	dirty->flags = flags(call, call->verb == REPLAY_START ?
					   VFIO_IOMMU_DIRTY_PAGES_FLAG_START :
					   VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	r->ret = do_ioctl(p, VFIO_IOMMU_DIRTY_PAGES);
}

static int run_harvest(struct replay_player *p, const struct replay_call *call,
		       struct replay_result *r)
{
	int ret;

	new_argument();
	ret = new_bitmap(p, call, &arg.is.get.bitmap, r);
	if (ret)
		return ret;
	arg.is.dirty.argsz =
		argsz(call, sizeof(arg.is.dirty) + sizeof(arg.is.get));
	arg.is.dirty.flags =
		flags(call, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);
	arg.is.get.iova = call->iova;
	arg.is.get.size = call->size;
	r->ret = do_ioctl(p, VFIO_IOMMU_DIRTY_PAGES);
	return 0;
}

static void run_info(struct replay_player *p, const struct replay_call *call,
		     struct replay_result *r)
{
	struct vfio_iommu_type1_info *info = new_argument();

	info->argsz = argsz(call, sizeof(*info));
	info->flags = flags(call, 0);
	r->ret = do_ioctl(p, VFIO_IOMMU_GET_INFO);
}

/* Calls of the device -------------------------------------------------------------- */

/* Allocate data for sizes up to TDEV_SIZE_MAX; the device refuses larger ones. */
static int new_data(struct replay_player *p, const struct replay_call *call,
		    unsigned char **data)
{
	size_t size = call->size && call->size <= TDEV_SIZE_MAX ? call->size :
								  1;

	*data = malloc(size);
	if (!*data) {
		cli_error("%s:%u: no memory", p->trace, call->line);
		return CLI_FAILED;
	}
	memset(*data,
	       call->has & REPLAY_HAS_VALUE ? (int)(call->value & 255) : FILL,
	       size);
	return 0;
}

static int run_write(struct replay_player *p, const struct replay_call *call,
		     struct replay_result *r)
{
	unsigned char *data;
	int ret = new_data(p, call, &data);

	if (ret)
		return ret;
	if (call->verb == REPLAY_WRITE)
		r->ret = dev_write(p->d, call->iova, data, call->size);
	else
		r->ret = dev_pinned_write(p->d, call->iova, data, call->size);
	free(data);
	return 0;
}

static int run_read(struct replay_player *p, const struct replay_call *call,
		    struct replay_result *r)
{
	unsigned char *data;
	int ret = new_data(p, call, &data);

	if (ret)
		return ret;
	r->ret = dev_read(p->d, call->iova, data, call->size);
	r->has_value = !r->ret;
	r->value = data[0];
	r->mixed = !r->ret && memcmp(data, data + 1, call->size - 1);
	free(data);
	return 0;
}

/* Not every kind of device can do every call. */
static int check_able(struct replay_player *p, const struct replay_call *call,
		      const struct replay_result *r)
{
	if (r->ret != -EOPNOTSUPP || call->expect.ret == -EOPNOTSUPP)
		return 0;
	cli_error(
		"%s:%u: %s: a device of the kind '%s' on the driver '%s' can't",
		p->trace, call->line, replay_parse_verb_name(call->verb),
		dev_kind(p->d), dmatrack_driver(p->t));
	return CLI_FAILED;
}

static int run_device(struct replay_player *p, const struct replay_call *call,
		      struct replay_result *r)
{
	int ret = need_device(p, call);

	if (ret)
		return ret;
	switch (call->verb) {
	case REPLAY_READ:
		ret = run_read(p, call, r);
		break;
	case REPLAY_PIN:
		r->ret = dev_pin(p->d, call->iova, call->size, call->prot);
		break;
	case REPLAY_UNPIN:
		r->ret = dev_unpin(p->d, call->iova, call->size);
		break;
	case REPLAY_MARK:
		r->ret = dev_mark(p->d, call->iova, call->size);
		break;
	default:
		ret = run_write(p, call, r);
	}
	return ret ? ret : check_able(p, call, r);
}

int replay_player_run(struct replay_player *p, const struct replay_call *call,
		      struct replay_result *r)
{
	*r = (struct replay_result){ 0 };
	switch (call->verb) {
	case REPLAY_CONTAINER:
		return replay_player_open(p, call->type);
	case REPLAY_MAP:
		return run_map(p, call, r);
	case REPLAY_UNMAP:
		return run_unmap(p, call, r);
	case REPLAY_START:
	case REPLAY_STOP:
		run_switch(p, call, r);
		return 0;
	case REPLAY_HARVEST:
		return run_harvest(p, call, r);
	case REPLAY_INFO:
		run_info(p, call, r);
		return 0;
	case REPLAY_CHECK:
		r->ret = dmatrack_ioctl(p->t, VFIO_CHECK_EXTENSION,
					call->value & UINT16_MAX);
		return 0;
	case REPLAY_IOCTL:
		r->ret = dmatrack_ioctl(p->t, call->iova, call->size);
		return 0;
	}
	return run_device(p, call, r);
}

void replay_player_free(struct replay_result *r)
{
	if (r->bitmap)
		munmap(r->bitmap, r->mapped);
	r->bitmap = NULL;
}
