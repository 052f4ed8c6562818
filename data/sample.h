/* sample.h - the bytes and the picture of a sample, wherever it lies: a file of its own, or a part of
 * one that holds many. */
#ifndef FV_DATA_SAMPLE_H
#define FV_DATA_SAMPLE_H

#include "data/buffer.h"
#include "data/dataset.h"
#include "data/image.h"
#include "data/transform.h"

/* What a user knows the sample by: its path; of a part of a file its name. */
const char *fv_sample_title(const fv_sample *sample);

/* Adds "path: " or "path: name: " in front of the current error. */
fv_status fv_sample_context(fv_status status, const fv_sample *sample);

/* Reads and decodes as preprocess asks for, into memory of the caller, which is reused; turned is the
 * scratch of fv_preprocess_decode.  Errors name the sample: those of fv_buffer_read,
 * fv_buffer_read_part and fv_preprocess_decode.  Thread-safe. */
fv_status fv_sample_decode(const fv_sample *sample, const fv_preprocess *preprocess,
                           fv_buffer *file, fv_image *turned, fv_image *image);

/* The same into a new image; the caller frees *out with fv_image_destroy, NULL on error. */
fv_status fv_sample_load(const fv_sample *sample, const fv_preprocess *preprocess, fv_image **out);

/* Format ("jpeg", "png", "planes") and size without decoding; decode: also decodes, into image. */
fv_status fv_sample_probe(const fv_sample *sample, bool decode, fv_buffer *file, fv_image *image,
                          fv_image_header *out);

#endif
