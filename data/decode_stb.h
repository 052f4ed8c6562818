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

/* Integers at p, lowest byte first (le) or highest first (be). */
static inline uint32_t fv_u16_le(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t fv_u32_le(const uint8_t *p) { return fv_u16_le(p) | fv_u16_le(p + 2) << 16; }
static inline uint32_t fv_u16_be(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t fv_u32_be(const uint8_t *p) { return fv_u16_be(p) << 16 | fv_u16_be(p + 2); }

/* Write n = 2 or 4 bytes of v at p. */
static inline void fv_put_le(uint8_t *p, int n, uint32_t v) {
    for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static inline void fv_put_be(uint8_t *p, int n, uint32_t v) {
    for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

#endif
