/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Image file: what the writer (image.c) and the reader (image_read.c) of an image share.
 *
 *	0		head		4096 bytes, the last 16 a hash of all before
 *	4096		regions		IOVA and size of each, 16 bytes
 *	aligned		data		region by region, each aligned to the page
 *					size and to 4096; zeros are holes
 *	aligned to 4096	table		24 bytes for each chunk that isn't all zeros: its
 *					number and hash; ascending
 *	the end of the table is the end of the file
 *
 * A chunk is 1 MiB of a region from its begin on; the last of a region may be
 * shorter. Chunks are numbered through all regions. Where everything is follows
 * from the regions alone, so data is written in its place before it's known how much of it there will be.
 * The head has hashes of the regions and of the table, the table has one of each
 * chunk: so what is in the file can't differ unseen from what was written. All numbers are little-endian.
 *
 * The head says whether the image is complete. That is written after the rest is on disk, and
 * the file gets its name after that.
 */
#ifndef DML_IMAGE_IMAGE_FILE_H
#define DML_IMAGE_IMAGE_FILE_H

#include "lib/util/digest.h"
#include "lib/util/regions.h"

#define DML_IMAGE_MAGIC		"DMTimage"
#define DML_IMAGE_VERSION	1u
#define DML_IMAGE_COMPLETE	(1u << 0)
#define DML_IMAGE_HEAD		4096u

struct dml_image_head {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint32_t page_size;
	uint32_t nregions;
	uint64_t table;		/* where it begins */
	uint64_t entries;
	uint8_t regions_hash[16];
	uint8_t table_hash[16];
	uint8_t unused[40];	/* zeros; an earlier version had the id of the boot here */
	uint32_t state_size;
	uint32_t reserved;
	uint8_t state[DMATRACK_STATE_MAX];
	uint8_t zeros[DML_IMAGE_HEAD - 392];
	uint8_t hash[16];
};

struct dml_image_region {
	uint64_t iova;
	uint64_t size;
};

struct dml_image_entry {
	uint64_t chunk;
	uint8_t hash[16];
};

/**
 * struct dml_image_file - an image that is open
 * @fd: the file
 * @regions: what it is of
 * @offsets: where in the file each region is
 * @first: number of each region's first chunk
 * @chunks: how many
 * @table: where in the file the table is
 * @entries: the table, in host byte order; as far as it's known
 * @nentries: how many
 * @head: as in the file
 */
struct dml_image_file {
	int fd;
	struct dml_regions regions;
	uint64_t *offsets;
	uint64_t *first;
	uint64_t chunks;
	uint64_t table;
	struct dml_image_entry *entries;
	uint64_t nentries;
	struct dml_image_head head;
};

/* All of it. Return: 0, -EBADMSG (@dml_image_file_pread: the file ends), -errno */
int dml_image_file_pread(int fd, void *buf, size_t size, uint64_t offset);
int dml_image_file_pwrite(int fd, const void *buf, size_t size, uint64_t offset);

/* Where everything is, in a file for these regions. Return: 0, -EINVAL, -EFBIG, -ENOMEM */
int dml_image_file_lay_out(struct dml_image_file *f,
			   const struct dmatrack_region *regions, unsigned int n,
			   uint32_t page_size);

/* Read and check. Return: 0, -EBADMSG, -EPROTONOSUPPORT, -ENOMEM, -EIO */
int dml_image_file_read_head(struct dml_image_file *f, const char *path);
/* ... and lay out; after the head */
int dml_image_file_read_regions(struct dml_image_file *f, const char *path);

/* Hashes @f->head, and writes it */
int dml_image_file_write_head(struct dml_image_file *f);

/* All but the descriptor */
void dml_image_file_free(struct dml_image_file *f);

uint64_t dml_image_file_region_chunks(const struct dml_image_file *f,
				      unsigned int region);
/* Bytes of a region's chunk */
size_t dml_image_file_chunk_size(const struct dml_image_file *f, unsigned int region,
				 uint64_t chunk);

/**
 * struct dml_image_extent - what the file system was last asked for
 * @begin, @end: offsets of data in the file; both 0 at first
 */
struct dml_image_extent {
	uint64_t begin;
	uint64_t end;
};

/**
 * dml_image_file_next_chunk() - skip what the file system knows to be zeros
 * @f: image
 * @region: its number
 * @chunk: in: the chunk of the region to look from; out: the first that isn't a hole
 * @e: kept between calls
 *
 * Return: 1; 0: nothing but holes; or -errno.
 */
int dml_image_file_next_chunk(const struct dml_image_file *f, unsigned int region,
			      uint64_t *chunk, struct dml_image_extent *e);

#endif
