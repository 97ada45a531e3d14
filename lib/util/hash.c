// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Hashes of much data: see hash.h. */
#include "hash.h"

#ifdef __x86_64__
#define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#define HAS_AVX2 0
#endif

uint64_t dml_hash_64(const void *data, size_t size)
{
	return HAS_AVX2 ? dml_hash_avx2_64(data, size) :
			  XXH3_64bits(data, size);
}

XXH128_hash_t dml_hash_seeded(const void *data, size_t size, uint64_t seed)
{
	return HAS_AVX2 ? dml_hash_avx2_seeded(data, size, seed) :
			  XXH3_128bits_withSeed(data, size, seed);
}

XXH128_hash_t dml_hash_keyed(const void *data, size_t size, const void *secret,
			     size_t secret_size)
{
	return HAS_AVX2 ?
		       dml_hash_avx2_keyed(data, size, secret, secret_size) :
		       XXH3_128bits_withSecret(data, size, secret, secret_size);
}
