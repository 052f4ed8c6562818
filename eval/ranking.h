/* ranking.h - orders, ranks and percentiles.
 *
 * Orders are stable: equal values stand in the order of their indices (-0 equals 0).  What holds a NaN
 * has no order: FV_ERR_NONFINITE.  Infinities are allowed.  Thread-safe. */
#ifndef FV_EVAL_RANKING_H
#define FV_EVAL_RANKING_H

#include "core/status.h"

#include <stdint.h>

/* The indices 0..n-1 from the largest (smallest) value to the smallest (largest) into order [n].
 * Errors: FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_order_descending(const float *x, int64_t n, int64_t *order);
fv_status fv_order_ascending(const float *x, int64_t n, int64_t *order);

/* Ranks 1..n of ascending values; ties share the mean of the ranks they cover ("midranks").
 * Errors: FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_midranks(const double *x, int64_t n, double *ranks);

/* In place, ascending.  NaN are not allowed. */
void fv_sort_ascending(double *x, int64_t n);

/* The p-th percentile (0..100) of n >= 1 ascending values, linear between order statistics: position
 * p/100 (n-1). */
double fv_percentile(const double *ascending, int64_t n, double p);

#endif
