/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Hint: the mapping that a look-up found last; one per thread or processor, as the host has it.
 * In a process another one is the mapping that the last mark was in: engine/mark.h.
 */
#ifndef DMT_CORE_HINT_H
#define DMT_CORE_HINT_H

struct dmt_mapping;

/**
 * struct dmt_hint - the mapping that dmt_space_find() found last
 * @epoch: epoch of the space, read before @mapping was found in it; 0: none
 * @mapping: may be accessed while the space's epoch is still @epoch, see space.h
 */
struct dmt_hint {
	u64 epoch;
	struct dmt_mapping *mapping;
};

#endif
