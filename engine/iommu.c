// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * IOMMU: groups and domains: see iommu.h. One lock protects all of them, so that a simulated
 * device's copy is complete before an unmap returns. It isn't held while real page tables are changed
 * or read: core's lock keeps the calls on a domain apart.
 */
#include <stdio.h>
#include <stdlib.h>

#include "iommu.h"

/**
 * struct piece - one run of dmt_domain_map()
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @pfn: first frame
 * @prot: access that devices have
 * @dirty: two bits for each page, or NULL if none was ever set; of an entry, those of its first
 *	   page: whether its dirty bit is set, and whether the IOMMU has cached that it was
 */
struct piece {
	u64 iova;
	u64 last;
	unsigned long pfn;
	u32 prot;
	unsigned char *dirty;
};

#define IS_DIRTY  (1U << 0)
#define IS_CACHED (1U << 1)

/**
 * struct iommu_domain - a domain
 * @host: host of the container
 * @tables: its page tables; NULL: they are simulated
 * @info: properties, from its first group
 * @aloof: whether it refuses other groups, from its first group
 * @tracking: whether writes set dirty bits
 * @nr_groups: number of groups attached
 * @piece: array of the mapped runs, sorted by IOVA
 * @nr: number of runs
 * @room: number of runs that @piece has room for
 */
struct iommu_domain {
	struct dmt_host *host;
	struct dmt_tables *tables;
	struct dmt_domain_info info;
	bool aloof;
	bool tracking;
	unsigned int nr_groups;
	struct piece *piece;
	size_t nr;
	size_t room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define INSIST(c) \
	do { \
		if (!(c)) { \
			fprintf(stderr, "iommu: %s, not so: " #c "\n", \
				__func__); \
			abort(); \
		} \
	} while (0)

/* Groups --------------------------------------------------------------------- */

static struct dmt_iova_range msi_window = { 0xfee00000, 0xfeefffff };
static const char usual_kind;

void dmt_iommu_group_init(struct iommu_group *group)
{
	*group = (struct iommu_group){
		.info = {
			.pgsizes = 1ULL << 12 | 1ULL << 21 | 1ULL << 30,
			.last = (1ULL << 48) - 1,
			.coherent = true,
			.kind = &usual_kind,
		},
		.reserved = { .range = &msi_window, .nr = 1 },
	};
}

int dmt_group_check(struct iommu_group *group)
{
	return group->unsafe ? -EPERM : 0;
}

int dmt_group_reserved(struct dmt_host *host, struct iommu_group *group,
		       struct dmt_reserved *reserved)
{
	*reserved = group->reserved;
	reserved->range =
		dmt_zalloc(host, (reserved->nr + 1) * sizeof(*reserved->range));
	if (!reserved->range)
		return -ENOMEM;
	memcpy(reserved->range, group->reserved.range,
	       reserved->nr * sizeof(*reserved->range));
	return 0;
}

/* Domains -------------------------------------------------------------------- */

/* Remove pieces [@from, @to). */
static void forget_pieces(struct iommu_domain *d, size_t from, size_t to)
{
	size_t i;

	if (from == to)
		return;
	for (i = from; i < to; i++)
		free(d->piece[i].dirty);
	memmove(&d->piece[from], &d->piece[to],
		(d->nr - to) * sizeof(*d->piece));
	d->nr -= to - from;
}

struct iommu_domain *dmt_domain_alloc(struct dmt_host *host,
				      struct iommu_group *group)
{
	struct iommu_domain *d = dmt_zalloc(host, sizeof(*d));

	if (!d)
		return ERR_PTR(-ENOMEM);
	d->host = host;
	d->tables = group->tables;
	d->info = group->info;
	d->aloof = group->aloof;
	return d;
}

void dmt_domain_free(struct iommu_domain *d)
{
	INSIST(!d->nr_groups);
	if (d->tables && d->tracking)
		d->tables->track(d->tables, false);
	forget_pieces(d, 0, d->nr);
	free(d->piece);
	dmt_free(d);
}

int dmt_domain_attach(struct iommu_domain *d, struct iommu_group *group)
{
	int err = 0;

	if (dmt_fault(d->host, DMT_FAULT_IOMMU))
		return -ENODEV;
	pthread_mutex_lock(&lock);
	INSIST(!group->domain);
	if (d->nr_groups && (d->aloof || d->info.kind != group->info.kind ||
			     d->info.dirty_bits > group->info.dirty_bits))
		err = -EINVAL;
	else
		group->domain = d;
	d->nr_groups += !err;
	pthread_mutex_unlock(&lock);
	return err;
}

void dmt_domain_detach(struct iommu_domain *d, struct iommu_group *group)
{
	pthread_mutex_lock(&lock);
	INSIST(group->domain == d);
	group->domain = NULL;
	d->nr_groups--;
	pthread_mutex_unlock(&lock);
}

void dmt_domain_info(struct iommu_domain *d, struct dmt_domain_info *info)
{
	INSIST(d->nr_groups);
	*info = d->info;
}

int dmt_domain_msi(struct iommu_domain *d, u64 base)
{
	return dmt_fault(d->host, DMT_FAULT_IOMMU) ? -ENOMEM : 0;
}

/* Return: the first piece that ends at or after @iova */
static size_t find(const struct iommu_domain *d, u64 iova)
{
	size_t low = 0, high = d->nr;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (d->piece[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool make_room(struct iommu_domain *d)
{
	struct piece *piece;

	if (d->nr < d->room)
		return true;
	piece = realloc(d->piece, (d->room * 2 + 16) * sizeof(*piece));
	if (!piece)
		return false;
	d->piece = piece;
	d->room = d->room * 2 + 16;
	return true;
}

static void insert(struct iommu_domain *d, const struct piece *piece)
{
	size_t at = find(d, piece->iova);

	INSIST(at == d->nr || d->piece[at].iova > piece->last);
	memmove(&d->piece[at + 1], &d->piece[at],
		(d->nr - at) * sizeof(*d->piece));
	d->piece[at] = *piece;
	d->nr++;
}

static int map_run(struct iommu_domain *d, u64 iova, const struct dmt_run *run,
		   u32 prot)
{
	u64 size = (u64)run->npages << PAGE_SHIFT;
	struct piece piece = { iova, iova + size - 1, run->pfn, prot, NULL };
	u64 mask = (d->info.pgsizes & -d->info.pgsizes) - 1;
	int err = 0;

	INSIST(run->npages && run->pfn && piece.last > iova);
	INSIST(iova >= d->info.start && piece.last <= d->info.last);
	if ((iova | ((u64)run->pfn << PAGE_SHIFT) | size) & mask)
		return -EINVAL;
	if (dmt_fault(d->host, DMT_FAULT_IOMMU))
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	if (!make_room(d))
		err = -ENOMEM;
	pthread_mutex_unlock(&lock);
	if (!err && d->tables)
		err = d->tables->map(d->tables, iova, run->pfn << PAGE_SHIFT,
				     size, prot);
	if (err)
		return err;
	pthread_mutex_lock(&lock);
	insert(d, &piece);
	pthread_mutex_unlock(&lock);
	return 0;
}

int dmt_domain_map(struct iommu_domain *d, u64 iova, const struct dmt_run *runs,
		   unsigned int n, u32 prot)
{
	unsigned long npages = 0;
	unsigned int i;
	int err;

	INSIST(n && n <= DMT_MAP_RUNS);
	for (i = 0; i < n; i++) {
		INSIST(n == 1 || !runs[i].frames);
		err = map_run(d, iova + ((u64)npages << PAGE_SHIFT), &runs[i],
			      prot);
		if (err) {
			if (npages)
				dmt_domain_unmap(d, iova, npages);
			return err;
		}
		npages += runs[i].npages;
	}
	return 0;
}

bool dmt_domain_unmap(struct iommu_domain *d, u64 iova, unsigned long npages)
{
	u64 last = iova + ((u64)npages << PAGE_SHIFT) - 1;
	size_t from, to;

	pthread_mutex_lock(&lock);
	from = find(d, iova);
	INSIST(from < d->nr && d->piece[from].iova == iova);
	for (to = from; to < d->nr && d->piece[to].last < last; to++)
		INSIST(to + 1 < d->nr &&
		       d->piece[to].last + 1 == d->piece[to + 1].iova);
	INSIST(to < d->nr && d->piece[to].last == last);
	forget_pieces(d, from, to + 1);
	pthread_mutex_unlock(&lock);
	return !d->tables || d->tables->unmap(d->tables, iova, last - iova + 1);
}

unsigned long dmt_domain_frame(const struct iommu_domain *d, u64 iova)
{
	const struct piece *piece;
	unsigned long pfn = 0;
	size_t at;

	pthread_mutex_lock(&lock);
	at = find(d, iova);
	piece = &d->piece[at];
	if (at < d->nr && piece->iova <= iova)
		pfn = piece->pfn + ((iova - piece->iova) >> PAGE_SHIFT);
	pthread_mutex_unlock(&lock);
	return pfn;
}

/* Dirty bits ----------------------------------------------------------------- */

/*
 * Find the entry of the page table that maps @iova: the largest page size that the run's IOVAs
 * and frames allow there. Return: its first IOVA
 */
static u64 entry_at(const struct iommu_domain *d, const struct piece *piece,
		    u64 iova, u64 *last)
{
	u64 sizes = d->info.pgsizes, start, phys;
	unsigned int shift;

	for (; sizes; sizes &= ~(1ULL << shift)) {
		shift = 63 - __builtin_clzll(sizes);
		start = iova >> shift << shift;
		phys = ((u64)piece->pfn << PAGE_SHIFT) + (start - piece->iova);
		*last = start + ((1ULL << shift) - 1);
		if (start >= piece->iova && *last <= piece->last &&
		    !(phys & ((1ULL << shift) - 1)))
			return start;
	}
	*last = iova | (PAGE_SIZE - 1);
	return iova & -(u64)PAGE_SIZE;
}

/*
 * A device writes at @iova: the IOMMU sets the dirty bit of the entry, unless it has cached that
 * it's set. Return: false: there is no memory for the bit
 */
static bool set_dirty(struct iommu_domain *d, struct piece *piece, u64 iova)
{
	u64 npages = (piece->last - piece->iova + 1) >> PAGE_SHIFT, last;
	u64 page = (entry_at(d, piece, iova, &last) - piece->iova) >>
		   PAGE_SHIFT;

	if (!piece->dirty)
		piece->dirty = calloc(npages, 1);
	if (!piece->dirty)
		return false;
	if (!(piece->dirty[page] & IS_CACHED))
		piece->dirty[page] |= IS_DIRTY | IS_CACHED;
	return true;
}

void dmt_domain_flush(struct iommu_domain *d)
{
	size_t i, page;

	if (d->tables)
		return; /* done by @take_dirty */
	pthread_mutex_lock(&lock);
	for (i = 0; i < d->nr; i++) {
		struct piece *piece = &d->piece[i];
		size_t n = (piece->last - piece->iova + 1) >> PAGE_SHIFT;

		for (page = 0; piece->dirty && page < n; page++)
			piece->dirty[page] &= ~IS_CACHED;
	}
	pthread_mutex_unlock(&lock);
}

int dmt_domain_track(struct iommu_domain *d, bool on)
{
	int err = 0;

	INSIST(d->info.dirty_bits);
	if (on && dmt_fault(d->host, DMT_FAULT_IOMMU))
		return -EIO;
	if (d->tables)
		err = d->tables->track(d->tables, on);
	if (err)
		return err;
	if (on)
		dmt_domain_flush(d);
	pthread_mutex_lock(&lock);
	d->tracking = on;
	pthread_mutex_unlock(&lock);
	return 0;
}

/*
 * An entry may map more than is asked for, and a driver that clears its bit reports it as far
 * as it was asked. How large entries are isn't known; but none goes beyond what was mapped by
 * one call. So a run is read as a whole.
 */
static int take_from_tables(struct iommu_domain *d, u64 iova, u64 last,
			    void (*dirty)(void *arg, u64 iova, u64 last),
			    void *arg)
{
	size_t i = find(d, iova);
	int err = 0;

	for (; !err && i < d->nr && d->piece[i].iova <= last; i++)
		err = d->tables->take_dirty(d->tables, d->piece[i].iova,
					    d->piece[i].last, dirty, arg);
	return err;
}

int dmt_domain_take_dirty(struct iommu_domain *d, u64 iova, u64 last,
			  void (*dirty)(void *arg, u64 iova, u64 last),
			  void *arg)
{
	u64 at, end;
	size_t i;

	INSIST(d->info.dirty_bits);
	if (dmt_fault(d->host, DMT_FAULT_IOMMU))
		return -EIO;
	if (d->tables)
		return take_from_tables(d, iova, last, dirty, arg);
	pthread_mutex_lock(&lock);
	for (i = find(d, iova); i < d->nr && d->piece[i].iova <= last; i++) {
		struct piece *piece = &d->piece[i];

		for (at = max(iova, piece->iova);
		     piece->dirty && at <= min(last, piece->last);
		     at = end + 1) {
			u64 start = entry_at(d, piece, at, &end);
			u64 page = (start - piece->iova) >> PAGE_SHIFT;

			if (!(piece->dirty[page] & IS_DIRTY))
				continue;
			piece->dirty[page] &= ~IS_DIRTY;
			dirty(arg, start, end);
		}
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

/* DMA ------------------------------------------------------------------------ */

/*
 * Find the memory that a piece maps at @iova with this access. Return: bytes of it, up to @size, in
 * one page if dirty bits are set
 */
static size_t translate(struct iommu_domain *d, u64 iova, size_t size,
			bool write, char **addr)
{
	size_t at = find(d, iova);
	struct piece *piece = &d->piece[at];

	if (at == d->nr || piece->iova > iova ||
	    !(piece->prot & (write ? DMT_WRITE : DMT_READ)))
		return 0;
	*addr = (char *)(piece->pfn << PAGE_SHIFT) + (iova - piece->iova);
	if (write && d->tracking) {
		if (!set_dirty(d, piece, iova))
			return 0;
		return min((u64)size, (u64)PAGE_SIZE - iova % PAGE_SIZE);
	}
	return min((u64)size - 1, piece->last - iova) + 1;
}

size_t dmt_iommu_dma(struct iommu_group *group, uint64_t iova, void *data,
		     size_t size, bool write)
{
	size_t done = 0, n;
	char *addr;

	pthread_mutex_lock(&lock);
	while (group->domain && done < size) {
		n = translate(group->domain, iova + done, size - done, write,
			      &addr);
		if (!n)
			break;
		if (write)
			dmt_racy_copy(addr, (char *)data + done, n);
		else
			dmt_racy_copy((char *)data + done, addr, n);
		done += n;
	}
	pthread_mutex_unlock(&lock);
	return done;
}
