/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Digest: one number for memory, from the hashes of its chunks, so that what is
 * zero can be skipped where that is known, and so that the chunks' hashes that an image keeps
 * anyway are of use.
 *
 * It is XXH3-128 over, for each region: IOVA, size (64 bits, little-endian), then for
 * each chunk of 1 MiB from the region's begin on (the last may be shorter) 16
 * bytes: its hash.
 *
 * A chunk's hash is a sum, modulo 2^128, over its blocks of 4 KiB: XXH3-128 of a block's
 * content, with the block's number in the chunk as seed, or 0 where it is zeros. So when a
 * block is written, the chunk's hash follows from what was there before, and what is there
 * now, and the rest of the chunk need not be read. The seed is what tells where in the chunk
 * a block is.
 */
#ifndef DML_UTIL_DIGEST_H
#define DML_UTIL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

#define DML_CHUNK	(1u << 20)
#define DML_BLOCK	4096u
#define DML_BLOCKS	(DML_CHUNK / DML_BLOCK)

typedef unsigned __int128 dml_sum;

/* Return: whether all @size bytes, at least 1, are zero */
bool dml_digest_is_zero(const void *data, size_t size);

/* Of @size bytes of a chunk, which begin with block @first */
dml_sum dml_digest_sum(unsigned int first, const void *data, size_t size);
void dml_digest_put(uint8_t hash[16], dml_sum sum);

/* Zeros for zeros. Return: false for these */
bool dml_digest_hash_chunk(uint8_t hash[16], const void *data, size_t size);

struct dml_digest {
	XXH3_state_t state;
};

void dml_digest_init(struct dml_digest *d);
void dml_digest_region(struct dml_digest *d, uint64_t iova, uint64_t size);
void dml_digest_chunk(struct dml_digest *d, const uint8_t hash[16]);
void dml_digest_zeros(struct dml_digest *d, uint64_t chunks);
void dml_digest_end(struct dml_digest *d, uint8_t digest[16]);

#endif
