/* perturbation.h - the course of a class's probability while an image turns into another one, pixel by
 * pixel in the order of a map (Samek et al. 2017; Petsiuk et al. 2018). */
#ifndef FV_EVAL_SALIENCY_PERTURBATION_H
#define FV_EVAL_SALIENCY_PERTURBATION_H

#include "eval/saliency/scorer.h"

typedef struct fv_curve {
    const float *from, *to; /* [H,W,3] */
    const int64_t *order;   /* [H*W] pixels, first to turn first */
    int64_t n_pixels;       /* H*W */
    int64_t step;           /* pixels that turn between two states */
} fv_curve;

/* Steps n = ceil(n_pixels / step); the curve has n+1 states, the last one all `to`. */
int64_t fv_curve_steps(const fv_curve *curve);

/* The probability at each state into probability [steps + 1].  Errors: the scorer's, FV_ERR_CONFIG
 * (a step below 1), FV_ERR_NOMEM. */
fv_status fv_curve_run(const fv_curve *curve, const fv_scorer *scorer, float *probability);

/* (sum s - s_0/2 - s_n/2) / n over n+1 states: the trapezoid rule on [0,1]. */
double fv_curve_auc(const float *probability, int64_t steps);

/* The mean of states 1..n (without the untouched image). */
double fv_curve_mean(const float *probability, int64_t steps);

#endif
