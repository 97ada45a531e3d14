/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copies of memory that devices or other threads may write or read at the same time.
 *
 * A device's writes aren't synchronised with readers, so such races are inherent. They are
 * harmless: a page copied while it was being written is reported again. Only
 * the thread sanitizer must be told, and its memcpy() avoided.
 */
#ifndef DML_UTIL_RACY_COPY_H
#define DML_UTIL_RACY_COPY_H

#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define DML_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DML_TSAN 1
#endif
#endif

#ifdef DML_TSAN
/* volatile: so that the loops don't become calls of memcpy() */
__attribute__((no_sanitize("thread"), __noinline__, unused)) static void
dml_racy_copy(void *to, const void *from, size_t size)
{
	volatile unsigned char *t = to;
	const volatile unsigned char *f = from;

	for (; size && ((uintptr_t)t | (uintptr_t)f) % 8; size--)
		*t++ = *f++;
	for (; size >= 8; size -= 8, t += 8, f += 8)
		*(volatile uint64_t *)t = *(const volatile uint64_t *)f;
	while (size--)
		*t++ = *f++;
}
#else
/* Copy from or to memory that devices write. */
static inline void dml_racy_copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}
#endif

#endif
