/* smoothgrad.h - statistics of the gradient around an image (Smilkov et al. 2017, "SmoothGrad: removing
 * noise by adding noise"):
 *     g_k = d score / d x at x + sigma (max x - min x) e_k,  e_k standard normal, k = 1 .. n
 *     mean      1/n sum_k g_k
 *     squared   1/n sum_k g_k^2                (Hooker et al. 2019)
 *     variance  1/n sum_k (g_k - mean)^2       (Adebayo et al. 2018)
 * per pixel and channel; the range is that of the image itself.  The method's map is the largest
 * magnitude over channels, as in `gradient`. */
#ifndef FV_EVAL_SALIENCY_SMOOTHGRAD_H
#define FV_EVAL_SALIENCY_SMOOTHGRAD_H

#include "eval/saliency/explain_run.h"

typedef enum fv_smoothgrad_kind {
    FV_SMOOTHGRAD_MEAN,
    FV_SMOOTHGRAD_SQUARED,
    FV_SMOOTHGRAD_VARIANCE
} fv_smoothgrad_kind;

/* The statistic of n gradients of image b: out [H,W,3].  noise [n,H,W,3] are the e_k; NULL: drawn, keyed
 * by (run->seed, k), the same for every image. */
fv_status fv_smoothgrad(fv_explain_run *run, int64_t b, int64_t n, double sigma,
                        fv_smoothgrad_kind kind, const float *noise, float *out);

#endif
