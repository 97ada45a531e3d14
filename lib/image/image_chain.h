/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Chain: an incremental image, read together with its base, which may be one, too */
#ifndef DML_IMAGE_IMAGE_CHAIN_H
#define DML_IMAGE_IMAGE_CHAIN_H

#include "image_read.h"

/* As dmatrack_image_read(), dmatrack_image_next_data() and dmatrack_image_digest(), of an incremental image */
int dml_image_chain_read(struct dmatrack_image *m, uint64_t iova, void *buf,
			 uint64_t size);
int dml_image_chain_next(struct dmatrack_image *m, uint64_t *iova,
			 uint64_t *size);
int dml_image_chain_digest(struct dmatrack_image *m, uint8_t digest[16],
			   int (*progress)(void *opaque, uint64_t done,
					   uint64_t all),
			   void *opaque);

#endif
