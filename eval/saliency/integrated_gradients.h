/* integrated_gradients.h - the gradient along the straight path from a reference image x0 to x
 * (Sundararajan et al. 2017, "Axiomatic attribution for deep networks", equation 1):
 *     R = (x - x0) * integral over a in [0, 1] of d score / d x at x0 + a (x - x0),
 * whose sum is score(x) - score(x0), up to what the quadrature leaves: delta. */
#ifndef FV_EVAL_SALIENCY_INTEGRATED_GRADIENTS_H
#define FV_EVAL_SALIENCY_INTEGRATED_GRADIENTS_H

#include "eval/saliency/explain_run.h"

/* relevance [3HW] of image b with reference x0 [H,W,3] in `steps` gradients (midpoint: the middles of
 * equal parts instead of Gauss and Legendre's points), and the reference's score. */
fv_status fv_integrated_gradients(fv_explain_run *run, int64_t b, const float *x0, int64_t steps,
                                  bool midpoint, double *relevance, double *score0);

#endif
