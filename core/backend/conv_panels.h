/* conv_panels.h - weight gradients of dense convolutions, as sums of products over pixels.
 *
 * dW [O, taps C] = dY^T X, where row p of X holds the pixels of x under the kernel at pixel p of y: a matrix
 * product whose right side is put together panel by panel and never as a whole.  oneDNN's direct
 * convolution reaches 50 to 60 % of the GEMM peak here in f32 with AVX2, and in bf16 on maps of
 * few pixels. */
#ifndef FV_CORE_CONV_PANELS_H
#define FV_CORE_CONV_PANELS_H

#include "core/backend/backend.h"

/* A weights pass without groups, of 16 input channels or more and at most 49 taps; in bf16 where
 * fv_pairs_lead (gemm_pairs.h). */
bool fv_conv_panels_supports(const fv_conv *c);

/* As in gemm_panels.h. */
fv_status fv_conv_panels_equip(int *n_lanes);
void fv_conv_panels_release(void);

/* dw [O,C,kh,kw] from x and dy; bits depend on the arguments only.  Can fail only where a thread beyond the
 * budget finds no scratch. */
fv_status fv_conv_panels_run(const fv_conv *c, int n_lanes, const void *x, const void *dy,
                             float *dw);

#endif
