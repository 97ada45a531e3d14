/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XXH3, inline: one dependency less. A hash is stored and sent in its canonical form, which is
 * the same on every machine.
 *
 * Inline code is compiled for the oldest processors. Of the functions for much data there is another
 * version, for processors that have AVX2; it's about three times as fast. Its results are the same.
 */
#ifndef DML_UTIL_HASH_H
#define DML_UTIL_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdint.h>
#include <string.h>

/* XXH3_64bits(), XXH3_128bits_withSeed(), XXH3_128bits_withSecret() */
uint64_t dml_hash_64(const void *data, size_t size);
XXH128_hash_t dml_hash_seeded(const void *data, size_t size, uint64_t seed);
XXH128_hash_t dml_hash_keyed(const void *data, size_t size, const void *secret,
			     size_t secret_size);

/* The same. Call them only if the processor has AVX2. */
uint64_t dml_hash_avx2_64(const void *data, size_t size);
XXH128_hash_t dml_hash_avx2_seeded(const void *data, size_t size,
				   uint64_t seed);
XXH128_hash_t dml_hash_avx2_keyed(const void *data, size_t size,
				  const void *secret, size_t secret_size);

static inline void dml_hash_put(uint8_t to[16], XXH128_hash_t hash)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(to, canonical.digest, 16);
}

static inline void dml_hash(uint8_t to[16], const void *data, size_t size)
{
	dml_hash_put(to, dml_hash_seeded(data, size, 0));
}

#endif
