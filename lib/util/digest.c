// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The digest of memory: see digest.h. */
#include <endian.h>
#include <errno.h>

#include "digest.h"
#include "dmatrack_copy.h"
#include "error.h"

bool dml_digest_is_zero(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static dml_sum hash_block(unsigned int block, const void *data, size_t size)
{
	XXH128_hash_t hash;

	if (dml_digest_is_zero(data, size))
		return 0;
	hash = dml_hash_seeded(data, size, block);
	return (dml_sum)hash.high64 << 64 | hash.low64;
}

dml_sum dml_digest_sum(unsigned int first, const void *data, size_t size)
{
	dml_sum sum = 0;
	size_t n;

	for (; size; data = (const char *)data + n, size -= n) {
		n = size < DML_BLOCK ? size : DML_BLOCK;
		sum += hash_block(first++, data, n);
	}
	return sum;
}

void dml_digest_put(uint8_t hash[16], dml_sum sum)
{
	dml_hash_put(hash, (XXH128_hash_t){
				   .low64 = (uint64_t)sum,
				   .high64 = (uint64_t)(sum >> 64),
			   });
}

bool dml_digest_hash_chunk(uint8_t hash[16], const void *data, size_t size)
{
	dml_sum sum = dml_digest_sum(0, data, size);

	dml_digest_put(hash, sum);
	return sum;
}

void dml_digest_init(struct dml_digest *d)
{
	XXH3_INITSTATE(&d->state);
	XXH3_128bits_reset(&d->state);
}

void dml_digest_region(struct dml_digest *d, uint64_t iova, uint64_t size)
{
	uint64_t words[2] = { htole64(iova), htole64(size) };

	XXH3_128bits_update(&d->state, words, sizeof(words));
}

void dml_digest_chunk(struct dml_digest *d, const uint8_t hash[16])
{
	XXH3_128bits_update(&d->state, hash, 16);
}

void dml_digest_zeros(struct dml_digest *d, uint64_t chunks)
{
	static const uint8_t zeros[4096];
	uint64_t n;

	for (; chunks; chunks -= n) {
		n = chunks < sizeof(zeros) / 16 ? chunks : sizeof(zeros) / 16;
		XXH3_128bits_update(&d->state, zeros, n * 16);
	}
}

void dml_digest_end(struct dml_digest *d, uint8_t digest[16])
{
	dml_hash_put(digest, XXH3_128bits_digest(&d->state));
}

static void digest_memory(struct dml_digest *d, const char *at, uint64_t size)
{
	uint8_t hash[16];
	uint64_t n;

	for (; size; at += n, size -= n) {
		n = size < DML_CHUNK ? size : DML_CHUNK;
		dml_digest_hash_chunk(hash, at, n);
		dml_digest_chunk(d, hash);
	}
}

int dmatrack_digest(const struct dmatrack_region *regions, unsigned int n,
		    uint8_t digest[16])
{
	struct dml_digest d;
	unsigned int i;

	if (dml_lacks(digest) || (n && dml_lacks(regions)))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (!regions[i].vaddr || !regions[i].size)
			return dml_error(
				-EINVAL,
				"region %u: vaddr is NULL, or size is 0", i);
	}
	dml_digest_init(&d);
	for (i = 0; i < n; i++) {
		dml_digest_region(&d, regions[i].iova, regions[i].size);
		digest_memory(&d, regions[i].vaddr, regions[i].size);
	}
	dml_digest_end(&d, digest);
	return 0;
}
