/* pos_resample.h - learned positions of one grid for another, as timm's resample_abs_pos_embed does it.
 *
 * Separable cubic convolution (Keys 1981, a = -0.5) between pixel centres, in double; the kernel is
 * widened when the grid shrinks (antialiasing), cut at the border and normalised there: PyTorch's
 * interpolate(mode="bicubic", antialias=True), which is Pillow's rule. */
#ifndef FV_MODELS_POS_RESAMPLE_H
#define FV_MODELS_POS_RESAMPLE_H

#include "core/status.h"

#include <stdint.h>

typedef struct fv_grid_size {
    int64_t h, w;
} fv_grid_size;

/* in [from.h,from.w,D] -> out [to.h,to.w,D].  FV_ERR_NOMEM; *out is untouched then. */
fv_status fv_pos_resample(const float *in, fv_grid_size from, fv_grid_size to, int64_t D,
                          float *out);

#endif
