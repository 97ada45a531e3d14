// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The digest of memory: see digest.h. */
#include <endian.h>
#include <errno.h>

#include "digest.h"
#include "dmatrack_copy.h"
#include "error.h"

bool dmt_is_zero(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static dmt_sum hash_block(unsigned int block, const void *data, size_t size)
{
	XXH128_hash_t hash;

	if (dmt_is_zero(data, size))
		return 0;
	hash = XXH3_128bits_withSeed(data, size, block);
	return (dmt_sum)hash.high64 << 64 | hash.low64;
}

dmt_sum dmt_sum_blocks(unsigned int first, const void *data, size_t size)
{
	dmt_sum sum = 0;
	size_t n;

	for (; size; data = (const char *)data + n, size -= n) {
		n = size < DMT_BLOCK ? size : DMT_BLOCK;
		sum += hash_block(first++, data, n);
	}
	return sum;
}

void dmt_sum_put(uint8_t hash[16], dmt_sum sum)
{
	dmt_hash_put(hash, (XXH128_hash_t){
		.low64 = (uint64_t)sum, .high64 = (uint64_t)(sum >> 64),
	});
}

bool dmt_chunk_hash(uint8_t hash[16], const void *data, size_t size)
{
	dmt_sum sum = dmt_sum_blocks(0, data, size);

	dmt_sum_put(hash, sum);
	return sum;
}

void dmt_digest_init(struct dmt_digest *d)
{
	XXH3_INITSTATE(&d->state);
	XXH3_128bits_reset(&d->state);
}

void dmt_digest_region(struct dmt_digest *d, uint64_t iova, uint64_t size)
{
	uint64_t words[2] = { htole64(iova), htole64(size) };

	XXH3_128bits_update(&d->state, words, sizeof(words));
}

void dmt_digest_chunk(struct dmt_digest *d, const uint8_t hash[16])
{
	XXH3_128bits_update(&d->state, hash, 16);
}

void dmt_digest_zeros(struct dmt_digest *d, uint64_t chunks)
{
	static const uint8_t zeros[4096];
	uint64_t n;

	for (; chunks; chunks -= n) {
		n = chunks < sizeof(zeros) / 16 ? chunks : sizeof(zeros) / 16;
		XXH3_128bits_update(&d->state, zeros, n * 16);
	}
}

void dmt_digest_end(struct dmt_digest *d, uint8_t digest[16])
{
	dmt_hash_put(digest, XXH3_128bits_digest(&d->state));
}

static void digest_memory(struct dmt_digest *d, const char *at, uint64_t size)
{
	uint8_t hash[16];
	uint64_t n;

	for (; size; at += n, size -= n) {
		n = size < DMT_CHUNK ? size : DMT_CHUNK;
		dmt_chunk_hash(hash, at, n);
		dmt_digest_chunk(d, hash);
	}
}

int dmatrack_digest(const struct dmatrack_region *regions, unsigned int n,
		    uint8_t digest[16])
{
	struct dmt_digest d;
	unsigned int i;

	if (dmt_lacks(digest) || (n && dmt_lacks(regions)))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (!regions[i].vaddr || !regions[i].size)
			return dmt_error(-EINVAL, "region %u: no memory of this process",
					 i);
	}
	dmt_digest_init(&d);
	for (i = 0; i < n; i++) {
		dmt_digest_region(&d, regions[i].iova, regions[i].size);
		digest_memory(&d, regions[i].vaddr, regions[i].size);
	}
	dmt_digest_end(&d, digest);
	return 0;
}
