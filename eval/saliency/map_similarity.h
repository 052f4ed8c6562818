/* map_similarity.h - how alike two maps of one size are. */
#ifndef FV_EVAL_SALIENCY_MAP_SIMILARITY_H
#define FV_EVAL_SALIENCY_MAP_SIMILARITY_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_SSIM_WINDOW 7

/* Mean structural similarity (Wang et al. 2004, eq. 13) over the windows of 7x7 pixels that lie inside:
 * uniform weights, sample covariance (n-1), K1 = .01, K2 = .03, range the dynamic range L > 0.
 * FV_ERR_SHAPE when a side is below 7. */
fv_status fv_ssim(const float *a, const float *b, int64_t H, int64_t W, double range, double *out);

typedef struct fv_map_similarity {
    double spearman;     /* of the signed values */
    double spearman_abs; /* of the magnitudes */
    double ssim;         /* of |map| / max |map|, L = 1 */
    /* A map with equal values everywhere (equal magnitudes) has no correlation: it is given as 0 and
     * said here, to be counted beside the mean. */
    bool constant, constant_abs;
} fv_map_similarity;

/* Compares maps a and b [H,W].  Errors: FV_ERR_NONFINITE, FV_ERR_SHAPE (a side below 7), FV_ERR_NOMEM. */
fv_status fv_map_compare(const float *a, const float *b, int64_t H, int64_t W,
                         fv_map_similarity *out);

/* Class sensitivity (Rebuffi et al. 2020, section 5): Spearman's correlation, signed, of the maps [n]
 * for the most and for the least probable class of an image.  Near 1: the method does not tell classes
 * apart.  0 and *constant for a constant map.  FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_class_sensitivity(const float *most, const float *least, int64_t n, double *out,
                               bool *constant);

#endif
