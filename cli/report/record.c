// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Writes the record of a run.
 *
 * Bins are counted by words of the bitmap: 1 TiB is four million words, most of them 0,
 * and takes some milliseconds. A round's line is flushed when the round ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "cli/common/cli.h"
#include "record.h"

#define WORD_BITS 64

const char *const record_kinds[] = { "full", "round", "last" };
const char *const record_results[] = { "copied", "exact", "differs", "failed",
				       "watched" };
const char *const record_reasons[] = {
	[DMATRACK_RUNNING] = "none",	  [DMATRACK_FITS] = "fits",
	[DMATRACK_DIVERGES] = "diverges", [DMATRACK_ROUNDS] = "rounds",
	[DMATRACK_ASKED] = "asked",
};

/**
 * struct part - a region, in pages
 * @first: number of its first page: IOVA / page size
 * @pages: number of its pages
 * @before: number of pages of the regions before it
 */
struct part {
	uint64_t first;
	uint64_t pages;
	uint64_t before;
};

/**
 * struct record - a record that is being written
 * @out: the file
 * @error: -errno of the first error; nothing is written after it
 * @page_size: bytes of a page
 * @part: regions of the run
 * @nparts: number of regions
 * @pages: number of pages of all regions
 * @bin_pages: number of pages of a bin
 * @nbins: number of bins
 * @known: true: @bin was filled in for the next round
 * @bin: number of dirty pages of each bin in the next round
 */
struct record {
	FILE *out;
	int error;
	uint64_t page_size;
	struct part *part;
	unsigned int nparts;
	uint64_t pages;
	uint64_t bin_pages;
	unsigned int nbins;
	bool known;
	uint64_t bin[RECORD_BINS];
};

/* Bins */

uint64_t record_bin_pages(uint64_t pages)
{
	return pages / RECORD_BINS + !!(pages % RECORD_BINS);
}

unsigned int record_bins(uint64_t pages)
{
	uint64_t each = record_bin_pages(pages);

	return each ? (unsigned int)(pages / each + !!(pages % each)) : 0;
}

/* Number of set bits in [from, to) */
static uint64_t count_bits(const uint64_t *bitmap, uint64_t from, uint64_t to)
{
	uint64_t head = ~UINT64_C(0) << from % WORD_BITS;
	uint64_t tail = ~UINT64_C(0) >> (WORD_BITS - 1 - (to - 1) % WORD_BITS);
	uint64_t i = from / WORD_BITS, last = (to - 1) / WORD_BITS, count;

	if (from >= to)
		return 0;
	if (i == last)
		return (uint64_t)__builtin_popcountll(bitmap[i] & head & tail);
	count = (uint64_t)__builtin_popcountll(bitmap[i] & head);
	while (++i < last) {
		if (bitmap[i])
			count += (uint64_t)__builtin_popcountll(bitmap[i]);
	}
	return count + (uint64_t)__builtin_popcountll(bitmap[i] & tail);
}

/* Add bits [from, to), all if @bitmap is NULL, to the bins from @page on, a number over all regions. */
static void add_bits(struct record *r, const uint64_t *bitmap, uint64_t from,
		     uint64_t to, uint64_t page)
{
	while (from < to) {
		uint64_t bin = page / r->bin_pages;
		uint64_t n = (bin + 1) * r->bin_pages - page;

		if (n > to - from)
			n = to - from;
		r->bin[bin] += bitmap ? count_bits(bitmap, from, from + n) : n;
		from += n;
		page += n;
	}
}

void record_dirty(struct record *r, uint64_t iova, uint64_t pages,
		  const uint64_t *bitmap)
{
	uint64_t first = r ? iova / r->page_size : 0, from, to;
	unsigned int i;

	if (r)
		r->known = true;
	for (i = 0; r && i < r->nparts; i++) {
		const struct part *p = &r->part[i];

		from = p->first > first ? p->first : first;
		to = p->first + p->pages < first + pages ? p->first + p->pages :
							   first + pages;
		if (from < to)
			add_bits(r, bitmap, from - first, to - first,
				 p->before + (from - p->first));
	}
}

/* Return: the region of a page, by its number, or else the next one; or the end of the list */
static const struct part *find_part(const struct record *r, uint64_t page)
{
	unsigned int low = 0, high = r->nparts;

	while (low < high) {
		unsigned int i = low + (high - low) / 2;

		if (r->part[i].first + r->part[i].pages <= page)
			low = i + 1;
		else
			high = i;
	}
	return r->part + low;
}

uint64_t record_dirty_run(struct record *r, uint64_t iova, uint64_t pages)
{
	uint64_t first = iova / r->page_size, last = first + pages, n = 0;
	const struct part *p = find_part(r, first);

	r->known = true;
	for (; p < r->part + r->nparts && p->first < last; p++) {
		uint64_t from = p->first > first ? p->first : first;
		uint64_t to = p->first + p->pages < last ? p->first + p->pages :
							   last;

		add_bits(r, NULL, 0, to - from, p->before + (from - p->first));
		n += to - from;
	}
	return n;
}

void record_dirty_all(struct record *r)
{
	unsigned int i;

	if (!r)
		return;
	r->known = true;
	for (i = 0; i < r->nbins; i++)
		r->bin[i] = r->bin_pages;
	if (r->pages % r->bin_pages)
		r->bin[r->nbins - 1] = r->pages % r->bin_pages;
}

/*
 * A number for each bin or, for several equal ones, a pair of their count and the number:
 * [3, [100, 0], 5]. Zeros at the end are left out.
 */
json_t *record_pack_heat(const uint64_t *bin, unsigned int nbins)
{
	json_t *list = json_array();
	unsigned int i, n, end = nbins;

	while (end && !bin[end - 1])
		end--;
	for (i = 0; i < end; i += n) {
		json_int_t count = (json_int_t)bin[i];

		for (n = 1; i + n < end && bin[i + n] == bin[i];)
			n++;
		if (json_array_append_new(
			    list, n == 1 ? json_integer(count) :
					   json_pack("[i, I]", (int)n, count)))
			break;
	}
	if (i < end) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* Lines */

/* Text that isn't UTF-8 can't be written as JSON: "?" instead */
static json_t *string(const char *text)
{
	json_t *s = json_string(text);

	return s ? s : json_string("?");
}

static int set_number(json_t *line, const char *name, uint64_t n)
{
	return json_object_set_new(line, name,
				   json_integer(n > INT64_MAX ? INT64_MAX :
								(json_int_t)n));
}

/* Add a member, unless it is 0: a missing one means that. */
static int set_nonzero(json_t *line, const char *name, uint64_t n)
{
	return n ? set_number(line, name, n) : 0;
}

static void write_line(struct record *r, json_t *line, bool bad)
{
	if (bad && !r->error)
		r->error = -ENOMEM;
	errno = EIO;
	if (!r->error && (json_dumpf(line, r->out, JSON_COMPACT) ||
			  fputc('\n', r->out) == EOF || fflush(r->out)))
		r->error = -errno;
	json_decref(line);
}

static json_t *regions(const struct record_run *run)
{
	json_t *list = json_array();
	char iova[24];
	unsigned int i;

	for (i = 0; i < run->nregions; i++) {
		snprintf(iova, sizeof(iova), "%#" PRIx64, run->region[i].iova);
		if (json_array_append_new(
			    list, json_pack("{s:s, s:I}", "iova", iova, "size",
					    (json_int_t)run->region[i].size)))
			break;
	}
	if (i < run->nregions) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *sources(const struct record_run *run)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < run->nsources; i++)
		json_array_append_new(list, string(run->source[i]));
	return list;
}

/* Pages that each source reported */
static json_t *reported(const struct dmatrack_round *round)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < round->nsources; i++)
		json_array_append_new(
			list,
			json_integer((json_int_t)round->sources[i].pages));
	return list;
}

/* Arguments of this process; an empty array if /proc has none */
static json_t *arguments(void)
{
	FILE *in = fopen("/proc/self/cmdline", "re");
	json_t *list = json_array();
	char *word = NULL;
	size_t room = 0;

	while (in && getdelim(&word, &room, '\0', in) > 0) {
		if (json_array_append_new(list, string(word)))
			break;
	}
	free(word);
	if (in)
		fclose(in);
	return list;
}

/* Date, host, version and arguments */
static int set_origin(json_t *line)
{
	time_t now = time(NULL);
	struct utsname host;
	struct tm tm;
	char date[32];
	int bad = 0;

	if (gmtime_r(&now, &tm) &&
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm))
		bad |= json_object_set_new(line, "date", string(date));
	if (!uname(&host))
		bad |= json_object_set_new(line, "host", string(host.nodename));
	bad |= json_object_set_new(line, "version", string(DMATRACK_RELEASE));
	bad |= json_object_set_new(line, "arguments", arguments());
	return bad;
}

static void write_run(struct record *r, const struct record_run *run)
{
	json_t *line = json_object();
	int bad = set_number(line, "dmatrack_record", RECORD_VERSION);

	bad |= set_origin(line);
	bad |= json_object_set_new(line, "command", string(run->command));
	bad |= json_object_set_new(line, "driver", string(run->driver));
	if (run->target)
		bad |= json_object_set_new(line, "target", string(run->target));
	bad |= set_number(line, "page_size", run->page_size);
	bad |= set_nonzero(line, "bandwidth_limit", run->bandwidth);
	bad |= set_nonzero(line, "downtime_limit_ns", run->downtime);
	bad |= set_nonzero(line, "left_limit", run->until);
	bad |= set_nonzero(line, "rounds_limit", run->rounds);
	if (run->refine)
		bad |= json_object_set_new(line, "refine", json_true());
	if (run->nsources > 1)
		bad |= json_object_set_new(line, "sources", sources(run));
	bad |= json_object_set_new(line, "regions", regions(run));
	write_line(r, line, bad);
}

/*
 * The first round has no bitmaps: everything is dirty. If pages are compared, take those
 * that changed rather than those that were reported.
 */
static void take_bitmaps(struct record *r, const struct dmatrack_round *round)
{
	const uint64_t *const *bitmaps =
		round->sent_bitmaps ? round->sent_bitmaps : round->bitmaps;
	unsigned int i;

	if (!round->number && round->dirty) {
		record_dirty_all(r);
		return;
	}
	for (i = 0; bitmaps && i < r->nparts; i++)
		record_dirty(r, r->part[i].first * r->page_size,
			     r->part[i].pages, bitmaps[i]);
}

void record_round(struct record *r, const struct dmatrack_round *round)
{
	enum record_kind kind = round->last   ? RECORD_LAST :
				round->number ? RECORD_ROUND :
						RECORD_FULL;
	json_t *line;
	int bad = 0;

	if (!r)
		return;
	take_bitmaps(r, round);
	line = json_object();
	bad |= set_number(line, "round", round->number);
	bad |= json_object_set_new(line, "kind", string(record_kinds[kind]));
	bad |= set_number(line, "begin_ns", round->begin);
	bad |= set_number(line, "end_ns",
			  round->begin + round->harvest + round->copy);
	bad |= set_number(line, "harvest_ns", round->harvest);
	bad |= set_number(line, "copy_ns", round->copy);
	bad |= set_number(line, "pages_dirty", round->dirty);
	bad |= set_number(line, "pages_sent", round->sent);
	bad |= set_nonzero(line, "pages_zero", round->zero);
	bad |= set_nonzero(line, "pages_same", round->same);
	bad |= set_number(line, "bytes", round->bytes);
	bad |= set_nonzero(line, "rate", round->rate);
	bad |= set_nonzero(line, "dirty_rate", round->dirty_rate);
	if (round->left != UINT64_MAX)
		bad |= set_number(line, "bytes_left", round->left);
	if (round->downtime != UINT64_MAX)
		bad |= set_number(line, "downtime_ns", round->downtime);
	if (round->sources && round->nsources > 1)
		bad |= json_object_set_new(line, "pages_reported",
					   reported(round));
	if (r->known)
		bad |= json_object_set_new(line, "heat",
					   record_pack_heat(r->bin, r->nbins));
	write_line(r, line, bad);
	memset(r->bin, 0, sizeof(r->bin));
	r->known = false;
}

static void write_end(struct record *r, const struct record_end *end)
{
	json_t *line = json_object();
	int bad = json_object_set_new(line, "result",
				      string(record_results[end->result]));

	bad |= json_object_set_new(line, "reason",
				   string(record_reasons[end->reason]));
	if (end->error)
		bad |= json_object_set_new(line, "error", string(end->error));
	bad |= set_number(line, "time_ns", end->time);
	bad |= set_nonzero(line, "downtime_ns", end->downtime);
	bad |= set_nonzero(line, "stop_ns", end->stop);
	bad |= set_nonzero(line, "last_harvest_ns", end->last_harvest);
	bad |= set_nonzero(line, "last_copy_ns", end->last_copy);
	bad |= set_nonzero(line, "finish_ns", end->finish);
	bad |= set_number(line, "bytes", end->bytes);
	write_line(r, line, bad);
}

/* Beginning and end */

static int take_regions(struct record *r, const struct record_run *run)
{
	uint64_t pages, end = 0;
	unsigned int i;

	r->part = calloc(run->nregions, sizeof(*r->part));
	if (!r->part)
		return -ENOMEM;
	for (i = 0; i < run->nregions; i++) {
		const struct dmatrack_region *g = &run->region[i];

		pages = g->size / run->page_size;
		if (!pages || (g->iova | g->size) % run->page_size ||
		    g->size > INT64_MAX || g->iova / run->page_size < end ||
		    g->size - 1 > UINT64_MAX - g->iova)
			return -EINVAL;
		r->part[i] = (struct part){ g->iova / run->page_size, pages,
					    r->pages };
		r->pages += pages;
		end = r->part[i].first + pages;
	}
	r->nparts = run->nregions;
	r->bin_pages = record_bin_pages(r->pages);
	r->nbins = record_bins(r->pages);
	return 0;
}

int record_create(struct record **r, const char *path,
		  const struct record_run *run)
{
	struct record *new;
	int ret = -EINVAL;

	if (!run->nregions || run->nregions > RECORD_REGIONS ||
	    run->page_size < 512 || run->page_size & (run->page_size - 1))
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->page_size = run->page_size;
	ret = take_regions(new, run);
	if (ret)
		goto fail;
	new->out = fopen(path, "we");
	ret = -errno;
	if (!new->out)
		goto fail;
	write_run(new, run);
	*r = new;
	return 0;
fail:
	free(new->part);
	free(new);
	return ret;
}

int record_close(struct record *r, const struct record_end *end)
{
	int ret;

	if (!r)
		return 0;
	if (end)
		write_end(r, end);
	if (fclose(r->out) && !r->error)
		r->error = -errno;
	ret = r->error;
	free(r->part);
	free(r);
	return ret;
}

int record_copy_close(struct record *r, const struct dmatrack_totals *totals,
		      enum record_result result, const char *error)
{
	const struct record_end end = {
		.result = result,
		.reason = totals->reason <= DMATRACK_ASKED ? totals->reason :
							     DMATRACK_RUNNING,
		.error = error,
		.time = totals->time,
		.downtime = totals->downtime,
		.stop = totals->stop,
		.last_harvest = totals->last_harvest,
		.last_copy = totals->last_copy,
		.finish = totals->finish,
		.bytes = totals->bytes,
	};

	return record_close(r, &end);
}
