/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XXH3, inline: as fast as libxxhash.so, and one dependency less. A hash is stored and sent in its
 * canonical form, which is the same on every machine.
 */
#ifndef DML_UTIL_HASH_H
#define DML_UTIL_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdint.h>
#include <string.h>

static inline void dml_hash_put(uint8_t to[16], XXH128_hash_t hash)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(to, canonical.digest, 16);
}

static inline void dml_hash(uint8_t to[16], const void *data, size_t size)
{
	dml_hash_put(to, XXH3_128bits(data, size));
}

#endif
