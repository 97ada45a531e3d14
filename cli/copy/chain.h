/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* An image and, if it's incremental, the chain of its bases, down to one that isn't */
#ifndef CLI_COPY_CHAIN_H
#define CLI_COPY_CHAIN_H

#include "cli/common/options.h"
#include "dmatrack_copy.h"

#define CHAIN_MAX 64

/**
 * struct chain - an image and its bases
 * @image: the image, then its base, and so on
 * @n: number of them
 */
struct chain {
	struct dmatrack_image *image[CHAIN_MAX];
	unsigned int n;
};

/**
 * chain_open() - open an image with its bases
 * @c: out: to be closed by chain_close() even after an error
 * @path: name of the image
 * @bases: files among which its bases are looked for, before those that images name; or NULL
 *
 * Return: 0, or an exit status after a message.
 */
int chain_open(struct chain *c, const char *path, const struct cli_list *bases);
void chain_close(struct chain *c);

/* Name of the base that an image was made from, to be freed; NULL: its description has none */
char *chain_base_name(const struct dmatrack_image *image);

#endif
