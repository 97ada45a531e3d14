/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what containers, their users and devices' drivers do; dmatrack-events(7) has a line for each, and
 * commands that use them. A container is named by its (hashed) address, the same in all events.
 *
 * While nobody listens, an event is an instruction that does nothing.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dmatrack

#if !defined(DMT_MODULE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DMT_MODULE_TRACE_H

#include <linux/tracepoint.h>

struct dmt_container;

/* It would take these macros for functions. */
/* clang-format off */

/* A range of a container, and how the call for it ended */
DECLARE_EVENT_CLASS(dmatrack_range,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, long ret),
	TP_ARGS(c, iova, last, ret),
	TP_STRUCT__entry(
		__field(const void *, c)
		__field(u64, iova)
		__field(u64, last)
		__field(long, ret)
	),
	TP_fast_assign(
		__entry->c = c;
		__entry->iova = iova;
		__entry->last = last;
		__entry->ret = ret;
	),
	TP_printk("container=%p iova=0x%llx last=0x%llx ret=%ld", __entry->c,
		  __entry->iova, __entry->last, __entry->ret)
);

/* MAP_DMA */
TRACE_EVENT(dmatrack_map,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		 u32 prot, int ret),
	TP_ARGS(c, iova, last, vaddr, prot, ret),
	TP_STRUCT__entry(
		__field(const void *, c)
		__field(u64, iova)
		__field(u64, last)
		__field(u64, vaddr)
		__field(u32, prot)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->c = c;
		__entry->iova = iova;
		__entry->last = last;
		__entry->vaddr = vaddr;
		__entry->prot = prot;
		__entry->ret = ret;
	),
	TP_printk("container=%p iova=0x%llx last=0x%llx vaddr=0x%llx prot=%u ret=%d",
		  __entry->c, __entry->iova, __entry->last, __entry->vaddr,
		  __entry->prot, __entry->ret)
);

/* UNMAP_DMA */
DEFINE_EVENT(dmatrack_range, dmatrack_unmap,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, long ret),
	TP_ARGS(c, iova, last, ret)
);

/* A driver pins or unpins pages. ret: number of pages; of an unpin, 0 */
DEFINE_EVENT(dmatrack_range, dmatrack_pin,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, long ret),
	TP_ARGS(c, iova, last, ret)
);
DEFINE_EVENT(dmatrack_range, dmatrack_unpin,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, long ret),
	TP_ARGS(c, iova, last, ret)
);

/* A driver's dmatrack_mark_dirty() failed. */
DEFINE_EVENT(dmatrack_range, dmatrack_mark_failed,
	TP_PROTO(const struct dmt_container *c, u64 iova, u64 last, long ret),
	TP_ARGS(c, iova, last, ret)
);

/* A view is switched on or off. */
DECLARE_EVENT_CLASS(dmatrack_view,
	TP_PROTO(const struct dmt_container *c, const void *view, int ret),
	TP_ARGS(c, view, ret),
	TP_STRUCT__entry(
		__field(const void *, c)
		__field(const void *, view)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->c = c;
		__entry->view = view;
		__entry->ret = ret;
	),
	TP_printk("container=%p view=%p ret=%d", __entry->c, __entry->view,
		  __entry->ret)
);
DEFINE_EVENT(dmatrack_view, dmatrack_start,
	TP_PROTO(const struct dmt_container *c, const void *view, int ret),
	TP_ARGS(c, view, ret)
);
DEFINE_EVENT(dmatrack_view, dmatrack_stop,
	TP_PROTO(const struct dmt_container *c, const void *view, int ret),
	TP_ARGS(c, view, ret)
);

/* A harvest by a view; @pages: of the smallest size. @peek: they stay dirty */
TRACE_EVENT(dmatrack_harvest,
	TP_PROTO(const struct dmt_container *c, const void *view, u64 iova,
		 u64 last, bool peek, u64 pages, u64 ns, int ret),
	TP_ARGS(c, view, iova, last, peek, pages, ns, ret),
	TP_STRUCT__entry(
		__field(const void *, c)
		__field(const void *, view)
		__field(u64, iova)
		__field(u64, last)
		__field(bool, peek)
		__field(u64, pages)
		__field(u64, ns)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->c = c;
		__entry->view = view;
		__entry->iova = iova;
		__entry->last = last;
		__entry->peek = peek;
		__entry->pages = pages;
		__entry->ns = ns;
		__entry->ret = ret;
	),
	TP_printk("container=%p view=%p iova=0x%llx last=0x%llx peek=%d pages=%llu ns=%llu ret=%d",
		  __entry->c, __entry->view, __entry->iova, __entry->last,
		  __entry->peek, __entry->pages, __entry->ns, __entry->ret)
);

/* There was no memory for a log: more counts as written than was. */
TRACE_EVENT(dmatrack_no_memory,
	TP_PROTO(size_t size),
	TP_ARGS(size),
	TP_STRUCT__entry(
		__field(size_t, size)
	),
	TP_fast_assign(
		__entry->size = size;
	),
	TP_printk("size=%zu", __entry->size)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
