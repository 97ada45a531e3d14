/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Unread: ranges whose log went unread, because their mappings were unmapped without
 * a bitmap while writes were logged. A reader that wants an exact copy asks whether
 * that has happened to its ranges (DMATRACK_GET_LOG).
 *
 * Each such unmap has a serial number. Room is for some ranges only: when it is used
 * up, the new range and the nearest one become one that covers both and what lies
 * between. So an answer may name a range that was not unmapped, but never omits one
 * that was.
 *
 * One lock, the container's.
 */
#ifndef DMT_CORE_UNREAD_H
#define DMT_CORE_UNREAD_H

#include "host.h"

#define DMT_UNREAD_RANGES	32U

/**
 * struct dmt_unread - ranges whose log went unread
 * @serial: number of the latest unmap; 0: there was none
 * @nr: how many ranges
 * @range: in no order; overlapping or not
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

/* [iova, last] was unmapped, its log unread. */
void dmt_unread_add(struct dmt_unread *u, u64 iova, u64 last);

/* The serial number of the latest such unmap that meets [iova, last]; 0: none */
u64 dmt_unread_latest(const struct dmt_unread *u, u64 iova, u64 last);

/* Logging begins anew: nothing is unread. Serial numbers go on. */
static inline void dmt_unread_clear(struct dmt_unread *u)
{
	u->nr = 0;
}

#endif
