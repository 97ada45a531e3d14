// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages: bitmaps and hashes.
 *
 * Hashes are keyed by a secret that each process draws at random: XXH3's default secret is
 * public, so a guest could prepare pages with the same hash.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/util/bits.h"
#include "dmatrack.h"
#include "lib/util/digest.h"
#include "lib/util/hash.h"
#include "pages.h"

/* Memory --------------------------------------------------------------------- */

static unsigned char secret[XXH3_SECRET_DEFAULT_SIZE];
static bool have_secret;

static void draw_secret(void)
{
	/* at most 256 bytes are returned in full, or not at all */
	have_secret = getrandom(secret, sizeof(secret), 0) ==
		      (ssize_t)sizeof(secret);
}

static struct dml_hash *alloc_hashes(uint64_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *hashes = MAP_FAILED;
	size_t size;

	pthread_once(&once, draw_secret);
	if (have_secret &&
	    !__builtin_mul_overflow(n, sizeof(struct dml_hash), &size))
		hashes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
	if (hashes == MAP_FAILED)
		return NULL;
	/* the hash of a single page must not cost a huge page */
	madvise(hashes, size, MADV_NOHUGEPAGE);
	return hashes;
}

int dml_pages_init(struct dml_pages *p, uint64_t n, bool refine)
{
	size_t words = dmatrack_bitmap_size(n, 1) / sizeof(uint64_t);

	*p = (struct dml_pages){ .n = n };
	p->pending = calloc(words, sizeof(uint64_t));
	p->filled = calloc(words, sizeof(uint64_t));
	if (refine)
		p->hashes = alloc_hashes(n);
	if (!p->pending || !p->filled || (refine && !p->hashes)) {
		dml_pages_free(p);
		return -ENOMEM;
	}
	p->npending = dml_set_bits(p->pending, 0, n);
	return 0;
}

void dml_pages_free(struct dml_pages *p)
{
	if (p->hashes)
		munmap(p->hashes, p->n * sizeof(*p->hashes));
	free(p->filled);
	free(p->pending);
	*p = (struct dml_pages){ 0 };
}

/* Return: the bytes of [@addr, @addr + @size) that are in memory */
static uint64_t resident(void *addr, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), done, part, i;
	unsigned char present[4096];
	uint64_t bytes = 0;

	for (done = 0; done < size; done += part) {
		part = size - done;
		if (part > sizeof(present) * page)
			part = sizeof(present) * page;
		if (mincore((char *)addr + done, part, present))
			return size;
		for (i = 0; i < (part + page - 1) / page; i++)
			bytes += present[i] & 1 ? page : 0;
	}
	return bytes;
}

uint64_t dml_pages_memory(const struct dml_pages *p)
{
	uint64_t bytes = 2 * dmatrack_bitmap_size(p->n, 1);

	if (p->hashes)
		bytes += resident(p->hashes, p->n * sizeof(*p->hashes));
	return bytes;
}

/* Pending -------------------------------------------------------------------- */

bool dml_pages_next(const struct dml_pages *p, uint64_t *pos, uint64_t *len)
{
	return p->npending && dmatrack_next_run(p->pending, p->n, pos, len);
}

void dml_pages_report(struct dml_pages *p, const uint64_t *bitmap)
{
	uint64_t i, n, word;

	for (i = 0; i < p->n; i += DML_WORD_BITS) {
		word = bitmap[i / DML_WORD_BITS];
		if (!word)
			continue;
		n = p->n - i;
		word &= dml_first_mask(i, &n) & ~p->pending[i / DML_WORD_BITS];
		p->pending[i / DML_WORD_BITS] |= word;
		p->npending += dml_count_bits(word);
	}
}

bool dml_pages_filled(const struct dml_pages *p, uint64_t first, uint64_t n)
{
	uint64_t len;

	return dmatrack_next_run(p->filled, first + n, &first, &len);
}

/* What the destination holds ------------------------------------------------- */

/* Only filled pages have a hash: don't touch the memory for others. */
static void drop_hashes(struct dml_pages *p, uint64_t first, uint64_t n)
{
	uint64_t pos = first, end = first + n, len;

	if (!p->hashes)
		return;
	while (dmatrack_next_run(p->filled, end, &pos, &len)) {
		memset(p->hashes + pos, 0, len * sizeof(*p->hashes));
		pos += len;
	}
}

void dml_pages_forget(struct dml_pages *p, uint64_t first, uint64_t n)
{
	drop_hashes(p, first, n);
	dml_set_bits(p->filled, first, n);
	p->npending += dml_set_bits(p->pending, first, n);
}

static bool same(const struct dml_hash *a, const struct dml_hash *b)
{
	return a->bits == b->bits && a->bits;
}

enum dml_need dml_pages_need(const struct dml_pages *p, uint64_t i,
			     const void *data, size_t size,
			     struct dml_hash *hash)
{
	XXH128_hash_t h;

	if (dml_digest_is_zero(data, size))
		return dml_test_bit(p->filled, i) ? DML_CLEAR : DML_ZERO;
	if (!p->hashes)
		return DML_SEND;
	h = dml_hash_keyed(data, size, secret, sizeof(secret));
	hash->bits = (unsigned __int128)h.high64 << 64 | h.low64;
	if (dml_test_bit(p->filled, i) && same(hash, &p->hashes[i]))
		return DML_SAME;
	return DML_SEND;
}

void dml_pages_sent(struct dml_pages *p, uint64_t first, uint64_t n,
		    const struct dml_hash *hashes)
{
	if (p->hashes)
		memcpy(p->hashes + first, hashes, n * sizeof(*hashes));
	dml_set_bits(p->filled, first, n);
	p->npending -= dml_clear_bits(p->pending, first, n);
}

void dml_pages_cleared(struct dml_pages *p, uint64_t first, uint64_t n)
{
	drop_hashes(p, first, n);
	dml_clear_bits(p->filled, first, n);
	p->npending -= dml_clear_bits(p->pending, first, n);
}

void dml_pages_done(struct dml_pages *p, uint64_t first, uint64_t n)
{
	p->npending -= dml_clear_bits(p->pending, first, n);
}
