/* metric_sparsity.h - how few pixels carry a map. */
#ifndef FV_EVAL_SALIENCY_METRIC_SPARSITY_H
#define FV_EVAL_SALIENCY_METRIC_SPARSITY_H

#include "core/status.h"

#include <stdint.h>

/* Gini index of a = |R| (Hurley and Rickard 2009; Chalasani et al. 2020):
 * sum_i (2i - n - 1) a_i / (n sum a) over ascending a, i = 1..n.  0: all equal, 1 - 1/n: one pixel.
 * *out is NaN for a map of zeros.  FV_ERR_NOMEM. */
fv_status fv_gini(const float *map, int64_t n, double *out);

/* Complexity (Bhatt et al. 2020): entropy in nats of |R| / sum |R|.  NaN for a map of zeros. */
double fv_map_entropy(const float *map, int64_t n);

#endif
