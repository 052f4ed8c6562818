/* spatial_contribution.h - what one position adds to the gradient of a layer's weights, as one number
 * (NormGrad: Rebuffi, Fong, Ji and Vedaldi 2020, "There and Back Again").
 *
 * The weight gradient of a convolution is a sum over output positions u of outer products of the
 * gradient g_u and the unfolded input neighbourhood x_u, one per group of channels.  Norm, sum and
 * extremes of an outer product follow from those of its two factors, so none is ever built:
 *     norm         sqrt(sum over groups of |x|^2 |g|^2)
 *     filter_norm  the norm of the positive components: |x+|^2 |g+|^2 + |x-|^2 |g-|^2 under the root
 *     sum          sum over groups of (sum x)(sum g)
 *     max          the largest of {max x, min x} times {max g, min g} of any group
 * Cells outside of the map count as components that are zero.  Sums are in double. */
#ifndef FV_EVAL_SALIENCY_SPATIAL_CONTRIBUTION_H
#define FV_EVAL_SALIENCY_SPATIAL_CONTRIBUTION_H

#include <stdint.h>

typedef struct fv_spatial_contribution {
    const float *x; /* [H,W,C], the layer's input; NULL: the constant one that a bias multiplies */
    int64_t H, W, C;
    const float *g; /* [h,w,K], the gradient at its output */
    int64_t h, w, K;
    int64_t kernel_h, kernel_w, stride, padding; /* of zeros above and to the left */
    int64_t groups;                              /* divides C and K */
} fv_spatial_contribution;

/* Layers that change nothing when they are the identity and so may be thought of at any node. */
typedef enum fv_virtual_layer {
    FV_VIRTUAL_BIAS,        /* g_u */
    FV_VIRTUAL_SCALING,     /* x_u * g_u, a factor per channel */
    FV_VIRTUAL_CONV1X1,     /* g_u x_u^T */
    FV_VIRTUAL_CONV3X3,     /* the same with the neighbourhood of u */
    FV_VIRTUAL_DEPTHWISE3X3 /* an outer product per channel */
} fv_virtual_layer;

typedef enum fv_aggregation {
    FV_AGGREGATE_NORM,
    FV_AGGREGATE_FILTER_NORM,
    FV_AGGREGATE_SUM,
    FV_AGGREGATE_MAX
} fv_aggregation;

/* A virtual layer at a node with activation x and gradient g, both [h,w,C]. */
fv_spatial_contribution fv_virtual_contribution(fv_virtual_layer layer, const float *x,
                                                const float *g, int64_t h, int64_t w, int64_t C);

/* map [h,w]. */
void fv_spatial_contribution_map(const fv_spatial_contribution *layer, fv_aggregation how,
                                 float *map);

#endif
