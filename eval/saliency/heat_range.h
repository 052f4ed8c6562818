/* heat_range.h - which values of a map get the colours at the ends.
 *
 * A signed range is [-s, s], so that zero is the middle; an unsigned one is [low, high].  How s, low and
 * high follow from a map is a normalisation:
 *
 *     max          signed    s = max |R|
 *     percentile   signed    s = p-th percentile of |R|, linear between order statistics; p = 99
 *     mass         signed    s = the smallest |R| at which the ascending cumulative sum of |R| reaches the
 *                            fraction q of all; q = 0.98, "2 % outliers" (Kokhlikyan et al. 2020, Captum)
 *     minmax       unsigned  [min R, max R]
 *     positive     unsigned  [0, max(R, 0)]
 *
 * A percentile of 0 (few non-zero pixels) gives way to the maximum, so that what is there shows.
 * Maps that are to be compared take one range: the union of theirs, or any other. */
#ifndef FV_EVAL_SALIENCY_HEAT_RANGE_H
#define FV_EVAL_SALIENCY_HEAT_RANGE_H

#include "core/status.h"
#include "eval/saliency/heat_norm_list.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fv_heat_range {
    double low, high; /* signed: low = -high */
    bool is_signed;
} fv_heat_range;

typedef struct fv_heat_norm {
    const char *name;
    const char *summary;
    bool is_signed;
    double usual,
        most; /* parameter: its default and upper end (above 0 is the lower); 0: has none */
    /* ascending [n], n >= 1: the values in order, |R| for a signed norm; parameter as checked. */
    void (*range)(const float *ascending, int64_t n, double parameter, fv_heat_range *out);
} fv_heat_norm;

#define FV_X(name) extern const fv_heat_norm fv_heat_norm_##name;
FV_HEAT_NORM_LIST(FV_X)
#undef FV_X

/* The norm and its parameter of "name" or "name:parameter", as in percentile:95.  FV_ERR_CONFIG: no such
 * norm (lists what there is, with "did you mean"), or no such parameter. */
fv_status fv_heat_norm_find(const char *text, const fv_heat_norm **norm, double *parameter);
const fv_heat_norm *fv_heat_norm_at(int i); /* in list order, NULL after the last */

/* The range of map [n]; parameter 0 is the usual one.  An all-zero map has a range of zero width.
 * FV_ERR_NONFINITE: a NaN or an infinity in the map; FV_ERR_CONFIG: the parameter; FV_ERR_SHAPE: n < 1;
 * FV_ERR_NOMEM. */
fv_status fv_heat_range_of(const float *map, int64_t n, const fv_heat_norm *norm, double parameter,
                           fv_heat_range *out);

/* The smallest range around both, which are of one sign kind. */
fv_heat_range fv_heat_range_union(fv_heat_range a, fv_heat_range b);

/* clip(r / s, -1, 1), or clip((r - low) / (high - low), 0, 1); 0 for a range of zero width. */
double fv_heat_value(const fv_heat_range *range, float r);

#endif
