/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Log: marks and takes of one chunk, as core/log.c has them, on a machine
 * whose processors have store buffers.
 *
 * A chunk of two pages. They are in one cache line of its bitmap, or with
 * -DLINES=2 in two. Markers write a page and mark it, or both pages, or the
 * chunk; a taker takes all or a part, at any moment, and copies the pages reported. A
 * page contains the number of its writes. With -DVIEWS=2 there are two views, which take in any
 * order: they hold the container's lock for it, so one taker plays both, each with a copy of its own, and
 * with pages that are pending in it because the other took them.
 *
 * Memory. A plain store goes into its processor's buffer, first in, first out,
 * and from there to memory at any moment, by Drain(). A locked operation, and
 * smp_mb(), waits until its processor's buffer is empty. Each statement that
 * begins with LOCKED, LOAD or a push() is one access; statements between two of them
 * touch no shared memory. A bitmap that was pulled out of the log is never reused here:
 * RCU ensures that.
 *
 * What must hold:
 *   - a take reports pages that were written and marked before it began (the copy is
 *     at least as new)
 *   - at the end, after a last take, the copy is exact
 *
 * The names behind #ifdef are faults, each of which must be found: see run.
 */
#ifndef LINES
#define LINES	1
#endif
#ifndef MARKS
#define MARKS	1	/* marks by each of two markers */
#endif
#ifndef TAKES
#define TAKES	1	/* takes while they mark; one more follows */
#endif

#ifndef VIEWS
#define VIEWS	1
#endif

#define BITMAPS	5
#define BUFFER	4

#ifndef TABLES
#define TABLES	1	/* given out at most; with one, it is never removed */
#endif

#define NIL	0
#define ALL	1				/* set in a slot: all dirty */
#define IDLE	2				/* set in a slot: found clean */
#define GONE	2				/* without a bitmap: the table was removed */
#define BOTH	3				/* pages, as bits */

#if LINES == 2
#define LINE_OF(pages)	(pages)			/* lines as bits, of pages */
#define PAGES_OF(lines)	(lines)
#else
#define LINE_OF(pages)	((pages) != 0)
#define PAGES_OF(lines)	((lines) * BOTH)
#endif

byte table = 1;			/* 0: none */
byte tables = 1;		/* given out */
byte slot[TABLES + 1];		/* 4 * bitmap, and maybe ALL or IDLE */
byte summary[TABLES + 1];
byte bits[BITMAPS + 1];		/* a bit for each page */
byte bitmaps;			/* given out */

byte content[2];		/* in memory */
byte copy[2 * VIEWS];		/* of page n by view v: 2 v + n */
byte pending[VIEWS];		/* pages, as bits */
byte complete[2];		/* newest content that is marked for good */
byte left = 2;			/* markers at work */

typedef buffer {
	byte n;
	byte what[BUFFER];	/* page 0, page 1; or 2 + 4 * bitmap + pages */
};
buffer buf[3];		/* the taker's stays empty */
byte mine[2];			/* content as each marker last wrote it */

#define LOCKED(me)	atomic { (me == 2 || buf[me].n == 0) ->
#define LOAD		atomic {
#define END		}

inline push(me, it)
{
	atomic {
		assert(buf[me].n < BUFFER);
		buf[me].what[buf[me].n] = it;
		buf[me].n++
	}
}

proctype Drain(byte me)
{
	byte it;

end:	do
	:: atomic {
		buf[me].n > 0 ->
		it = buf[me].what[0];
		buf[me].what[0] = buf[me].what[1];
		buf[me].what[1] = buf[me].what[2];
		buf[me].what[2] = buf[me].what[3];
		buf[me].what[3] = 0;
		buf[me].n--;
		if
		:: it < 2 ->
			content[it]++;
			mine[me] = content[it]
		:: else ->	/* a whole word is stored: all ones */
			bits[(it - 2) / 4] = bits[(it - 2) / 4] | (it - 2) % 4
		fi;
		it = 0
	   }
	od
}

/* Marks ------------------------------------------------------------------------ */

/* First mark of a clean chunk: publish a bitmap, or without memory 'all dirty'. */
inline mark_clean(me, pages, whole, done)
{
	atomic {
		if
		:: !whole && bitmaps < BITMAPS ->
			bitmaps++;
			new = 4 * bitmaps;
			bits[bitmaps] = pages
		:: new = ALL	/* all of it, or no memory */
		fi
	}
	LOCKED(me)		/* cmpxchg */
		if
		:: slot[tab] == NIL -> slot[tab] = new; done = true
		:: else -> new = ALL
#ifdef LATE_IS_DONE
			; done = true
#endif
		fi
	END
	if
	:: done && new != ALL ->
		LOCKED(me) summary[tab] = summary[tab] | LINE_OF(pages); new = 0 END
	:: else -> new = 0
	fi
}

/* Mark a page of a chunk that has a bitmap. */
inline mark_page(me, pages, done)
{
#ifdef TEST_BIT
#ifndef NO_MB_MARK
	LOCKED(me) skip END	/* smp_mb() */
#endif
	LOAD
		if
		:: (bits[seen / 4] & pages) == pages -> found = true
		:: else
		fi
	END
	if
	:: found ->
		LOAD found = (summary[tab] & LINE_OF(pages)) == LINE_OF(pages) END
	:: else
	fi;
	if
	:: found -> skip
	:: else ->
#endif
	LOCKED(me)
#ifdef SKIP_SUMMARY_IF_BIT_SET
		if
		:: (bits[seen / 4] & pages) == pages -> found = true
		:: else
		fi;
#endif
		bits[seen / 4] = bits[seen / 4] | pages
	END
#ifdef SKIP_SUMMARY_IF_BIT_SET
	if
	:: found -> found = false
	:: else ->
#endif
	LOAD old = summary[tab] & LINE_OF(pages) END
	if
	:: old != LINE_OF(pages) ->
		LOCKED(me) summary[tab] = summary[tab] | LINE_OF(pages) END
	:: else
	fi;
	old = 0;
#ifdef SKIP_SUMMARY_IF_BIT_SET
	fi;
#endif
#ifdef TEST_BIT
	fi;
	found = false;
#endif
#ifdef NO_RECHECK
	done = true
#else
	LOAD done = slot[tab] == seen END
#endif
}

/* Mark both pages, by storing whole words. */
inline mark_range(me, done)
{
#if LINES == 2
	push(me, 2 + 4 * (seen / 4) + 1);
	push(me, 2 + 4 * (seen / 4) + 2);
#else
	push(me, 2 + 4 * (seen / 4) + BOTH);
#endif
#ifdef RANGE_TESTS_SUMMARY
	LOAD old = summary[tab] END
	if
	:: old != LINE_OF(BOTH) ->
		LOCKED(me) summary[tab] = summary[tab] | LINE_OF(BOTH) END
	:: else
	fi;
	old = 0;
#else
	LOCKED(me) summary[tab] = summary[tab] | LINE_OF(BOTH) END
#endif
	LOAD done = slot[tab] == seen END
}

inline find_table(me)
{
	LOAD tab = table END;
	if
	:: tab == 0 ->
		LOCKED(me)
			if
			:: table == 0 -> tables++; table = tables
			:: else
			fi;
			tab = table
		END
	:: else
	fi
}

/* @pages were written, or @whole: all of the chunk was. */
inline mark(me, pages, whole)
{
	done = false;
	do
	:: done -> break
	:: else ->
		find_table(me)
		LOAD seen = slot[tab] END
		if
		:: seen == NIL ->
			mark_clean(me, pages, whole, done)
		:: seen == GONE		/* the table isn't the log's any more */
		:: seen != GONE && seen & IDLE ->
			LOCKED(me)			/* cmpxchg */
				if
				:: slot[tab] == seen -> slot[tab] = seen - IDLE
				:: else
				fi
			END
		:: seen & ALL ->
#ifdef ALL_NO_MB
			done = true
#else
			LOCKED(me) skip END		/* smp_mb() */
			LOAD done = slot[tab] & ALL END
#endif
		:: seen > GONE && !(seen & (ALL + IDLE)) && whole ->
			LOCKED(me)			/* cmpxchg */
				if
				:: slot[tab] == seen -> slot[tab] = seen | ALL; done = true
				:: else
#ifdef ALL_ANYHOW
					-> done = true
#endif
				fi
			END
		:: seen > GONE && !(seen & (ALL + IDLE)) && !whole && pages == BOTH ->
			mark_range(me, done)
		:: seen > GONE && !(seen & (ALL + IDLE)) && !whole && pages != BOTH ->
			mark_page(me, pages, done)
		fi;
		seen = 0
	od;
	done = false
}

proctype Marker(byte me)
{
	byte n, page, pages, seen, new, old, tab;
	bool whole, done, found;

	do
	:: n < MARKS ->
		atomic {
			n++;
			if
			:: page = 0
			:: page = 1
			fi;
			if
			:: pages = 1 << page
			:: pages = BOTH
#ifndef PAGES_ONLY
			:: pages = BOTH; whole = true
#endif
			fi
		}
		push(me, page);		/* the device writes */
		mark(me, pages, whole);
		/* mine still holds the value that came to memory, if it has come */
		atomic {
			if
			:: buf[me].n == 0 && mine[me] > complete[page] ->
				complete[page] = mine[me]
			:: else
			fi;
			page = 0;
			pages = 0;
			whole = false
		}
	:: else -> break
	od;
	atomic { buf[me].n == 0 -> left-- }
}

/* Takes ------------------------------------------------------------------------- */

inline copy_page(n)
{
	if
	:: got & (1 << n) -> LOAD copy[2 * v + n] = content[n] END
	:: else
	fi
}

/* All of the chunk is dirty. */
inline take_all(want)
{
	got = want;
	if
	:: want == BOTH || bitmaps == BITMAPS ->
		LOCKED(2)
			if
			:: want == BOTH -> slot[tab] = NIL
			:: else		/* the chunk stays all dirty, for want of memory */
			fi
		END
	:: else ->
		LOCKED(2)		/* split it */
			bitmaps++;
			bits[bitmaps] = BOTH - want;
			slot[tab] = 4 * bitmaps
		END
		LOCKED(2) summary[tab] = summary[tab] | LINE_OF(BOTH - want) END
	fi
}

/* Pull the bitmap out. */
inline take_out()
{
#ifdef OUT_READS_FIRST
	LOAD got = bits[seen / 4] END
	LOCKED(2) seen = slot[tab]; slot[tab] = NIL END
#else
	LOCKED(2) seen = slot[tab]; slot[tab] = NIL END
#endif
	if
	:: seen & ALL
#ifndef OUT_MISSES_ALL
		-> got = BOTH
#else
		-> got = bits[seen / 4]
#endif
	:: else ->
#ifndef OUT_READS_FIRST
		LOAD got = bits[seen / 4] & 1 END
		LOAD got = got | (bits[seen / 4] & 2) END
#endif
	fi
}

/* Pages of @want that are in @lines, word by word */
inline take_lines(want)
{
	part = want & PAGES_OF(lines);
	if
	:: lines ->
		LOCKED(2)
			got = bits[seen / 4] & part;
			bits[seen / 4] = bits[seen / 4] & (BOTH - part)
		END
		if
		:: part != PAGES_OF(lines) ->
#ifndef NO_LINE_LEFT
			LOAD part = bits[seen / 4] & PAGES_OF(lines) END
			if
			:: part -> LOCKED(2) summary[tab] = summary[tab] | lines END
			:: else
			fi
#endif
		:: else
		fi
	:: else
	fi
}

/* Found clean: for the first time in a row, or again */
inline take_clean()
{
	if
	:: seen & IDLE ->
		take_out()
#ifdef IDLE_IS_CLEAN
		; got = 0
#endif
	:: else ->
		LOCKED(2)		/* cmpxchg */
			if
			:: slot[tab] == seen -> slot[tab] = seen | IDLE
			:: else
			fi
		END
	fi
}

/* Remove the table, if its slot is clean. */
inline tidy()
{
	LOAD seen = slot[tab] END
	if
	:: seen == NIL && tables < TABLES ->
		LOCKED(2) table = 0 END
#ifndef NO_GONE
		LOCKED(2) seen = slot[tab]; slot[tab] = GONE END
		if
		:: seen == NIL
		:: seen != NIL ->
#ifndef NOT_AGAIN
			LOAD
				whole = seen & ALL;
				again = (whole -> 1 : bits[seen / 4])
			END
			do
			:: again & 1 -> again = again - 1; mark(2, (whole -> BOTH : 1), whole)
			:: again & 2 -> again = again - 2; mark(2, 2, false)
			:: again == 0 -> break
			od;
			whole = false
#endif
		fi
#endif
	:: else
	fi
}

inline take(want)
{
	atomic { begun[0] = complete[0]; begun[1] = complete[1]; got = 0 }
	LOAD tab = table END
	LOAD seen = slot[tab] END
	if
	:: tab == 0 || seen == NIL
	:: seen & ALL -> take_all(want)
	:: else ->
#ifdef TAKE_BITS_FIRST
		lines = LINE_OF(want);
		if
		:: lines -> LOAD lines = lines & summary[tab] END
		:: else
		fi;
		take_lines(want);
		LOCKED(2) summary[tab] = summary[tab] & (BOTH - lines) END
#else
		LOAD lines = summary[tab] & LINE_OF(want) END
#ifndef SUMMARY_LATER
		if
		:: lines ->
			LOCKED(2)
				lines = summary[tab] & LINE_OF(want);
				summary[tab] = summary[tab] & (BOTH - lines)
			END
		:: else
		fi;
#endif
		if
		:: want == BOTH && lines -> take_out()
		:: want == BOTH && !lines -> take_clean()
		:: want != BOTH || lines -> take_lines(want)
		fi;
#ifdef SUMMARY_LATER
		LOCKED(2) summary[tab] = summary[tab] & (BOTH - lines) END
#endif
#endif
	fi;
	if
	:: tab != 0 && want == BOTH -> tidy()
	:: tab != 0
	:: tab == 0
	fi;
#if VIEWS > 1
	atomic {		/* with the lock, which only takes need */
#ifndef NOT_GIVEN
		pending[1 - v] = pending[1 - v] | got;
#endif
		got = got | (pending[v] & want);
#ifdef PENDING_ALL_TAKEN
		pending[v] = 0
#else
		pending[v] = pending[v] & (BOTH - want)
#endif
	}
#endif
	copy_page(0);
	copy_page(1);
	atomic {
		assert(!(want & 1) || copy[2 * v] >= begun[0]);
		assert(!(want & 2) || copy[2 * v + 1] >= begun[1]);
		got = 0; seen = 0; tab = 0; lines = 0; part = 0; begun[0] = 0; begun[1] = 0
	}
}

proctype Taker()
{
	byte n, seen, lines, got, part, begun[2], tab, again, new, old, v;
	bool whole, done, found;

	do
	:: n < TAKES ->
		n++;
#if VIEWS > 1
		if
		:: v = 0
		:: v = 1
		fi;
#endif
		if
		:: take(BOTH)
		:: take(1)
		fi
	:: else -> break
	od;
	left == 0;
	v = 0;
	do
	:: v < VIEWS ->
		if
		:: take(BOTH)
		:: take(1); take(2)
		fi;
		atomic {
			assert(copy[2 * v] == content[0]);
			assert(copy[2 * v + 1] == content[1]);
			v++
		}
	:: else -> break
	od
}

init {
	atomic {
		run Drain(0);
		run Drain(1);
		run Marker(0);
		run Marker(1);
		run Taker()
	}
}
