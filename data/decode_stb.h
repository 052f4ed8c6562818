/* decode_stb.h - what the decoders that rest on stb_image share.
 *
 * stb_image reads past the end of a file as zeros, leaves memory that a palette or a row does not
 * reach as it was, and differs from Pillow in palettes and alpha.  So each decoder
 * reads its header itself, checks the size, and hands stb_image a plain header of its own making,
 * followed by the file's own bytes from its picture data on. */
#ifndef FV_DATA_DECODE_STB_H
#define FV_DATA_DECODE_STB_H

#include "data/image.h"

typedef struct fv_stb_file {
    const char *format;  /* for messages: "BMP" */
    const uint8_t *head; /* the header made anew */
    size_t n_head;
    const uint8_t *body; /* picture data in the file */
    size_t n_body;
    int64_t height, width; /* what the header says */
} fv_stb_file;

/* Decodes to an image, which is reshaped.  Errors: FV_ERR_FORMAT (also when a byte behind the end is asked
 * for), FV_ERR_UNSUPPORTED above FV_IMAGE_MAX_PIXELS, FV_ERR_NOMEM.  Thread-safe. */
fv_status fv_stb_decode(const fv_stb_file *file, fv_image *image);

#endif
