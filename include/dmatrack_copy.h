/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack: copy memory while devices write to it.
 *
 *	containers, memory --> pre-copy --> a destination
 *	                                     |- an image: a file
 *	                                     |- a sender ~~ channel ~~ a receiver --> a destination
 *	                                     '- your own
 *
 * Pre-copy copies all of the memory, then, round by round, what was written
 * meanwhile, until so little is left that the devices can be stopped for it. Where it
 * copies to is a destination: a few functions. An image and a sender are
 * destinations; a receiver has one of its own, into which it puts what arrives.
 *
 * Functions return 0 or a negative errno, unless said otherwise; dmatrack_error()
 * then says more. IOVAs and sizes are in bytes, times in nanoseconds.
 *
 * Structures that a program fills in begin with their size, so that later versions of
 * the library can add to them: set it to sizeof, and what you leave out to 0. What a shorter
 * one, of an older program, lacks is taken as 0. One that is longer, of a newer program, is good as long
 * as all that isn't known here is 0, else -E2BIG. One that is too short for what every program has
 * (up to @stop, @finish, @write of a channel, @tls, @connect, @accept) is -EINVAL.
 */
#ifndef DMATRACK_COPY_H
#define DMATRACK_COPY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dmatrack.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An errno that no system call has: the copy is complete, exact and in its place, but it is not
 * certain that it outlasts a crash of the machine. As every error it is returned negative.
 */
#define DMATRACK_NOT_DURABLE	ESTRPIPE

/* Memory and destinations ------------------------------------------------------ */

/**
 * struct dmatrack_region - memory to copy
 * @iova: where devices see it, page-aligned. It's the name of the memory at the
 *	  destination, too
 * @size: whole pages, not 0; does not reach beyond the last IOVA
 * @vaddr: where it is in this process; unused where there's another way to read it
 *
 * For the stock driver a region must begin and end where mappings do.
 */
struct dmatrack_region {
	uint64_t iova;
	uint64_t size;
	void *vaddr;
};

/* Regions of a copy, at the most; ascending by IOVA, and apart */
#define DMATRACK_REGIONS_MAX	4096u

/* Bytes of a write to a destination, at the most: whole pages; of the largest, one */
#define DMATRACK_WRITE_MAX	(2u << 20)

struct dmatrack_dest;

/* What became of a copy */
enum dmatrack_outcome {
	DMATRACK_NOT_COPIED,	/* the destination isn't complete, and can't become so any more */
	DMATRACK_COPIED,	/* it is complete */
	DMATRACK_UNKNOWN,	/* it may be complete, or become so: its answer was lost */
};

/**
 * struct dmatrack_dest_ops - what a destination does
 * @size: sizeof(struct dmatrack_dest_ops)
 * @begin: the first call: what will come. @regions and what they hold is the caller's,
 *	   for this call. All memory at the destination reads as zeros from now on. A receiver
 *	   calls it again where another copy begins in place of one that broke off
 * @write: put @data, 1 to DMATRACK_WRITE_MAX bytes in whole pages, within one region. @data doesn't
 *	   change until this returns, and is the caller's
 * @zero: this range of one region reads as zeros again
 * @round: a round ends here. NULL: nothing is to be done
 * @finish: everything is there, and exact: the copy is good from now on. Not called if
 *	    the copy fails or is given up. May be called again, by another process too, where
 *	    it isn't known whether it was done. After an error but -EINPROGRESS (it isn't known
 *	    whether the copy is good) and -DMATRACK_NOT_DURABLE (it is, but for that) it isn't
 *	    good, and becomes so only by another call
 * @lost: after another function has returned -EAGAIN: reach the destination again
 *	  and tell, by calling @again for each, which ranges to copy anew: those written that did not
 *	  arrive. Then go on. The call that returned -EAGAIN has not been done. NULL:
 *	  never returns that
 * @save: remember @state, up to DMATRACK_STATE_MAX bytes, so that it outlasts this process,
 *	  as what was written does. NULL: can't
 * @load: the state saved last, by this process or an earlier one. Return: its size,
 *	  0 if there is none. May be called before @begin, which isn't called if the
 *	  copy is gone on with. NULL: as 0
 * @close: free the destination; what was not finished is no copy
 * @digest: of all that was written, as dmatrack_digest() has it; where another process wrote it,
 *	    of what is there now. NULL: can't
 * @prepare: all that @finish will need and that can be undone: bring everything to disk, see
 *	     whether the name is free. @finish is called next, or the copy goes on, or is given
 *	     up. NULL: nothing is to be done
 * @recall: what it holds, read back from where it's kept, not from memory: call @tell for each
 *	    piece that may be other than zeros, ascending, 1 to DMATRACK_WRITE_MAX bytes in whole
 *	    pages of one region; an error of that is returned. So a copy that another process began is
 *	    compared before it's gone on with. NULL: can't, and such a copy begins anew
 * @attach: called before @begin, by a copy that can compare: within @lost, call @holds, with @copy,
 *	    for ranges of whole pages of one region that the destination proves to hold: XXH3's 128
 *	    bits of each page, or NULL for zeros. What memory holds otherwise is copied again; its
 *	    error ends the copy. NULL: it needs no such thing
 * @limit: the devices stand still, and functions return -ETIMEDOUT rather than to wait beyond @when,
 *	   by CLOCK_MONOTONIC, in ns; UINT64_MAX: they run again. NULL: it has no say in that
 * @outcome: asked after an error, as the last function before @close: enum dmatrack_outcome.
 *	     NULL: DMATRACK_NOT_COPIED, unless the error is -EINPROGRESS
 *
 * For a pre-copy those behind @finish may be left out of @size, for a receiver those behind @zero.
 *
 * Called by one thread at a time. Return: 0 (but for @load), -EAGAIN if @lost is there, or
 * any other negative errno, which ends the copy.
 */
#define DMATRACK_STATE_MAX	256u
struct dmatrack_dest_ops {
	size_t size;
	int (*begin)(struct dmatrack_dest *d,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size);
	int (*write)(struct dmatrack_dest *d, uint64_t iova, const void *data,
		     size_t size);
	int (*zero)(struct dmatrack_dest *d, uint64_t iova, uint64_t size);
	int (*round)(struct dmatrack_dest *d);
	int (*finish)(struct dmatrack_dest *d);
	int (*lost)(struct dmatrack_dest *d,
		    void (*again)(void *opaque, uint64_t iova, uint64_t size),
		    void *opaque);
	int (*save)(struct dmatrack_dest *d, const void *state, size_t size);
	int (*load)(struct dmatrack_dest *d, void *state, size_t size);
	void (*close)(struct dmatrack_dest *d);
	int (*digest)(struct dmatrack_dest *d, uint8_t digest[16]);
	int (*prepare)(struct dmatrack_dest *d);
	int (*outcome)(struct dmatrack_dest *d);
	void (*limit)(struct dmatrack_dest *d, uint64_t when);
	int (*recall)(struct dmatrack_dest *d,
		      int (*tell)(void *opaque, uint64_t iova, const void *data,
				  size_t size),
		      void *opaque);
	void (*attach)(struct dmatrack_dest *d,
		       int (*holds)(void *copy, uint64_t iova, uint64_t size,
				    const uint8_t (*hashes)[16]),
		       void *copy);
};

/**
 * struct dmatrack_dest - a destination; each kind embeds it, as its first member
 * @ops: of its kind
 */
struct dmatrack_dest {
	const struct dmatrack_dest_ops *ops;
};

/* Calls @d->ops->close(); @d may be NULL. */
void dmatrack_dest_close(struct dmatrack_dest *d);

/* Pre-copy --------------------------------------------------------------------- */

/* Compare by content: send only pages whose hash isn't that of what was sent last */
#define DMATRACK_REFINE		(1u << 0)
/* Where it doesn't converge, or out of rounds: fail with -ETIME, devices running.
 * Else they are stopped then, whatever that takes. */
#define DMATRACK_GIVE_UP	(1u << 1)

/* Why the devices were stopped, or not */
enum dmatrack_reason {
	DMATRACK_RUNNING,	/* not yet */
	DMATRACK_FITS,		/* what's left fits the allowed downtime */
	DMATRACK_DIVERGES,	/* what's left no longer becomes less */
	DMATRACK_ROUNDS,	/* as many rounds as allowed */
	DMATRACK_ASKED,		/* the program wanted it: DMATRACK_STOP_NOW */
};

/**
 * struct dmatrack_round - one round, and what it leads to expect
 * @number: 0 for the first, which copies everything
 * @last: the devices are stopped
 * @begin: since the copy began
 * @harvest: time to harvest
 * @copy: time to read, compare and write
 * @dirty: pages reported
 * @sent: pages written to the destination
 * @zero: pages that need not be sent: they are zero, and became so or still are
 * @same: pages that need not be sent: their content is what was sent last
 * @bytes: written to the destination: @sent times the page size
 * @rate: bytes a second at which pages went to the destination: this round's, or of
 *	  the latest that sent enough to tell; 0: not known yet
 * @dirty_rate: bytes a second that became dirty since the harvest before; with
 *		refinement, that changed. Of the last round: until the devices were stopped
 * @left: bytes still to send after this round, by what is known: an estimate
 * @downtime: that stopping now would cost, predicted; UINT64_MAX: not known yet. Of the last round:
 *	      that it has cost, but for finishing
 * @bitmaps: one bitmap a region: the pages reported for this round, a bit a page; the
 *	     library's, for the call that it comes with; NULL when it isn't complete
 * @sent_bitmaps: likewise, with DMATRACK_REFINE: of those, the pages written to the destination in
 *		  this round, or cleared there, as they had changed. NULL without it
 */
struct dmatrack_round {
	uint32_t number;
	uint32_t last;
	uint64_t begin;
	uint64_t harvest;
	uint64_t copy;
	uint64_t dirty;
	uint64_t sent;
	uint64_t zero;
	uint64_t same;
	uint64_t bytes;
	uint64_t rate;
	uint64_t dirty_rate;
	uint64_t left;
	uint64_t downtime;
	const uint64_t *const *bitmaps;
	const uint64_t *const *sent_bitmaps;
};

/**
 * struct dmatrack_totals - a whole copy
 * @reason: why the devices were stopped; enum dmatrack_reason
 * @stopped: the devices have been stopped by a call of stop(), and stay so: after
 *	     an error but -EINPROGRESS the program may want to start them again
 * @rounds: how many, the first and the last included
 * @resumed: how often the destination was lost and found again
 * @pages: of all regions
 * @sent, @zero, @same, @bytes: as in a round, of all
 * @time: from begin to end
 * @downtime: from the call of stop() until that of release(); without that, until everything was at
 *	      the destination, and that finished
 * @stop: of that, what stop() took
 * @last_harvest: of that, what the last harvest took
 * @last_copy: of that, what it took to bring the last pages to the destination
 * @finish: of that, what the destination took to finish: to compare, to write to disk
 * @memory: bytes that the copy itself needed at the most: bitmaps, hashes
 */
struct dmatrack_totals {
	uint32_t reason;
	uint32_t stopped;
	uint32_t rounds;
	uint32_t resumed;
	uint64_t pages;
	uint64_t sent;
	uint64_t zero;
	uint64_t same;
	uint64_t bytes;
	uint64_t time;
	uint64_t downtime;
	uint64_t stop;
	uint64_t last_harvest;
	uint64_t last_copy;
	uint64_t finish;
	uint64_t memory;
};

/* What progress() and round() may answer, besides a negative errno: give up */
#define DMATRACK_GO_ON		0
#define DMATRACK_STOP_NOW	1	/* stop the devices after this round */

/**
 * struct dmatrack_precopy - what to copy, whereto, and how
 * @size: sizeof(struct dmatrack_precopy)
 * @containers: whose devices write; not tracking. With 0 of them only @dirty tells
 *		what was written
 * @ncontainers: how many
 * @nregions: of @regions
 * @regions: the memory. Parts that a container has no mapping for are clean there
 * @dest: the destination; still owned by the caller
 * @flags: DMATRACK_REFINE, DMATRACK_GIVE_UP
 * @max_rounds: without the last; 0: 30
 * @bandwidth: bytes a second to write at the most while devices run; 0: no limit
 * @downtime: allowed; 0: 300 ms
 * @page_size: a power of two, from the containers' smallest to DMATRACK_WRITE_MAX; 0: the
 *	       smallest
 * @reserved: 0
 * @opaque: for the functions
 * @stop: stop the devices, and all else that writes: when this has returned 0, nothing
 *	  writes any more. Needed
 * @dirty: what others have written (processors: KVM's dirty log) in a region since the last
 *	   call of it: set bits in @bitmap, one for each page of @page_size; never clear any. First
 *	   called to begin: with @bitmap NULL; called for the last time after @stop.
 *	   NULL: none
 * @read: copy @size bytes at @offset of a region to @buf, while they may be written.
 *	  NULL: from @vaddr. For memory that isn't this process's
 * @progress: called some ten times a second while it works, with the round so far. May
 *	      be NULL
 * @round: called after each round. May be NULL
 * @standstill: ns from the call of stop() in which the copy must be finished, or else it's given
 *		up: -ETIMEDOUT. Not less than @downtime; 0: 30 s or five times @downtime,
 *		whichever is more; UINT64_MAX: no limit. A function of the destination that
 *		waits for something may take longer, but for a sender's
 * @start: start the devices again. Called if the copy fails after stop(), unless there is one
 *	   (-DMATRACK_NOT_DURABLE) or that isn't known (-EINPROGRESS). NULL: they stay stopped
 * @release: the memory isn't needed any more: start the devices again, for a copy of devices that go
 *	    on, such as a snapshot. A negative errno: they stay stopped; the copy goes on. NULL: they
 *	    stay stopped, as for a migration
 *
 * @release is called once. A destination without lost() has been given all pages by then, so its last
 * round() and finish() take place while devices run. If that fails there is no copy, and nothing else
 * is lost. A destination with lost() (a sender) may ask for any page again until it is finished, or
 * read memory to compare it, so @release is called after finish(). It isn't called if the copy fails
 * before (@start is), or if it isn't known whether there is one.
 *
 * For a migration @release must be NULL: devices that run here while there is a copy, or may be one,
 * could run at both ends. There, only @start tells that the devices may run again.
 *
 * All functions are called by the thread that runs the copy.
 */
struct dmatrack_precopy {
	size_t size;
	struct dmatrack *const *containers;
	const struct dmatrack_region *regions;
	uint32_t ncontainers;
	uint32_t nregions;
	struct dmatrack_dest *dest;
	uint32_t flags;
	uint32_t max_rounds;
	uint64_t bandwidth;
	uint64_t downtime;
	uint32_t page_size;
	uint32_t reserved;
	void *opaque;
	int (*stop)(void *opaque);
	int (*dirty)(void *opaque, unsigned int region, uint64_t *bitmap);
	int (*read)(void *opaque, unsigned int region, uint64_t offset,
		    void *buf, size_t size);
	int (*progress)(void *opaque, const struct dmatrack_round *round);
	int (*round)(void *opaque, const struct dmatrack_round *round);
	uint64_t standstill;
	int (*start)(void *opaque);
	int (*release)(void *opaque);
};

/**
 * dmatrack_precopy_run() - copy memory while devices write to it
 * @p: what, whereto and how
 * @totals: out, also on error; may be NULL
 *
 * Starts tracking, copies, stops the devices, copies the rest, finishes the
 * destination, stops tracking. On error tracking is stopped and the destination is not
 * finished.
 *
 * Return: 0: the destination holds what the memory held when stop() had returned; -EINPROGRESS:
 * it isn't known whether it does (DMATRACK_UNKNOWN): the devices must not be started again before
 * that is found out, since there may be two copies then. Any other error: there is no copy;
 * -ETIMEDOUT (as @standstill has it), -EINVAL, -E2BIG (something in @p), -EBUSY (a container is
 * tracking already), -ESTALE (something else has unmapped memory of a region, harvested, or
 * stopped tracking, so the copy can't be exact), -DMATRACK_NOT_DURABLE (copied, see there),
 * -ENOMEM, -ETIME (as DMATRACK_GIVE_UP has it), what a function
 * of @p or of the destination returned, what a call on a container did.
 */
int dmatrack_precopy_run(const struct dmatrack_precopy *p,
			 struct dmatrack_totals *totals);

/* An image: memory in a file ----------------------------------------------------- */

/* Replace an existing file; its room on the disk is freed by dmatrack_dest_close() */
#define DMATRACK_IMAGE_REPLACE	(1u << 0)
/* Go on with what an earlier process left unfinished, if it's there: as far as it proves to be what was sent */
#define DMATRACK_IMAGE_RESUME	(1u << 1)

/**
 * dmatrack_image_create() - a destination: a file
 * @d: out
 * @path: of the image. Until it's finished its name is that with ".partial" behind it
 * @flags: DMATRACK_IMAGE_*
 *
 * A sparse file: pages that are zero take no room. Finishing computes its check,
 * writes all to disk, and gives it its name. If the folder can't be written to disk then, it
 * returns -DMATRACK_NOT_DURABLE. What was not finished is kept only if save() was called, and
 * not where there was no room for it (-ENOSPC, -EDQUOT, -EFBIG). A limit on file sizes is an
 * error if the program ignores SIGXFSZ.
 *
 * Return: 0, -EEXIST, -EBUSY (another process writes it), -EBADMSG (with DMATRACK_IMAGE_RESUME alone:
 * a finished image is there, and was altered since), what open(2) has.
 */
int dmatrack_image_create(struct dmatrack_dest **d, const char *path,
			  unsigned int flags);

/**
 * dmatrack_image_discard() - an image that is not to be resumed
 * @d: made by dmatrack_image_create()
 *
 * Unless it's finished, dmatrack_dest_close() removes it, even if save() was called. A file that
 * took its name meanwhile stays.
 *
 * Return: 0, -EINVAL (no such destination).
 */
int dmatrack_image_discard(struct dmatrack_dest *d);

struct dmatrack_image;

/**
 * dmatrack_image_open() - read an image
 * @image: out
 * @path: of the file
 *
 * Return: 0; -EBADMSG (not an image, unfinished, cut, or its head is altered),
 * -EPROTONOSUPPORT (of a version that this library doesn't know), what open(2) has.
 */
int dmatrack_image_open(struct dmatrack_image **image, const char *path);
void dmatrack_image_close(struct dmatrack_image *image);

/* Its regions, @vaddr being NULL. The image's. Return: how many */
unsigned int dmatrack_image_regions(const struct dmatrack_image *image,
				    const struct dmatrack_region **regions);
uint32_t dmatrack_image_page_size(const struct dmatrack_image *image);

/**
 * dmatrack_image_read() - memory out of an image, checked
 * @image: open
 * @iova: page-aligned; with @size within one region
 * @buf: out
 * @size: whole pages
 *
 * Return: 0; -EBADMSG: what is in the file there isn't what was written; -EINVAL,
 * -EIO.
 */
int dmatrack_image_read(struct dmatrack_image *image, uint64_t iova, void *buf,
			uint64_t size);

/**
 * dmatrack_image_next_data() - skip what is zero
 * @image: open
 * @iova: in: where to look from; out: what comes next that may not be zero
 * @size: out: of it; within one region, at the most 64 MiB
 *
 * Return: 1; 0: nothing more; or a negative errno.
 */
int dmatrack_image_next_data(struct dmatrack_image *image, uint64_t *iova,
			     uint64_t *size);

/**
 * dmatrack_image_digest() - one number for all that is in the image
 * @image: open
 * @digest: out: as dmatrack_digest() has it for the same memory
 * @progress: called now and then with bytes done and bytes in all; nonzero: give up. Or NULL
 * @opaque: for it
 *
 * Reads and checks everything. Return: as dmatrack_image_read().
 */
int dmatrack_image_digest(struct dmatrack_image *image, uint8_t digest[16],
			  int (*progress)(void *opaque, uint64_t done,
					  uint64_t all),
			  void *opaque);

/**
 * dmatrack_digest() - one number for memory
 * @regions: in this process, not written meanwhile
 * @n: how many
 * @digest: out: XXH3's 128 bits over IOVA, size and content of the regions
 *
 * No protection against a peer that means to deceive.
 */
int dmatrack_digest(const struct dmatrack_region *regions, unsigned int n,
		    uint8_t digest[16]);

/* Cancelling what waits for a peer --------------------------------------------------- */

struct dmatrack_cancel;

/**
 * dmatrack_cancel_create() - a way to cancel calls that wait for another process
 * @c: out
 *
 * Give it to a struct dmatrack_peer, a struct dmatrack_sender, a struct dmatrack_receiver; any
 * number of them. It must last as long as they and their channels do.
 *
 * Return: 0, -ENOMEM, what eventfd(2) has.
 */
int dmatrack_cancel_create(struct dmatrack_cancel **c);

/**
 * dmatrack_cancel_set() - cancel, for good
 * @c: may be NULL
 *
 * Calls that wait for a peer, and those that would later, return -ECANCELED: reading,
 * connecting and accepting at once, writing after a second in which the peer may take the rest
 * of a frame. May be called by any thread and by a signal's handler: it's async-signal-safe.
 */
void dmatrack_cancel_set(struct dmatrack_cancel *c);
/* @c may be NULL. Nothing uses it any more. */
void dmatrack_cancel_destroy(struct dmatrack_cancel *c);

/* Channels: bytes both ways -------------------------------------------------------- */

struct dmatrack_channel;

/**
 * struct dmatrack_channel_ops - a channel of one's own
 * @size: sizeof(struct dmatrack_channel_ops)
 * @read: at least one byte; 0: the end; or a negative errno
 * @write: at least one byte; or a negative errno. Never raises SIGPIPE
 * @close: free it; or NULL
 *
 * May be called by one reading and one writing thread at a time.
 */
struct dmatrack_channel_ops {
	size_t size;
	ssize_t (*read)(void *opaque, void *buf, size_t size);
	ssize_t (*write)(void *opaque, const void *buf, size_t size);
	void (*close)(void *opaque);
};
/* @ops: copied. Return: 0, -EINVAL, -E2BIG (something in @ops), -ENOMEM */
int dmatrack_channel_new(struct dmatrack_channel **ch,
			 const struct dmatrack_channel_ops *ops, void *opaque);

/* From descriptors that are duplicated: a socket (twice the same), or two pipes */
int dmatrack_channel_fds(struct dmatrack_channel **ch, int in, int out);

/* TCP on this machine with neither TLS nor a secret: any user's process may be at the other end */
#define DMATRACK_PEER_INSECURE	(1u << 0)

/**
 * struct dmatrack_peer - with whom to speak, and how
 * @size: sizeof(struct dmatrack_peer)
 * @tls: for tcp: a folder of certificates, as dmatrack_connect() has it. NULL: none
 * @secret: for tcp on this machine without TLS: a file of 16 to 4096 bytes, its owner's alone; both
 *	    sides prove that they know what is in it. NULL: none
 * @names: with @tls: of the peer's certificate. One of them must be an alternative name of it (a
 *	   host, an IP address), or, where it has a "=" in it, its subject, as "openssl x509 -noout
 *	   -subject -nameopt RFC2253" prints that
 * @users: for unix: user IDs that the peer may have, besides ours and root's
 * @nnames: of @names; 0: any certificate by the authority will do
 * @nusers: of @users
 * @flags: DMATRACK_PEER_INSECURE
 * @cancel: cancels dmatrack_peer_connect() and dmatrack_accept(), and what is read and
 *	    written over their channels. NULL: nothing does
 * @connect_timeout: of a connection, in milliseconds; 0: 15 s. For unix: of the wait for another
 *		     process that is about to listen there, too
 * @handshake_timeout: of both sides' proof of identity; 0: 10 s
 * @opaque: for @turned_away
 * @turned_away: called by dmatrack_accept() when a connection came to nothing: a peer without the
 *		 proof that is wanted, or that gave up; dmatrack_error() says more. May be NULL
 */
struct dmatrack_peer {
	size_t size;
	const char *tls;
	const char *secret;
	const char *const *names;
	const uid_t *users;
	uint32_t nnames;
	uint32_t nusers;
	uint32_t flags;
	struct dmatrack_cancel *cancel;
	uint32_t connect_timeout;
	uint32_t handshake_timeout;
	void *opaque;
	void (*turned_away)(void *opaque, int error);
};

/**
 * dmatrack_peer_connect() - dmatrack_connect() by more than an address
 * @ch: out
 * @address: as dmatrack_connect() has it
 * @peer: for this call; what it points to, too, but @cancel
 *
 * Return: as dmatrack_connect(); -ECANCELED, -E2BIG.
 */
int dmatrack_peer_connect(struct dmatrack_channel **ch, const char *address,
			  const struct dmatrack_peer *peer);

/**
 * dmatrack_connect() - a channel to a peer that listens
 * @ch: out
 * @address: "unix:PATH", "tcp:HOST:PORT" (an IPv6 address in brackets), "fd:N" (a socket, which is duplicated),
 *	     "exec:COMMAND" (for sh; its standard input and output), "-" (ours)
 * @tls: for tcp: a folder with ca-cert.pem, client-cert.pem, client-key.pem (and for
 *	 those who listen server-cert.pem, server-key.pem). NULL: none, which is refused: see
 *	 struct dmatrack_peer
 *
 * Both sides must show a certificate by that authority; the side that listens one for
 * HOST. TLS 1.3. The process that listens at a Unix socket must be of this user, or root's.
 *
 * Return: 0, -EINVAL (the address), -EPERM (TCP without TLS), -EACCES (another user
 * listens), -EKEYREJECTED (a certificate), what connect(2) has.
 */
int dmatrack_connect(struct dmatrack_channel **ch, const char *address,
		     const char *tls);

struct dmatrack_listener;
/* As dmatrack_peer_connect() is to dmatrack_connect() */
int dmatrack_peer_listen(struct dmatrack_listener **l, const char *address,
			 const struct dmatrack_peer *peer);
int dmatrack_listen(struct dmatrack_listener **l, const char *address,
		    const char *tls);
/* The address with the port that was chosen, where it was 0. The listener's */
const char *dmatrack_listener_address(const struct dmatrack_listener *l);
/*
 * The next peer that has proven its identity (with TLS or a secret) or has begun to speak (without).
 * @timeout: in milliseconds, -1: for ever. All that connect go on side by side, each for
 * handshake_timeout; those that fail are dropped (see turned_away). Return: 0, -ETIMEDOUT,
 * -ECANCELED, or an error of the listener
 */
int dmatrack_accept(struct dmatrack_listener *l, struct dmatrack_channel **ch,
		    int timeout);
void dmatrack_listener_close(struct dmatrack_listener *l);
void dmatrack_channel_close(struct dmatrack_channel *ch);

/* Sending and receiving --------------------------------------------------------------- */

/* Compress with zstd */
#define DMATRACK_ZSTD		(1u << 0)
/* In the end both sides compute dmatrack_digest(), and compare, before the copy is good; the devices wait. Needs vaddr. */
#define DMATRACK_CHECK		(1u << 1)

/**
 * struct dmatrack_sender - how to send
 * @size: sizeof(struct dmatrack_sender)
 * @flags: DMATRACK_ZSTD, DMATRACK_CHECK
 * @level: of zstd; 0: 1
 * @opaque: for @connect
 * @connect: a channel to the receiver, which the sender closes. Called first with
 *	     @attempt 0, then whenever the connection has broken or an attempt has
 *	     failed, with 1, 2 ... until one is there that goes on; may wait. A negative errno: give up
 * @cancel: cancels the sender's functions; the receiver is told, if it listens. NULL: nothing does
 * @hello_timeout: until the receiver has introduced itself, in milliseconds; 0: 30 s
 * @peer_timeout: of each read and write; 0: 120 s. Then the connection has broken
 */
struct dmatrack_sender {
	size_t size;
	uint32_t flags;
	int32_t level;
	void *opaque;
	int (*connect)(void *opaque, unsigned int attempt, int why,
		       struct dmatrack_channel **ch);
	struct dmatrack_cancel *cancel;
	uint32_t hello_timeout;
	uint32_t peer_timeout;
};

/**
 * dmatrack_sender_create() - a destination: a receiver somewhere else
 * @d: out
 * @s: how; copied
 *
 * Its functions return -EAGAIN where the connection breaks; @lost connects again
 * and asks to copy anew what had been sent but not arrived. When the receiver was told to
 * complete the copy, and its answer was lost, and there's no other connection: -EINPROGRESS.
 *
 * Return: 0, -EINVAL, -E2BIG (something in @s), -ENOMEM, -EIO (no random numbers).
 */
int dmatrack_sender_create(struct dmatrack_dest **d,
			   const struct dmatrack_sender *s);

/**
 * dmatrack_sender_id() - the name of a copy, to ask for its outcome later
 * @d: made by dmatrack_sender_create()
 * @id: out
 *
 * Drawn at random when the sender is created; the receiver has it with the copy. Return: 0 or -EINVAL.
 */
int dmatrack_sender_id(const struct dmatrack_dest *d, uint8_t id[16]);

/**
 * dmatrack_sender_ask() - what became of a copy whose sender doesn't know
 * @s: how to reach the receiver; @connect as for the sender of a copy
 * @id: of the copy
 * @outcome: out: DMATRACK_COPIED; DMATRACK_NOT_COPIED; DMATRACK_UNKNOWN: the receiver that
 *	     answered knows nothing of it
 *
 * The sender of the copy has ended. A receiver that hasn't completed it gives it up for good before
 * it answers that.
 *
 * Return: 0, or a negative errno: there's no answer.
 */
int dmatrack_sender_ask(const struct dmatrack_sender *s, const uint8_t id[16],
			enum dmatrack_outcome *outcome);

/**
 * struct dmatrack_arrival - how far a receiver is
 * @bytes: that came over the channel
 * @data: bytes of memory that were written
 * @zeros: bytes of memory that were made zero
 * @memory: bytes of all regions
 * @rounds: that came to an end
 * @resumed: number of times that the connection broke and was made again
 * @connected: a sender is there now
 */
struct dmatrack_arrival {
	uint64_t bytes;
	uint64_t data;
	uint64_t zeros;
	uint64_t memory;
	uint32_t rounds;
	uint32_t resumed;
	uint32_t connected;
	uint32_t reserved;
};

/**
 * struct dmatrack_receiver - how to receive
 * @size: sizeof(struct dmatrack_receiver)
 * @flags: 0
 * @dest: where to; still owned by the caller. With save and load, another
 *	  process can go on where this one ended
 * @opaque: for the functions
 * @accept: a channel to a sender, which the receiver closes. Called first with
 *	    @attempt 0, then whenever the connection has broken, or a peer came that
 *	    makes no sense as a sender, with 1, 2 ...; @why is the errno of that. -EALREADY: the
 *	    copy is complete, but its sender may not know yet: wait for a short while. A
 *	    negative errno: give up; that's the end of dmatrack_receive(), unless the copy is complete.
 *	    Return @why where no other peer can come
 * @begin: what will come; may refuse it by a negative errno. Called again where another copy
 *	   begins in place of one that broke off. May be NULL
 * @progress: called some ten times a second while something arrives; nonzero: give up. May be NULL
 * @cancel: cancels dmatrack_receive(). Then @progress is asked once more: where it gives up, the
 *	    sender is told; else the connection just ends, and another process can go on. NULL: nothing
 *	    does
 * @hello_timeout: until a sender has introduced itself, in milliseconds; 0: 30 s
 * @peer_timeout: of each read and write; 0: 1800 s. Then the connection has broken
 */
struct dmatrack_receiver {
	size_t size;
	uint32_t flags;
	uint32_t reserved;
	struct dmatrack_dest *dest;
	void *opaque;
	int (*accept)(void *opaque, unsigned int attempt, int why,
		      struct dmatrack_channel **ch);
	int (*begin)(void *opaque, const struct dmatrack_region *regions,
		     unsigned int n, uint32_t page_size);
	int (*progress)(void *opaque, const struct dmatrack_arrival *arrival);
	struct dmatrack_cancel *cancel;
	uint32_t hello_timeout;
	uint32_t peer_timeout;
};

/**
 * dmatrack_receive() - receive one copy
 * @r: how
 * @arrival: out, also on error; may be NULL
 *
 * Nothing that comes is trusted: a stream that breaks is resumed (@accept); one
 * that is altered, of another version, or that doesn't fit what came before is refused,
 * and the sender is told why.
 *
 * Return: 0: the copy is complete and the destination finished; -DMATRACK_NOT_DURABLE (it is, but
 * for that; the sender is told that it has copied); -EBADMSG (altered), -EPROTO (makes no sense), -EPROTONOSUPPORT (another version), -EINVAL, -E2BIG (something in @r), -ECANCELED (given up by the sender, or by
 * @progress, or cancelled), what a function of @r or of the destination returned.
 */
int dmatrack_receive(const struct dmatrack_receiver *r,
		     struct dmatrack_arrival *arrival);

#ifdef __cplusplus
}
#endif

#endif
