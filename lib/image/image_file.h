/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Image file: the format of an image, shared by the writer (image.c) and the reader (image_read.c).
 *
 *	0		head		4096 bytes, the last 16 a hash of all before
 *	4096		regions		IOVA and size of each, 16 bytes
 *	aligned		data		region by region, each aligned to the page
 *					size and to 4096; zeros are holes
 *	aligned to 4096	table		24 bytes for each chunk that isn't all zeros: its
 *					number and hash; ascending
 *	behind it	trailer		of an image with DML_IMAGE_DESCRIBED or
 *					DML_IMAGE_INCREMENTAL: see image_trailer.h
 *	the end of the table, or of the trailer, is the end of the file
 *
 * A chunk is 1 MiB of a region, counted from the region's start; the last one may be
 * shorter. Chunks are numbered through all regions. The layout follows from the regions
 * alone, so data is written in its place before it's known how much of it there will be.
 * The head has hashes of the regions and of the table, and the table a hash of each chunk: so
 * any change to the file after it was written is detected. All numbers are little-endian.
 *
 * The head says whether the image is complete. That is written after the rest is on disk, and
 * the file gets its name after that.
 */
#ifndef DML_IMAGE_IMAGE_FILE_H
#define DML_IMAGE_IMAGE_FILE_H

#include "lib/util/digest.h"
#include "lib/util/regions.h"

#define DML_IMAGE_MAGIC	    "DMTimage"
#define DML_IMAGE_VERSION   1u
#define DML_IMAGE_HEAD	    4096u

#define DML_IMAGE_COMPLETE  (1u << 0)
#define DML_IMAGE_DESCRIBED (1u << 1) /* has a description */
#define DML_IMAGE_INCREMENTAL \
	(1u << 2) /* has only what differs from its base */
#define DML_IMAGE_FLAGS 7u

struct dml_image_head {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint32_t page_size;
	uint32_t nregions;
	uint64_t table; /* its offset in the file */
	uint64_t entries;
	uint8_t regions_hash[16];
	uint8_t table_hash[16];
	uint8_t unused
		[40]; /* zeros; an earlier version had the id of the boot here */
	uint32_t state_size;
	uint32_t reserved;
	uint8_t state[DMATRACK_STATE_MAX];
	uint32_t about_size; /* bytes of the description */
	uint32_t reserved2;
	uint8_t about_hash[16];
	uint64_t ranges; /* number of changed ranges */
	uint8_t ranges_hash[16];
	uint8_t base_hash[16]; /* hash of the base's head */
	uint8_t zeros[DML_IMAGE_HEAD - 456];
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
 * @fd: descriptor of the file
 * @regions: the regions of memory in it
 * @offsets: offset in the file, per region
 * @first: number of the first chunk, per region
 * @chunks: number of chunks of all regions
 * @table: offset of the table in the file
 * @entries: the table, in host byte order, as far as it was read or made
 * @nentries: number of entries in @entries
 * @head: the head, in the file's byte order
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

/* Read or write all @size bytes. Return: 0, -EBADMSG (the file ends before), -errno */
int dml_image_file_pread(int fd, void *buf, size_t size, uint64_t offset);
int dml_image_file_pwrite(int fd, const void *buf, size_t size,
			  uint64_t offset);

/* Compute the layout of a file for these regions. Return: 0, -EINVAL, -EFBIG, -ENOMEM */
int dml_image_file_lay_out(struct dml_image_file *f,
			   const struct dmatrack_region *regions,
			   unsigned int n, uint32_t page_size);

/* Read and check the head. Return: 0, -EBADMSG, -EPROTONOSUPPORT, -ENOMEM, -EIO */
int dml_image_file_read_head(struct dml_image_file *f, const char *path);
/* The same for the regions, after the head; computes the layout */
int dml_image_file_read_regions(struct dml_image_file *f, const char *path);

/* Write @f->head, with its hash */
int dml_image_file_write_head(struct dml_image_file *f);

/* Free all but the descriptor */
void dml_image_file_free(struct dml_image_file *f);

uint64_t dml_image_file_region_chunks(const struct dml_image_file *f,
				      unsigned int region);
/* Return: bytes of a region's chunk */
size_t dml_image_file_chunk_size(const struct dml_image_file *f,
				 unsigned int region, uint64_t chunk);

/**
 * struct dml_image_extent - the extent of data that was last found in the file
 * @begin: offset of its first byte; 0 before the first search
 * @end: offset behind its last byte; 0 before the first search
 */
struct dml_image_extent {
	uint64_t begin;
	uint64_t end;
};

/**
 * dml_image_file_next_chunk() - find the next chunk that isn't a hole
 * @f: image
 * @region: index of the region
 * @chunk: in: number, within the region, to search from; out: of the chunk found
 * @e: state of the search, kept between calls
 *
 * Return: 1; 0: only holes; or -errno.
 */
int dml_image_file_next_chunk(const struct dml_image_file *f,
			      unsigned int region, uint64_t *chunk,
			      struct dml_image_extent *e);

#endif
