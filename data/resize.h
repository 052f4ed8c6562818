/* resize.h - Pillow's resampling, bit for bit: two passes, horizontal first, with an 8-bit picture
 * in between and 22-bit fixed-point weights; the kernel is widened when shrinking, never when
 * enlarging.  A crop is taken before resampling: nothing outside of it contributes. */
#ifndef FV_DATA_RESIZE_H
#define FV_DATA_RESIZE_H

#include "data/buffer.h"
#include "data/image.h"

typedef enum fv_interpolation {
    FV_INTERPOLATION_BICUBIC, /* a = -0.5 */
    FV_INTERPOLATION_BILINEAR,
    FV_INTERPOLATION_RANDOM, /* training only: one of the two per image */
} fv_interpolation;

/* A rectangle in pixels. */
typedef struct fv_crop {
    int64_t top, left, height, width;
} fv_crop;

/* Memory that is reused between calls; a zeroed struct is ready. */
typedef struct fv_resize_scratch {
    fv_buffer weights[2], rows;
} fv_resize_scratch;
void fv_resize_scratch_free(fv_resize_scratch *scratch);

typedef struct fv_resize_spec {
    const fv_crop *crop;   /* of the source; NULL = all of it */
    int64_t height, width; /* size the crop is resampled to */
    const fv_crop *window; /* the part of the result that is wanted; NULL = all of it */
    fv_interpolation interpolation;
} fv_resize_spec;

/* out (not src) is reshaped to the window's size, or the full size without one.  A pass whose size
 * does not change copies.  Errors: FV_ERR_SHAPE (a rectangle outside, a size below 1),
 * FV_ERR_CONFIG (random interpolation), FV_ERR_UNSUPPORTED (too large), FV_ERR_NOMEM. */
fv_status fv_resize(const fv_image *src, const fv_resize_spec *spec, fv_resize_scratch *scratch,
                    fv_image *out);

/* "bicubic", "bilinear", "random"; FV_ERR_CONFIG otherwise. */
fv_status fv_interpolation_parse(const char *name, fv_interpolation *out);
const char *fv_interpolation_name(fv_interpolation interpolation);

#endif
