/* combine_layers.h - maps of several layers in one size, each brought to [0,1], as one map.
 *
 * A map is constant when its range is at most 1e-6 of its largest magnitude: stretching it would show
 * rounding noise.  Such a layer has nothing to say and is left out. */
#ifndef FV_EVAL_SALIENCY_COMBINE_LAYERS_H
#define FV_EVAL_SALIENCY_COMBINE_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

/* Weights w are normalised to the sum 1; 0^w = 0. */
typedef enum fv_combination {
    FV_COMBINE_PRODUCT, /* prod m_l^w_l, the weighted geometric mean */
    FV_COMBINE_SUM,     /* sum w_l m_l */
    FV_COMBINE_PLAIN    /* prod m_l: ranks pixels as equal weights do */
} fv_combination;

bool fv_map_is_constant(const float *map, int64_t n);

/* (m - min) / (max - min) in place.  A constant map becomes zeros and gives false. */
bool fv_map_normalise(float *map, int64_t n);

/* map[L] of n values in [0,1] -> out [n].  Layers of weight 0 are left out; none left: zeros. */
void fv_combine_maps(fv_combination how, const float *const map[], const double weight[], int L,
                     int64_t n, float *out);

#endif
