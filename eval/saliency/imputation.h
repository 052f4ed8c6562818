/* imputation.h - noisy linear imputation (Rong et al. 2022, "A consistent and efficient evaluation
 * strategy for attribution methods", section 4): removed pixels become weighted means of their eight
 * neighbours, so that the shape of the removed region cannot be read off the image. */
#ifndef FV_EVAL_SALIENCY_IMPUTATION_H
#define FV_EVAL_SALIENCY_IMPUTATION_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which pixels stay when the most relevant ones go: map < its p-th percentile; keep [n] in {0,1}.  With
 * least_first the same of -map.  A constant map keeps nothing.  FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_road_keep(const float *map, int64_t n, double percentile, bool least_first,
                       uint8_t *keep);

/* Fills the pixels of image [H,W,3] with keep 0: v solves sum_n w_n (v - v_n) = 0 over the neighbours n
 * inside the image, w = 1/6 along the axes, 1/12 along diagonals.  Conjugate gradients in double,
 * preconditioned by SSOR.  When nothing is kept every constant is a solution: 0, the mean colour.
 * scratch: fv_impute_scratch bytes.  False when the iteration did not converge. */
size_t fv_impute_scratch(int64_t H, int64_t W);
bool fv_impute_with(float *image, const uint8_t *keep, int64_t H, int64_t W, void *scratch);

/* The same with its own memory.  Errors: FV_ERR_NOMEM, FV_ERR_INTERNAL (no convergence). */
fv_status fv_impute(float *image, const uint8_t *keep, int64_t H, int64_t W);

#endif
