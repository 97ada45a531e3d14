// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "model.h"

#define MAP_R VFIO_DMA_MAP_FLAG_READ
#define MAP_W VFIO_DMA_MAP_FLAG_WRITE

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	model_forget(m, 0, MODEL_WINDOW);
}

/* Mappings ----------------------------------------------------------------- */

static int free_slot(const struct model *m)
{
	int n;

	for (n = 0; n < MODEL_MAPPINGS && m->mapping[n].prot; n++)
		;
	return n < MODEL_MAPPINGS ? n : -1;
}

long model_map(struct model *m, uint64_t first, uint64_t count,
	       unsigned int prot)
{
	int slot = free_slot(m);
	uint64_t n;

	for (n = first; n < first + count; n++)
		if (m->page[n].mapping >= 0)
			return -EEXIST;
	if (slot < 0)
		return -ENOSPC;
	m->mapping[slot] = (struct model_mapping){ first, count, prot };
	m->nr++;
	for (n = first; n < first + count; n++)
		m->page[n] = (struct model_page){ .mapping = slot };
	return 0;
}

long model_unmap(const struct model *m, uint64_t first, uint64_t count)
{
	uint64_t n, pages = 0;
	int at = m->page[first].mapping;

	if (at >= 0 && m->mapping[at].first != first)
		return -EINVAL;
	at = m->page[first + count - 1].mapping;
	if (at >= 0 &&
	    m->mapping[at].first + m->mapping[at].count != first + count)
		return -EINVAL;
	for (n = first; n < first + count; n++)
		pages += m->page[n].mapping >= 0;
	return pages * MODEL_PAGE;
}

void model_forget(struct model *m, uint64_t first, uint64_t count)
{
	uint64_t n;

	for (n = first; n < first + count; n++) {
		int at = m->page[n].mapping;

		if (at >= 0 && m->mapping[at].prot) {
			m->mapping[at].prot = 0;
			m->nr--;
		}
		m->page[n] = (struct model_page){ .mapping = -1 };
	}
}

/* The log ------------------------------------------------------------------ */

bool model_reports(const struct model *m, unsigned int view, uint64_t first,
		   uint64_t count)
{
	const struct model_page *p = &m->page[first], *end = p + count;

	for (; p < end; p++)
		if (p->mapping >= 0 && (p->dirty >> view & 1 || p->written))
			return true;
	return false;
}

void model_clean(struct model *m, unsigned int view, uint64_t first,
		 uint64_t count)
{
	uint64_t n;

	for (n = first; n < first + count; n++)
		m->page[n].dirty &= ~(1U << view);
}

void model_track(struct model *m, unsigned int view, bool on)
{
	m->tracking &= ~(1U << view);
	m->tracking |= (unsigned int)on << view;
	model_clean(m, view, 0, MODEL_WINDOW);
}

/* The device --------------------------------------------------------------- */

/* May a device use a page with all of these rights? 0 or -errno */
static long may(const struct model *m, uint64_t page, unsigned int rights)
{
	int at = m->page[page].mapping;

	if (at < 0)
		return -EINVAL;
	return rights & ~m->mapping[at].prot ? -EPERM : 0;
}

/* A copy needs both rights to write, as in the stock driver. */
long model_write(struct model *m, uint64_t at, uint64_t size)
{
	uint64_t n, last = (at + size - 1) / MODEL_PAGE;

	for (n = at / MODEL_PAGE; n <= last; n++) {
		long ret = may(m, n, MAP_R | MAP_W);

		if (ret)
			return ret;
		m->page[n].dirty |= m->tracking;
	}
	return 0;
}

long model_read(const struct model *m, uint64_t at, uint64_t size)
{
	uint64_t n, last = (at + size - 1) / MODEL_PAGE;
	long ret = 0;

	for (n = at / MODEL_PAGE; n <= last && !ret; n++)
		ret = may(m, n, MAP_R);
	return ret;
}

long model_mark(struct model *m, uint64_t at, uint64_t size)
{
	uint64_t n, first = at / MODEL_PAGE,
		    last = (at + size - 1) / MODEL_PAGE;

	for (n = first; n <= last; n++) {
		long ret = may(m, n, MAP_W);

		if (ret)
			return ret;
	}
	for (n = first; n <= last; n++)
		m->page[n].dirty |= m->tracking;
	return 0;
}

long model_pin(const struct model *m, uint64_t first, uint64_t count,
	       bool write)
{
	uint64_t n;
	long ret = 0;

	for (n = first; n < first + count && !ret; n++)
		ret = may(m, n, write ? MAP_W : MAP_R);
	return ret;
}

void model_pinned(struct model *m, uint64_t first, uint64_t count, bool write)
{
	uint64_t n;

	for (n = first; n < first + count; n++) {
		m->page[n].pins++;
		m->page[n].written |= write;
	}
}

void model_unpinned(struct model *m, uint64_t first, uint64_t count)
{
	uint64_t n;

	for (n = first; n < first + count; n++) {
		struct model_page *p = &m->page[n];

		if (--p->pins)
			continue;
		if (p->written)
			p->dirty |= m->tracking;
		p->written = false;
	}
}

bool model_has_pins(const struct model *m, uint64_t first, uint64_t count)
{
	uint64_t n;

	for (n = first; n < first + count; n++)
		if (m->page[n].pins)
			return true;
	return false;
}
