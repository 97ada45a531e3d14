// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The container under a scheduler (see schedule.h): devices write, report, pin and
 * unpin, one thread unmaps and maps again, one harvests, in thousands of short
 * schedules, and each ends in an exact copy.
 *
 * Three mappings, next to each other: one so small that its log has no bitmap,
 * one with a bitmap of two lines, one of three. Each device has a number of its
 * own on each page and counts it up. A thread that gets an answer, of GET_BITMAP, of
 * GET_RANGES or of UNMAP_DMA, copies the pages that it reports. It must hold that:
 *
 *   - numbers that were complete before a harvest began are in the copy after it
 *   - at the end the copy is exact
 *   - each page reported was written, or pinned for writing
 *   - pages are pinned and accounted as often as they are unpinned
 *   - all memory is freed
 *
 * In some schedules a second thread harvests, by a view of its own, which it closes and opens again
 * meanwhile: all that holds for it, too, except that the answers of UNMAP_DMA aren't its own.
 *
 * Where faults are allowed, allocations, pins and copies fail, and calls are
 * interrupted, at any point.
 *
 * Other schedules stop and start tracking while mappings come and go. Pages that are
 * dirty at STOP are forgotten before the next START, and their memory is freed
 * without the container's lock.
 *
 *	schedule_container [SEED]
 */
#include "schedule.h"

#include "core/answer_bitmap.c"
#include "core/answer_ranges.c"
#include "core/unread.c"
#include "core/container.c"
#include "core/map.c"
#include "core/scope.c"
#include "core/tracking.c"
#include "core/unmap.c"
#include "core/view.c"
#include "core/gate.c"
#include "core/harvest.c"
#include "core/log.c"
#include "core/mapping.c"
#include "core/operation.c"
#include "core/pins.c"
#include "core/range.c"
#include "core/space.c"
#include "engine/mark.h"

#define PAGE	 4096ULL
#define MAPPINGS 3U
#define PAGES	 2600U		    /* pages of all mappings */
#define NEVER	 (PAGES - 1)	    /* number of a page that is never pinned */
#define MEMORY	 (1ULL << 20)	    /* address of page 0 */
#define BASE	 (0 - PAGES * PAGE) /* IOVA of page 0: up to the last IOVA */
#define DEVICES	 2U
#define READERS	 2U /* of the container's own view, and of another */
#define HOT	 10U

struct dmt_host {
	int dummy;
};

static const struct {
	u64 page, n;
} layout[MAPPINGS] = {
	{ 0, 50 },
	{ 50, 950 },
	{ 1000, PAGES - 1000 },
};

/**
 * struct pinned - the pages that a device has pinned
 * @page: number of the first page
 * @n: number of pages
 * @write: the device may write there
 */
struct pinned {
	u64 page;
	unsigned int n;
	bool write;
};

/**
 * struct reader - a thread that harvests
 * @v: its view
 * @copy: its copy of the content
 * @complete: @complete of struct run before its harvest
 * @answer: buffer for its bitmaps
 */
struct reader {
	struct dmt_view *v;
	u64 copy[PAGES][DEVICES];
	u64 complete[PAGES][DEVICES];
	u64 answer[PAGES / 64 + 2];
};

/**
 * struct run - one schedule
 * @c: the container
 * @hot: pages that are written
 * @content: the number that each device wrote last to each page
 * @complete: the number of the last complete write of each device to each page
 * @reader: the threads that harvest
 * @view: the second one's view
 * @touched: pages that may be reported
 * @gup: number of the host's pins of each page
 * @locked: number of pages accounted
 * @pinned: pages that each device has pinned
 * @at_work: number of devices and unmappers that haven't ended
 * @unmaps: odd while an unmap is under way
 * @faults: one in @faults operations of the host fails; 0: none
 * @stubborn: drivers obey one in @stubborn callbacks; 0: each one
 * @stopping: a bit for each fiber that is in dmt_tracking_stop()
 * @on_pin: called when the host has pinned pages; or NULL
 * @marked: pages that the stopper has marked
 */
static struct run {
	struct dmt_container c;
	struct dmt_host host;
	u64 hot[HOT];
	u64 content[PAGES][DEVICES];
	u64 complete[PAGES][DEVICES];
	struct reader reader[READERS];
	struct dmt_view view;
	bool touched[PAGES];
	int gup[PAGES];
	long locked;
	struct pinned pinned[DEVICES];
	unsigned int at_work, unmaps, faults, stubborn, stopping;
	void (*on_pin)(void);
	bool marked[PAGES];
	u64 last_answer[PAGES / 64 + 2]; /* of UNMAP_DMA */
} r;

#define OWN (&r.reader[0])

static u64 iova_of(u64 page)
{
	return BASE + page * PAGE;
}

/* The host ------------------------------------------------------------------------ */

static bool fault(void)
{
	sim_point();
	return r.faults && sim.now && !sim_below(r.faults);
}

static void later_call(struct rcu_head *rcu)
{
	struct dmt_later *later = container_of(rcu, struct dmt_later, rcu);

	later->fn(later);
}

void dmt_free_later(struct dmt_later *later,
		    void (*fn)(struct dmt_later *later), u64 size)
{
	later->fn = fn;
	call_rcu(&later->rcu, later_call);
}

int dmt_copy_from_user(struct dmt_host *host, void *to, const void *from,
		       size_t size)
{
	if (fault())
		return -EFAULT;
	memcpy(to, from, size);
	return 0;
}

int dmt_copy_to_user(struct dmt_host *host, void *to, const void *from,
		     size_t size)
{
	if (fault())
		return -EFAULT;
	memcpy(to, from, size);
	return 0;
}

int dmt_copy_to_user_nofault(struct dmt_host *host, void *to, const void *from,
			     size_t size)
{
	return dmt_copy_to_user(host, to, from, size);
}

int dmt_copy_from_user_nofault(struct dmt_host *host, void *to,
			       const void *from, size_t size)
{
	return dmt_copy_from_user(host, to, from, size);
}

int dmt_copy_lines_nofault(struct dmt_host *host, u64 *to, const u64 *from,
			   unsigned int nwords, u64 lines)
{
	for (; lines; lines &= lines - 1) {
		unsigned int w = __ffs64(lines) * DMT_LINE_WORDS;

		if (dmt_copy_to_user_nofault(host, to + w, from + w,
					     min(nwords - w, 8U) * sizeof(u64)))
			return -EFAULT;
	}
	return 0;
}

int dmt_clear_user_nofault(struct dmt_host *host, void *to, size_t size)
{
	if (fault())
		return -EFAULT;
	memset(to, 0, size);
	return 0;
}

int dmt_fault_in_user(struct dmt_host *host, void *to, size_t size)
{
	return fault() ? -EFAULT : 0;
}

bool dmt_user_range_ok(struct dmt_host *host, const void *addr, u64 size)
{
	return true;
}

bool dmt_interrupted(void)
{
	return fault();
}

int dmt_owner_init(struct dmt_owner *owner, struct dmt_host *host)
{
	return fault() ? -ENOMEM : 0;
}

void dmt_owner_fini(struct dmt_owner *owner)
{
}

/* The number of the running fiber's device on the page at @vaddr */
static u64 *number_at(unsigned long vaddr)
{
	return &r.content[(vaddr - MEMORY) / PAGE][sim.now - 1];
}

/* @data is the device's number, whatever @size; it is written to each page in the range */
long dmt_owner_write(struct dmt_owner *owner, unsigned long vaddr,
		     const void *data, size_t size)
{
	size_t done = 0;
	u64 value;

	memcpy(&value, data, sizeof(value));
	while (done < size) {
		size_t n = min_t(size_t, size - done,
				 PAGE - (vaddr + done) % PAGE);

		if (fault()) /* a page fault that may fail */
			break;
		WRITE_ONCE(*number_at(vaddr + done), value);
		done += n;
	}
	return done;
}

long dmt_owner_read(struct dmt_owner *owner, unsigned long vaddr, void *data,
		    size_t size)
{
	return size;
}

long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages)
{
	unsigned long n = 1 + sim_below(npages), i;

	for (i = 0; i < npages;
	     i++) /* as the kernel, also those that it doesn't pin */
		pages[i] = (struct page *)(vaddr + i * PAGE);

	/* Of locks, only the driver's own may be held across a page fault. */
	SIM_CHECK(sim_held() == sim_holds(&r.pinned[sim.now - 1]));
	if (fault())
		return sim_below(2) ? -EFAULT : -ENOMEM;
	for (i = 0; i < n; i++)
		r.gup[(vaddr - MEMORY) / PAGE + i]++;
	if (r.on_pin)
		r.on_pin();
	return n;
}

void dmt_owner_unpin(struct dmt_owner *owner, struct page **pages,
		     unsigned long npages, bool dirty)
{
	while (npages--) {
		u64 page = ((unsigned long)pages[npages] - MEMORY) / PAGE;

		SIM_CHECK(r.gup[page]-- > 0);
	}
}

int dmt_owner_account(struct dmt_owner *owner, long npages)
{
	if (npages > 0 && fault())
		return -ENOMEM;
	r.locked += npages;
	SIM_CHECK(r.locked >= 0);
	return 0;
}

void dmt_owner_over_limit(const struct dmt_owner *owner, const char *call)
{
}

unsigned long dmt_user_end(struct dmt_host *host)
{
	return 1UL << 47;
}

bool dmt_owner_is_caller(const struct dmt_owner *owner)
{
	return true;
}

bool dmt_owner_may_know(const struct dmt_owner *owner)
{
	return true;
}

int dmt_prepare(struct dmt_prepared *p)
{
	return -EFAULT;
}

void dmt_prepared_drop(struct dmt_prepared *p)
{
}

int dmt_iommu_map(struct dmt_container *c, struct dmt_mapping *m,
		  struct dmt_prepared *p)
{
	return -ENODEV;
}

void dmt_iommu_unmap(struct dmt_container *c, struct dmt_mapping *m)
{
}

/* There is no IOMMU here. */
int dmt_dirty_bits_begin(struct dmt_container *c)
{
	return 0;
}

void dmt_dirty_bits_end(struct dmt_container *c)
{
}

int dmt_dirty_bits_read(struct dmt_container *c, u64 iova, u64 last)
{
	return 0;
}

/*
 * Unpin all pages of a device, which has ended its writes there. Its driver's lock is
 * held: the address of @p.
 */
static void let_go(struct pinned *p)
{
	unsigned int n = p->n;

	if (!n)
		return;
	p->n = 0;
	SIM_CHECK(!dmt_operation_unpin(&r.c, iova_of(p->page), n));
}

bool dmt_pause(unsigned int ms)
{
	while (ms--)
		sim_yield();
	return fault();
}

void dmt_pages_held(struct dmt_host *host, u64 iova, u64 last, u64 kept)
{
	SIM_CHECK(!kept);
}

/*
 * Drivers stop their devices, which ends all their writes, and unpin. Stubborn drivers
 * ignore most callbacks.
 */
void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size)
{
	u64 page = (iova - BASE) / PAGE, end = page + size / PAGE;
	unsigned int i;

	for (i = 0; i < DEVICES; i++) {
		struct pinned *p = &r.pinned[i];

		if (r.stubborn && sim_below(r.stubborn))
			continue;
		sim_lock(p);
		if (p->page < end && p->page + p->n > page) {
			sim_flush(&sim.fiber[1 + i]);
			let_go(p);
		}
		sim_unlock(p);
	}
}

/* Devices ---------------------------------------------------------------------------- */

static void touch(u64 page, u64 n)
{
	while (n--)
		if (page < PAGES)
			r.touched[page++] = true;
}

/* This device's writes to [page, page + n) are complete. */
static void finish(u64 page, u64 n)
{
	sim_mb();
	for (; n--; page++)
		r.complete[page][sim.now - 1] =
			max(r.complete[page][sim.now - 1],
			    r.content[page][sim.now - 1]);
}

static u64 next_number(void)
{
	static u64 number;

	return ++number;
}

/* Write from the middle of a page on, up to three pages. */
static void device_write(u64 page)
{
	u64 value = next_number(), data[3 * PAGE / 8];
	unsigned int n = 1 + sim_below(3), i;

	if (page + n > PAGES)
		n = 1;
	for (i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = value;
	touch(page, n);
	dmt_operation_write(&r.c, iova_of(page) + (n > 1 ? PAGE / 2 : 0), data,
			    n > 1 ? (n - 1) * PAGE : 8);
	finish(page, n);
}

/* Mark like dmatrack_engine_mark_dirty(). */
static int mark(u64 iova, u64 size)
{
	bool done;

	if (size <= PAGE)
		done = dmt_mark(&r.c, iova, size, dmt_mark_page);
	else if (size == DMT_MARK_LINE)
		done = dmt_mark(&r.c, iova, size, dmt_mark_line);
	else
		done = dmt_mark(&r.c, iova, size, dmt_mark_run);
	return done ? 0 : dmt_operation_mark(&r.c, iova, size);
}

/* Is @page in a whole line of its mapping's log? @first: out: the line's first page */
static bool line_of(u64 page, u64 *first)
{
	unsigned int i = MAPPINGS - 1;

	while (page < layout[i].page)
		i--;
	*first = page - (page - layout[i].page) % 512;
	return *first + 512 <= layout[i].page + layout[i].n;
}

/*
 * A device that writes by itself and reports it. If the report is refused, the memory
 * isn't the device's any more, and its write there doesn't matter. Otherwise a harvest
 * or an unmap's bitmap must report the page.
 */
static void device_report(u64 page)
{
	unsigned int n = sim_below(2) ? 1 : 1 + sim_below(1200);
	unsigned int id = sim.now - 1, i;
	u64 first = page, line;
	int err;

	if (page + n > PAGES)
		n = PAGES - page;
	if (n > 1 && sim_below(2) && line_of(page, &line)) {
		n = 512;
		first = line;
	}
	touch(first, n);
	WRITE_ONCE(r.content[page][id], next_number());
	err = mark(iova_of(first), n * PAGE);
	sim_mb();
	if (err)
		for (i = 0; i < READERS; i++)
			r.reader[i].copy[page][id] = r.content[page][id];
	finish(page, 1);
}

static void device_pin(u64 page)
{
	struct pinned *p = &r.pinned[sim.now - 1];
	unsigned int n = 1 + sim_below(4), i;
	struct page *pages[4] = {};
	bool write = sim_below(4);

	if (p->n || page + n > NEVER)
		return;
	if (write)
		touch(page, n);
	sim_lock(p);
	if (!dmt_operation_pin(&r.c, iova_of(page), n,
			       write ? DMT_READ | DMT_WRITE : DMT_READ,
			       pages)) {
		for (i = 0; i < n; i++)
			SIM_CHECK((unsigned long)pages[i] ==
				  MEMORY + (page + i) * PAGE);
		*p = (struct pinned){ page, n, write };
	} else {
		SIM_CHECK(r.faults || r.unmaps);
		for (i = 0; i < n; i++)
			SIM_CHECK(!pages[i]);
	}
	sim_unlock(p);
}

static void device_dma(void)
{
	struct pinned *p = &r.pinned[sim.now - 1];
	u64 page, value = next_number();

	if (!p->n || !p->write)
		return;
	page = p->page + sim_below(p->n);
	/* The device may write until here, in one moment; the store may come to memory later. */
	sim.atomic = true;
	WRITE_ONCE(*number_at(MEMORY + page * PAGE), value);
	sim.atomic = false;
	finish(page, 1);
}

/* A driver at fault that unpins a page that isn't pinned; unmaps don't wait for that. */
static void device_unpin_never(void)
{
	SIM_CHECK(dmt_operation_unpin(&r.c, iova_of(NEVER), 1) == -EINVAL);
}

static void device_unpin(struct pinned *p)
{
	sim_lock(p);
	sim_mb(); /* the device's writes are complete */
	let_go(p);
	sim_unlock(p);
}

static void device(void *arg)
{
	unsigned int n = 2 + sim_below(6);
	struct pinned *p = &r.pinned[sim.now - 1];

	(void)arg;
	while (n--) {
		u64 page = r.hot[sim_below(HOT)];

		switch (sim_below(7)) {
		case 0:
			device_write(page);
			break;
		case 6:
			device_unpin_never();
			break;
		case 1:
			device_report(page);
			break;
		case 2:
		case 3:
			device_pin(page);
			break;
		case 4:
			device_dma();
			break;
		default:
			device_unpin(p);
		}
	}
	device_unpin(p);
	r.at_work--;
}

/* The user ------------------------------------------------------------------------------ */

/* Copy what an answer for [page, page + n) reports. */
static void copy(struct reader *rd, const u64 *answer, u64 page, u64 n,
		 unsigned int coarse)
{
	u64 i;
	unsigned int id;

	for (i = 0; i < n; i++) {
		u64 at = i >> coarse;

		if (!(answer[at / 64] >> at % 64 & 1))
			continue;
		if (!coarse && !r.faults && !r.touched[page + i])
			sim_fail(
				"page %llu is reported, and no device wrote it",
				(unsigned long long)(page + i));
		for (id = 0; id < DEVICES; id++)
			if (r.content[page + i][id] != rd->copy[page + i][id] ||
			    sim.fiber[1 + id].n)
				rd->copy[page + i][id] =
					READ_ONCE(r.content[page + i][id]);
	}
}

static int get_bitmap(struct reader *rd, u64 page, u64 n, unsigned int coarse)
{
	struct dmt_bitmap bitmap = {
		.data = (__u64 *)rd->answer,
		.pgshift = r.c.pgshift + coarse,
	};

	return dmt_tracking_get_bitmap(rd->v, iova_of(page),
				       iova_of(page + n) - 1, &bitmap);
}

/*
 * Harvest ranges, and convert them to a bitmap. @n: number of pages; out: number of pages
 * harvested before the room ended.
 */
static int get_ranges(struct reader *rd, u64 page, u64 *n, unsigned int coarse)
{
	struct dmatrack_dirty_range list[20];
	struct dmatrack_get_ranges get;
	struct dmt_ranges ranges = {
		.data = list,
		.room = 1 + sim_below(ARRAY_SIZE(list)),
		.pgshift = r.c.pgshift + coarse,
		.get = &get,
	};
	unsigned int i;
	u64 at;
	int err;

	err = dmt_tracking_get_ranges(rd->v, iova_of(page),
				      iova_of(page + *n) - 1, &ranges);
	if (err)
		return err;
	SIM_CHECK(get.count <= ranges.room);
	memset(rd->answer, 0, sizeof(rd->answer));
	for (i = 0; i < get.count; i++)
		for (at = (list[i].iova - iova_of(page)) / PAGE >> coarse;
		     at <= (list[i].last - iova_of(page)) / PAGE >> coarse;
		     at++)
			rd->answer[at / 64] |= 1ULL << at % 64;
	if (get.more)
		*n = (get.next - iova_of(page)) / PAGE;
	return 0;
}

/* Nothing that was complete before the harvest of [page, page + n) is missing. */
static void check_copy(const struct reader *rd, u64 page, u64 n)
{
	u64 i;
	unsigned int id;

	for (i = page; i < page + n; i++)
		for (id = 0; id < DEVICES; id++)
			if (rd->copy[i][id] < rd->complete[i][id])
				sim_fail("page %llu is lost: %llu, not %llu",
					 (unsigned long long)i,
					 (unsigned long long)rd->copy[i][id],
					 (unsigned long long)
						 rd->complete[i][id]);
}

/* Harvest [page, page + n), and check the copy unless an unmap comes between. */
static int harvest(struct reader *rd, u64 page, u64 n, unsigned int coarse,
		   bool ranges)
{
	unsigned int unmaps = r.unmaps;
	int err;

	memcpy(rd->complete, r.complete, sizeof(rd->complete));
	err = ranges ? get_ranges(rd, page, &n, coarse) :
		       get_bitmap(rd, page, n, coarse);
	SIM_CHECK(!err || (r.faults && (err == -EFAULT || err == -EINTR)));
	if (err)
		return err;
	copy(rd, rd->answer, page, n, coarse);
	if (r.unmaps % 2 || r.unmaps != unmaps || (unmaps && rd != OWN))
		return 0;
	check_copy(rd, page, n);
	return 0;
}

/* A harvest of any kind, of a random part */
static void harvest_any(struct reader *rd)
{
	u64 a = r.hot[sim_below(HOT)], b = r.hot[sim_below(HOT)];
	unsigned int coarse = sim_below(3) ? 0 : 1 + sim_below(9);

	if (sim_below(2))
		harvest(rd, 0, PAGES, coarse, sim_below(2));
	else
		harvest(rd, min(a, b), max(a, b) - min(a, b) + 1, coarse,
			sim_below(2));
}

/* Open the view; what is written before it is open isn't reported, and so copied at once. */
static void view_open(struct reader *rd)
{
	unsigned int id, i;

	while (dmt_tracking_start(rd->v))
		SIM_CHECK(r.faults);
	for (i = 0; i < PAGES; i++)
		for (id = 0; id < DEVICES; id++)
			if (r.content[i][id] != rd->copy[i][id] ||
			    sim.fiber[1 + id].n)
				rd->copy[i][id] = READ_ONCE(r.content[i][id]);
}

static void viewer(void *arg)
{
	struct reader *rd = &r.reader[1];
	unsigned int n = 1 + sim_below(5);

	(void)arg;
	rd->v = &r.view;
	rd->v->c = &r.c;
	view_open(rd);
	while (n--) {
		harvest_any(rd);
		if (sim_below(3))
			continue;
		dmt_tracking_end(rd->v);
		view_open(rd);
	}
	while (r.at_work)
		sim_yield();
	sim_flush_all();
	while (harvest(rd, 0, PAGES, 0, false)) /* with faults: again */
		;
	if (sim_below(2))
		dmt_tracking_end(rd->v);
}

static void harvester(void *arg)
{
	unsigned int n = 1 + sim_below(4), faults;

	(void)arg;
	while (n--)
		harvest_any(OWN);
	while (r.at_work)
		sim_yield();
	sim_flush_all();
	faults = r.faults;
	if (faults && sim_below(2))
		harvest(OWN, 0, PAGES, 0, sim_below(2)); /* may fail */
	r.faults = 0;
	sim.deny = 0;
	r.unmaps = 2 * !!r.unmaps;
	/* With faults, answers that were put back may report too much: don't check for that. */
	r.faults = faults ? ~0U : 0;
	harvest(OWN, 0, PAGES, 0, false);
}

static int map(unsigned int i)
{
	return dmt_map(&r.c, iova_of(layout[i].page),
		       iova_of(layout[i].page) + layout[i].n * PAGE - 1,
		       MEMORY + layout[i].page * PAGE, DMT_READ | DMT_WRITE);
}

/* No device may have a page pinned that was unmapped. */
static void check_unpinned(u64 page, u64 n)
{
	while (n--)
		SIM_CHECK(!r.gup[page++]);
}

/* Unmap one or more of the mappings, and map them again. */
static void unmapper(void *arg)
{
	unsigned int times = 1 + sim_below(2), i, end;

	(void)arg;
	while (times--) {
		struct dmt_bitmap bitmap = {
			.data = (__u64 *)r.last_answer,
			.pgshift = r.c.pgshift,
		};
		u64 page, n, size = ~0ULL;
		int err;

		i = sim_below(MAPPINGS);
		end = i + 1 + sim_below(MAPPINGS - i);
		page = layout[i].page;
		n = layout[end - 1].page + layout[end - 1].n - page;
		r.unmaps++;
		err = dmt_unmap(&r.c, iova_of(page),
				iova_of(page) + n * PAGE - 1, false, &bitmap,
				(__u64 *)&size);
		SIM_CHECK(!err || (r.stubborn && err == -EBUSY) ||
			  (r.faults && (err == -EFAULT || err == -EINTR)));
		if (!err) {
			check_unpinned(page, n);
			SIM_CHECK(size == n * PAGE);
			copy(OWN, r.last_answer, page, n, 0);
			while (i < end)
				i += map(i) == 0;
		}
		r.unmaps++;
	}
	r.at_work--;
}

/* STOP and START ------------------------------------------------------------------------ */

/* STOP must not free memory under the lock; RCU's callbacks may run at any time. */
static void check_freed(void)
{
	if (!sim.atomic && r.stopping & 1U << sim.now)
		SIM_CHECK(!sim_holds(&r.c.lock));
}

static void stop_tracking(void)
{
	r.stopping |= 1U << sim.now;
	SIM_CHECK(!dmt_tracking_stop(&r.c.own));
	r.stopping &= ~(1U << sim.now);
}

/* Mark odd pages all the time. */
static void marker(void *arg)
{
	(void)arg;
	while (r.at_work)
		mark(iova_of(sim_below(PAGES / 2) * 2 + 1), PAGE);
}

/* START, mark some even pages, each only once, and STOP. */
static void stopper(void *arg)
{
	unsigned int times = 1 + sim_below(4), n;

	(void)arg;
	while (times--) {
		SIM_CHECK(!dmt_tracking_start(&r.c.own));
		for (n = 1 + sim_below(4); n; n--) {
			unsigned int page = sim_below(PAGES / 2) * 2;

			if (!r.marked[page])
				r.marked[page] = !dmt_operation_mark(
					&r.c, iova_of(page), PAGE);
		}
		stop_tracking();
	}
	r.at_work--;
}

/* When tracking is stopped, start it: no page marked before may be reported. */
static void starter(void *arg)
{
	struct dmatrack_get_log log = { .last = ~0ULL };
	bool old[PAGES];
	unsigned int i;

	(void)arg;
	while (r.at_work) {
		memcpy(old, r.marked, sizeof(old));
		SIM_CHECK(!dmt_tracking_describe(&r.c.own, &log));
		if (log.flags & DMATRACK_LOG_TRACKING) {
			sim_yield();
			continue;
		}
		SIM_CHECK(!dmt_tracking_start(&r.c.own));
		if (get_bitmap(OWN, 0, PAGES, 0))
			continue; /* tracking was stopped again */
		for (i = 0; i < PAGES; i++)
			if (old[i] && OWN->answer[i / 64] >> i % 64 & 1)
				sim_fail("page %u is of the time before", i);
	}
}

/* Unmap and map a mapping. */
static void remapper(void *arg)
{
	unsigned int i;
	u64 size;

	(void)arg;
	while (r.at_work) {
		i = sim_below(MAPPINGS);
		SIM_CHECK(!dmt_unmap(&r.c, iova_of(layout[i].page),
				     iova_of(layout[i].page + layout[i].n) - 1,
				     false, NULL, (__u64 *)&size));
		SIM_CHECK(!map(i));
		sim_yield();
	}
}

static void run_begin(uint64_t seed)
{
	sim_begin(seed);
	memset(&r, 0, sizeof(r));
	OWN->v = &r.c.own;
	if (dmt_container_init(&r.c, &r.host, true, 10) ||
	    dmt_tracking_start(&r.c.own))
		abort();
}

static void map_all(void)
{
	unsigned int i;

	for (i = 0; i < MAPPINGS; i++)
		if (map(i))
			abort();
}

static void run_end(void)
{
	unsigned int i;

	if (sim.failed[0])
		return;
	dmt_container_close(&r.c);
	if (r.view.on)
		dmt_tracking_end(&r.view);
	SIM_CHECK(!r.c.views.nr_pending);
	dmt_container_fini(&r.c);
	for (i = 0; i < PAGES; i++)
		SIM_CHECK(!r.gup[i]);
	SIM_CHECK(!r.locked);
	sim_end();
}

/* A reader's copy is exact. */
static void check_exact(const struct reader *rd)
{
	unsigned int i, id;

	for (i = 0; i < PAGES && !sim.failed[0]; i++)
		for (id = 0; id < DEVICES; id++)
			if (rd->copy[i][id] != r.content[i][id])
				sim_fail("page %u is lost: %llu, not %llu", i,
					 (unsigned long long)rd->copy[i][id],
					 (unsigned long long)r.content[i][id]);
}

static void run(uint64_t seed, bool unmaps, unsigned int faults,
		unsigned int stubborn, bool views)
{
	unsigned int i;

	run_begin(seed);
	map_all();
	/* about the boundaries, and elsewhere */
	for (i = 0; i < HOT; i++)
		r.hot[i] = i < 6 ? layout[i / 2].page + i % 2 :
				   dml_random_below(&sim.rng, PAGES);
	r.hot[0] = 48;
	r.hot[2] = 999;
	r.hot[3] = PAGES - 1;
	r.faults = faults;
	r.stubborn = stubborn;
	sim.deny = faults;
	for (i = 0; i < DEVICES; i++)
		sim_spawn(device, NULL);
	r.at_work = DEVICES + unmaps;
	sim_spawn(harvester, NULL);
	if (unmaps)
		sim_spawn(unmapper, NULL);
	if (views)
		sim_spawn(viewer, NULL);
	sim_run();
	check_exact(OWN);
	if (views && !unmaps)
		check_exact(&r.reader[1]);
	r.faults = 0;
	run_end();
}

static void stopping(uint64_t seed)
{
	run_begin(seed);
	map_all();
	sim.freed = check_freed;
	r.at_work = 1;
	sim_spawn(stopper, NULL);
	sim_spawn(starter, NULL);
	sim_spawn(marker, NULL);
	if (seed % 2)
		sim_spawn(remapper, NULL);
	sim_run();
	run_end();
}

#define LARGE_CHUNKS 20000U /* 80 MiB of bitmaps */
#define FREED_MOST   5000U  /* pieces freed while the lock isn't taken anew */

/* Number of pieces freed since a lock was last taken, and the maximum of that number */
static unsigned long freed, freed_most, freed_since;

static void count_freed(void)
{
	check_freed();
	if (sim.locked != freed_since)
		freed = 0;
	freed_since = sim.locked;
	freed_most = max(freed_most, ++freed);
}

/* STOP frees a large log in bounded steps, between which other threads get the lock. */
static void stopping_large(uint64_t seed)
{
	const u64 chunk = DMT_CHUNK_PAGES * PAGE;
	unsigned int i;

	run_begin(seed);
	if (dmt_map(&r.c, 0, LARGE_CHUNKS * chunk - 1, MEMORY,
		    DMT_READ | DMT_WRITE))
		abort();
	for (i = 0; i < LARGE_CHUNKS; i++)
		SIM_CHECK(!dmt_operation_mark(&r.c, i * chunk, PAGE));
	SIM_CHECK(sim.memory > LARGE_CHUNKS);
	freed_most = 0;
	sim.freed = count_freed;
	stop_tracking();
	SIM_CHECK(sim.memory < 10);
	SIM_CHECK(freed_most < FREED_MOST);
	sim.freed = NULL;
	run_end();
}

#define FIRST 100U /* number of a page */

/* When page 3 of the call is pinned, pages 0 and 2 lose the entries that it has counted on. */
static void let_go_between(void)
{
	if (!r.gup[FIRST + 3])
		return;
	r.on_pin = NULL;
	SIM_CHECK(!dmt_operation_unpin(&r.c, iova_of(FIRST), 1));
	SIM_CHECK(!dmt_operation_unpin(&r.c, iova_of(FIRST + 2), 1));
}

/*
 * A call pins four pages, of which another driver has the first and the third. That driver lets go
 * of them when the call has pinned the others: so it pins these two, too, but the page between them
 * not once more.
 */
static void pin_between(void *arg)
{
	struct page *pages[4];

	(void)arg;
	SIM_CHECK(!dmt_operation_pin(&r.c, iova_of(FIRST), 1, DMT_READ, pages));
	SIM_CHECK(!dmt_operation_pin(&r.c, iova_of(FIRST + 2), 1, DMT_READ,
				     pages));
	r.on_pin = let_go_between;
	SIM_CHECK(!dmt_operation_pin(&r.c, iova_of(FIRST), 4, DMT_READ, pages));
	SIM_CHECK(!r.on_pin && r.gup[FIRST + 1] == 1);
	SIM_CHECK(!dmt_operation_unpin(&r.c, iova_of(FIRST), 4));
}

static void pinning_between(uint64_t seed)
{
	run_begin(seed);
	map_all();
	sim_spawn(pin_between, NULL);
	sim_run();
	run_end();
}

static void plain(uint64_t seed)
{
	run(seed, false, 0, 0, false);
}

static void unmapping(uint64_t seed)
{
	run(seed, true, 0, 0, false);
}

/* Drivers that obey from one in 2 to one in 400 callbacks */
static void stubborn(uint64_t seed)
{
	run(seed, true, seed % 3 ? 0 : 20, 2 + seed % 400, false);
}

static void failing(uint64_t seed)
{
	run(seed, seed % 2, 3 + seed % 40, 0, false);
}

static void viewing(uint64_t seed)
{
	run(seed, seed % 4 == 3, 0, 0, true);
}

static void viewing_failing(uint64_t seed)
{
	run(seed, seed % 4 == 3, 3 + seed % 40, 0, true);
}

static void test_plain(void)
{
	sim_schedules(6000, plain);
}

static void test_unmapping(void)
{
	sim_schedules(6000, unmapping);
}

static void test_stubborn(void)
{
	sim_schedules(4000, stubborn);
}

static void test_failing(void)
{
	sim_schedules(8000, failing);
}

static void test_viewing(void)
{
	sim_schedules(6000, viewing);
}

static void test_viewing_failing(void)
{
	sim_schedules(6000, viewing_failing);
}

static void test_stopping(void)
{
	sim_schedules(4000, stopping);
}

static void test_pinning_between(void)
{
	sim_schedules(100, pinning_between);
}

static void test_stopping_large(void)
{
	sim_schedules(1, stopping_large);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		sim_first_seed = strtoull(argv[1], NULL, 0);
	TEST(test_plain, "schedules of devices and harvests");
	TEST(test_unmapping, "schedules of devices, harvests and unmaps");
	TEST(test_stubborn, "schedules with drivers that unpin late or not");
	TEST(test_failing, "schedules with failures");
	TEST(test_viewing, "schedules with two views");
	TEST(test_viewing_failing, "schedules with two views, and failures");
	TEST(test_pinning_between,
	     "a page pinned between two that are unpinned");
	TEST(test_stopping, "schedules with STOP and START");
	TEST(test_stopping_large, "STOP of a large log");
	sim_free_stacks();
	return tap_done();
}
