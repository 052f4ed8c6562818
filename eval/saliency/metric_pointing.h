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

#endif
