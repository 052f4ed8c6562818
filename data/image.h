/* image.h - an RGB8 picture in memory, from files and to files.
 *
 * What a file is is told by its content, never by its suffix.  Pixels equal Pillow's
 * convert("RGB"): grey is replicated, alpha dropped, CMYK taken as Adobe's inverted CMYK, EXIF
 * orientation ignored (exif.h applies it).  Of 16-bit samples the high byte is kept, except of grey
 * without alpha (PNG, PGM), which Pillow cuts at 255: v > 255 is white.
 *
 * Limits, so that a small file cannot ask for much: FV_IMAGE_MAX_BYTES, FV_IMAGE_MAX_PIXELS, both
 * checked before pixels are allocated; of a JPEG FV_IMAGE_MAX_SCANS and FV_IMAGE_MAX_SCANNED, checked
 * before decoding.  Uncompressed formats whose file is shorter than their size says are refused before
 * anything is allocated.  Beside the result a decoder needs at most 8 bytes a pixel (progressive JPEG;
 * PSD 7), and its time is bounded by the pixels, the scans, and the bytes of the file. */
#ifndef FV_DATA_IMAGE_H
#define FV_DATA_IMAGE_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Larger pictures are refused before anything is allocated (Pillow's limit). */
#define FV_IMAGE_MAX_PIXELS ((int64_t)178956970)

/* Larger files are refused. */
#define FV_IMAGE_MAX_BYTES ((size_t)512 << 20)

/* Scans of a JPEG: each passes over all pixels, whatever its length.  Encoders write about ten if
 * progressive.  The second limit is on scans times pixels: 12 scans of the largest picture, 100 of 21
 * megapixels; what is just allowed takes a few seconds. */
#define FV_IMAGE_MAX_SCANS   500
#define FV_IMAGE_MAX_SCANNED ((int64_t)1 << 31)

/* A zeroed struct is an empty image. */
typedef struct fv_image {
    uint8_t *pixels; /* [height, width, 3], rows without gaps */
    int64_t height, width;
    size_t capacity; /* bytes at pixels */
} fv_image;

/* An image with undefined pixels; the caller frees it with fv_image_destroy. */
fv_status fv_image_create(int64_t height, int64_t width, fv_image **out);
void fv_image_destroy(fv_image *image); /* NULL is fine */

/* FV_ERR_UNSUPPORTED above FV_IMAGE_MAX_PIXELS, FV_ERR_SHAPE for sizes below 1. */
fv_status fv_image_check_size(int64_t height, int64_t width);

/* Gives an image of the caller's storage a new size, keeping its memory where it is enough; pixels
 * are undefined afterwards.  Errors: those of fv_image_check_size, FV_ERR_NOMEM. */
fv_status fv_image_reshape(fv_image *image, int64_t height, int64_t width);
void fv_image_release(fv_image *image); /* frees the pixels, leaves an empty image */

/* Decodes a JPEG, PNG, BMP, GIF (the first frame), PNM, PSD or TGA.  The caller frees *out with
 * fv_image_destroy; on error *out is NULL.  Errors: FV_ERR_FORMAT (empty, unknown, truncated or
 * corrupt), FV_ERR_UNSUPPORTED (a format or a size that is not read), FV_ERR_NOMEM.  Thread-safe. */
fv_status fv_image_decode(const uint8_t *bytes, size_t n_bytes, fv_image **out);

/* The same into an image of the caller, which keeps its memory; undefined content on error. */
fv_status fv_image_decode_into(const uint8_t *bytes, size_t n_bytes, fv_image *image);

/* Reads and decodes a file; errors name the path. */
fv_status fv_image_load(const char *path, fv_image **out);

typedef struct fv_image_header {
    const char *format; /* "jpeg", "png" ...: the names of decoder_list.h */
    int64_t height, width;
} fv_image_header;

/* Format and size without decoding. */
fv_status fv_image_probe(const uint8_t *bytes, size_t n_bytes, fv_image_header *out);

/* Does the name of a file look like a picture's?  Any case; used to collect files, never to choose a
 * decoder.  Also true for formats that are known but not read, so that their error shows. */
bool fv_image_has_suffix(const char *name);

/* Encoders give the same bytes for the same pixels; the caller frees *bytes with fv_free. */
fv_status fv_image_encode_png(const fv_image *image, uint8_t **bytes, size_t *n_bytes);
fv_status fv_image_encode_jpeg(const fv_image *image, int quality, uint8_t **bytes,
                               size_t *n_bytes);

/* One-channel PNG of [height, width] bytes: masks and raw maps. */
fv_status fv_image_encode_png_grey(const uint8_t *grey, int64_t height, int64_t width,
                                   uint8_t **bytes, size_t *n_bytes);

/* Writes a PNG file as fv_file_write does; errors name the path. */
fv_status fv_image_save_png(const fv_image *image, const char *path);

#endif
