/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Unread: ranges whose log went unread, because their mappings were unmapped without
 * a bitmap while writes were logged. A reader that wants an exact copy asks whether
 * that has happened to its ranges (DMATRACK_GET_LOG).
 *
 * Each such unmap has a serial number. There is room for DMT_UNREAD_RANGES ranges: when it is
 * used up, the new range and the nearest one become one that covers both and everything
 * between. So a range that was not unmapped may count as unread, but never the reverse.
 *
 * The container's lock protects it.
 */
#ifndef DMT_CORE_UNREAD_H
#define DMT_CORE_UNREAD_H

#include "host.h"

#define DMT_UNREAD_RANGES 32U

/**
 * struct dmt_unread - ranges whose log went unread
 * @serial: number of the latest unmap; 0: there was none
 * @nr: number of ranges
 * @range: array of ranges, in no order; they may overlap. @serial: number of the unmap
 */
struct dmt_unread {
	u64 serial;
	unsigned int nr;
	struct {
		u64 iova;
		u64 last;
		u64 serial;
	} range[DMT_UNREAD_RANGES];
};

/* Add [iova, last], which was unmapped while its log was unread. */
void dmt_unread_add(struct dmt_unread *u, u64 iova, u64 last);

/* Return: serial number of the latest such unmap that overlaps [iova, last]; 0: there is none */
u64 dmt_unread_latest(const struct dmt_unread *u, u64 iova, u64 last);

/* Forget all ranges, when logging begins again. Serial numbers continue. */
static inline void dmt_unread_clear(struct dmt_unread *u)
{
	u->nr = 0;
}

#endif
