/* blur.h - separable blurring of images and maps. */
#ifndef FV_EVAL_SALIENCY_BLUR_H
#define FV_EVAL_SALIENCY_BLUR_H

#include "core/status.h"

#include <stdint.h>

typedef enum fv_blur_border {
    FV_BLUR_REPLICATE, /* the nearest pixel of the image */
    FV_BLUR_ZERO,      /* 0 */
} fv_blur_border;

/* exp(-d^2 / 2 sigma^2) over d = -(size-1)/2 .. (size-1)/2, divided by its sum.  size is odd. */
void fv_gaussian_kernel(int64_t size, double sigma, double *kernel);

/* What blurring a unit impulse in the middle of a line of `size` pixels gives when the line continues by
 * reflection (d c b a | a b c d | d c b a) and the Gaussian reaches 4 sigma: the kernel of the RISE
 * authors' insertion game.  At sigma = 5, size = 11 the folded tails make it nearly flat. */
void fv_folded_gaussian_kernel(int64_t size, double sigma, double *kernel);

/* Correlates every channel of x [H,W,C] with the kernel along both axes, y [H,W,C] (not x).  Sums in
 * double.  Errors: FV_ERR_CONFIG (an even size), FV_ERR_NOMEM. */
fv_status fv_blur(const float *x, int64_t H, int64_t W, int64_t C, const double *kernel,
                  int64_t size, fv_blur_border border, float *y);

#endif
