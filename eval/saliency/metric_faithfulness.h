/* metric_faithfulness.h - faithfulness correlation (Bhatt, Weller and Moura 2020): do pixels whose values
 * in the map add up to more also lower the logit by more when they go? */
#ifndef FV_EVAL_SALIENCY_METRIC_FAITHFULNESS_H
#define FV_EVAL_SALIENCY_METRIC_FAITHFULNESS_H

#include "core/rng.h"
#include "eval/saliency/scorer.h"

/* k different pixels of 0..n-1, uniformly drawn (partial Fisher and Yates).  work: n entries. */
void fv_random_subset(const fv_rng_key *key, int64_t n, int64_t k, int64_t *work, int64_t *subset);

/* For each of n_subsets subsets [n_subsets,k] of the H*W pixels: the sum of the map over it, and
 * f(x) - f(x with the subset at 0, the mean colour), f the logit.  Both [n_subsets].
 * Errors: the scorer's, FV_ERR_NOMEM. */
fv_status fv_subset_drops(const fv_scorer *scorer, const float *pixels, const float *map,
                          int64_t n_pixels, const int64_t *subsets, int64_t n_subsets, int64_t k,
                          double *attribution, double *drop);

#endif
