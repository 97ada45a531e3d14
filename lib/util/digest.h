/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Digest: a checksum of memory, computed from the hashes of its chunks, so that chunks known
 * to be zero can be skipped, and so that the chunk hashes that an image stores can be used.
 *
 * It is XXH3-128 over these bytes of each region: IOVA and size (64 bits each,
 * little-endian), then the 16-byte hash of each 1 MiB chunk, counted from the region's start
 * (the last chunk may be shorter).
 *
 * A chunk's hash is a sum, modulo 2^128, over its blocks of 4 KiB: XXH3-128 of a block's
 * content, with the block's number in the chunk as seed, or 0 for a block of zeros. So when a
 * block is written, the new hash of the chunk follows from the old and the new content of that
 * block, and the rest of the chunk need not be read. The seed makes the hash depend on the
 * block's place in the chunk.
 */
#ifndef DML_UTIL_DIGEST_H
#define DML_UTIL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

#define DML_CHUNK  (1u << 20)
#define DML_BLOCK  4096u
#define DML_BLOCKS (DML_CHUNK / DML_BLOCK)

typedef unsigned __int128 dml_sum;

/* Return: whether all @size bytes, at least 1, are zero */
bool dml_digest_is_zero(const void *data, size_t size);

/* Return: the sum over @size bytes of a chunk, from the start of block @first on */
dml_sum dml_digest_sum(unsigned int first, const void *data, size_t size);
void dml_digest_put(uint8_t hash[16], dml_sum sum);

/* The hash of a chunk of zeros is zeros. Return: whether @data is anything else */
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
