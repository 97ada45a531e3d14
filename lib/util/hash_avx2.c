// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Hashes by AVX2: see hash.h. The pragma is for all of this file, xxhash.h included. */
#ifdef __x86_64__
#pragma GCC target("avx2")
#endif

#include "hash.h"

uint64_t dml_hash_avx2_64(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

XXH128_hash_t dml_hash_avx2_seeded(const void *data, size_t size, uint64_t seed)
{
	return XXH3_128bits_withSeed(data, size, seed);
}

XXH128_hash_t dml_hash_avx2_keyed(const void *data, size_t size,
				  const void *secret, size_t secret_size)
{
	return XXH3_128bits_withSecret(data, size, secret, secret_size);
}
