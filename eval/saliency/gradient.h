/* gradient.h - a gradient of pixels as one unsigned number per pixel. */
#ifndef FV_EVAL_SALIENCY_GRADIENT_H
#define FV_EVAL_SALIENCY_GRADIENT_H

#include <stdbool.h>
#include <stdint.h>

/* g [n,3] -> map [n]: max_c |g_c|, or sum_c |g_c|. */
void fv_gradient_map(const float *g, int64_t n, bool sum, float *map);

#endif
