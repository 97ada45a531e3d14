/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Digest: one number for memory, from the hashes of its chunks, so that what is
 * zero can be skipped where that is known, and so that the chunks' hashes that an image keeps
 * anyway are of use.
 *
 * It is XXH3-128 over, for each region: IOVA, size (64 bits, little-endian), then for
 * each chunk of 1 MiB from the region's begin on (the last may be shorter) 16
 * bytes: XXH3-128 of its content, or zeros where its content is zeros.
 */
#ifndef DMT_LIB_DIGEST_H
#define DMT_LIB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

#define DMT_CHUNK	(1u << 20)

/* Return: whether all @size bytes, at least 1, are zero */
bool dmt_is_zero(const void *data, size_t size);

/* Zeros for zeros. Return: false for these */
bool dmt_chunk_hash(uint8_t hash[16], const void *data, size_t size);

struct dmt_digest {
	XXH3_state_t state;
};

void dmt_digest_init(struct dmt_digest *d);
void dmt_digest_region(struct dmt_digest *d, uint64_t iova, uint64_t size);
void dmt_digest_chunk(struct dmt_digest *d, const uint8_t hash[16]);
void dmt_digest_zeros(struct dmt_digest *d, uint64_t chunks);
void dmt_digest_end(struct dmt_digest *d, uint8_t digest[16]);

#endif
