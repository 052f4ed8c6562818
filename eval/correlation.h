/* correlation.h - how far two series of numbers go together. */
#ifndef FV_EVAL_CORRELATION_H
#define FV_EVAL_CORRELATION_H

#include "core/status.h"

#include <stdint.h>

/* Pearson's product-moment correlation, in double, of centred values.  NaN when it is not defined: a
 * constant series, fewer than two values, a value that is not finite. */
double fv_pearson(const double *x, const double *y, int64_t n);

/* Spearman's rank correlation: Pearson's of the midranks, so that ties are accounted for.  *out is NaN
 * when a series is constant or n < 2.  Errors: FV_ERR_NONFINITE (NaN values), FV_ERR_NOMEM. */
fv_status fv_spearman(const double *x, const double *y, int64_t n, double *out);

#endif
