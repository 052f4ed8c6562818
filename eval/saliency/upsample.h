/* upsample.h - maps in another size. */
#ifndef FV_EVAL_SALIENCY_UPSAMPLE_H
#define FV_EVAL_SALIENCY_UPSAMPLE_H

#include <stdint.h>

/* Bilinear, half-pixel centres, edges continued, no filter when shrinking (PyTorch's interpolate with
 * align_corners=False): map [h,w] -> out [H,W].  The same size is a copy. */
void fv_upsample(const float *map, int64_t h, int64_t w, float *out, int64_t H, int64_t W);

#endif
