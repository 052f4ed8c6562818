/* decoder_list.h - the image formats that are read: one file decode_<name>.c and one line here.
 * The first that recognises a file reads it; tga has no signature and stays last. */
#ifndef FV_DATA_DECODER_LIST_H
#define FV_DATA_DECODER_LIST_H

#include "data/image.h"

#include <stdbool.h>

#define FV_DECODER_LIST(X) X(jpeg) X(png) X(bmp) X(gif) X(pnm) X(psd) X(tga)

typedef struct fv_decoder {
    const char *name;
    bool (*sniff)(const uint8_t *bytes, size_t n_bytes); /* is it this format? */
    fv_status (*size)(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width);
    /* Reshapes image itself, after checking the size. */
    fv_status (*decode)(const uint8_t *bytes, size_t n_bytes, fv_image *image);
} fv_decoder;

#define FV_X(name) extern const fv_decoder fv_decoder_##name;
FV_DECODER_LIST(FV_X)
#undef FV_X

/* The encoders that live beside the decoders; channels is 1 or 3. */
fv_status fv_png_encode(const uint8_t *pixels, int64_t height, int64_t width, int channels,
                        uint8_t **bytes, size_t *n_bytes);
fv_status fv_jpeg_encode(const fv_image *image, int quality, uint8_t **bytes, size_t *n_bytes);

#endif
