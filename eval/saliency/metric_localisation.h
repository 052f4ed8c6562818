/* metric_localisation.h - how much of a map lies on the object.  mask [n] is non-zero on it. */
#ifndef FV_EVAL_SALIENCY_METRIC_LOCALISATION_H
#define FV_EVAL_SALIENCY_METRIC_LOCALISATION_H

#include "core/status.h"

#include <stdint.h>

#define FV_BOX_FRACTION 0.15

/* Energy pointing (Wang et al. 2020): sum of R+ on the object / sum of R+.  NaN without positive R. */
double fv_energy_pointing(const float *map, const uint8_t *mask, int64_t n);

/* Relevance mass (Arras et al. 2022) of |R|.  NaN for a map of zeros. */
double fv_relevance_mass(const float *map, const uint8_t *mask, int64_t n);

/* Relevance rank accuracy (Arras et al. 2022): of the |mask| largest pixels, the share on the object.
 * *out is NaN for an empty mask.  FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_rank_accuracy(const float *map, const uint8_t *mask, int64_t n, double *out);

/* Area under the ROC curve of the map as a detector of the object's pixels: the probability that a pixel
 * on it has more than one beside it, ties counting half (Mann and Whitney, by midranks).  *out is NaN
 * when the mask is empty or full.  FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_roc_auc(const float *map, const uint8_t *mask, int64_t n, double *out);

/* Corners, inclusive; empty when y1 < y0. */
typedef struct fv_pixel_box {
    int64_t y0, x0, y1, x1;
} fv_pixel_box;

/* out [n] = map >= fraction * max(map); all 0 when no value is positive. */
void fv_threshold_mask(const float *map, int64_t n, double fraction, uint8_t *out);

/* The smallest box around all non-zero pixels. */
fv_pixel_box fv_mask_box(const uint8_t *mask, int64_t H, int64_t W);

/* The box of the largest 4-connected component (of equal ones the first in row-major order).
 * FV_ERR_NOMEM. */
fv_status fv_largest_component(const uint8_t *mask, int64_t H, int64_t W, fv_pixel_box *out);

/* Intersection over union of pixels; 0 when either is empty. */
double fv_box_iou(fv_pixel_box a, fv_pixel_box b);

#endif
