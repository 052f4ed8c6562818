/* metric_pointing.h - the pointing game (Zhang et al. 2018): does the map's maximum lie on the object? */
#ifndef FV_EVAL_SALIENCY_METRIC_POINTING_H
#define FV_EVAL_SALIENCY_METRIC_POINTING_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_POINTING_TOLERANCE 15 /* px */

/* The first index of the largest of n >= 1 values. */
int64_t fv_arg_max(const float *map, int64_t n);

/* Is a mask pixel closer than tolerance px to (y,x): dy^2 + dx^2 < tolerance^2?  At tolerance 0: is the
 * pixel itself in the mask? */
bool fv_pointing_hit(const uint8_t *mask, int64_t H, int64_t W, int64_t y, int64_t x,
                     double tolerance);

/* The accuracy of a table: the mean over classes (that occur) of the hit rate of their images.  hit [n]
 * is 0 or 1, or NaN: left out; label [n] in 0..n_classes-1.  *out is NaN without an image.
 * FV_ERR_CONFIG (a label out of range), FV_ERR_NOMEM. */
fv_status fv_pointing_accuracy(const double *hit, const int32_t *label, int64_t n,
                               int64_t n_classes, double *out);

#endif
