/* sr_stages.h - the stages of sr_map.h, each a function of its own: feature image, resizing, patches,
 * nearest patches, distance to the foci. */
#ifndef FV_EVAL_SALIENCY_SR_STAGES_H
#define FV_EVAL_SALIENCY_SR_STAGES_H

#include "eval/saliency/sr_map.h"

/* ---- images ---- */

/* Owner: whoever made it; data is freed with fv_sr_image_release. */
typedef struct fv_sr_image {
    int64_t H, W, C;
    float *data; /* [H,W,C] */
} fv_sr_image;

/* Undefined contents.  FV_ERR_SHAPE: a size below 1 or beyond 2^40 values; FV_ERR_NOMEM. */
fv_status fv_sr_image_create(int64_t H, int64_t W, int64_t C, fv_sr_image *out);
void fv_sr_image_release(fv_sr_image *image);

/* x -> (x - min) / (max - min) over n values that are stride apart; all 0 when they are equal. */
void fv_sr_min_max(float *x, int64_t n, int64_t stride);

/* ---- feature images (sr_feature.c) ---- */

/* |R|, min-max over all n values, as bytes floor(255 v). */
void fv_sr_picture(const float *relevance, int64_t n, uint8_t *picture);

/* sRGB bytes -> CIE L*a*b* of the D65 white, [n,3] each. */
void fv_sr_lab(const uint8_t *rgb, int64_t n, float *lab);

/* relevance [H,W,3], finite -> *out, which the caller releases. */
fv_status fv_sr_feature(fv_sr_feature_kind kind, const float *relevance, int64_t H, int64_t W,
                        fv_sr_image *out);

/* ---- resizing (sr_resize.c) ---- */

/* Resamples to H x W into a new image.  The same size gives a copy. */
fv_status fv_sr_resize(const fv_sr_image *in, int64_t H, int64_t W, fv_sr_image *out);

/* Values [ceil(H/stride), ceil(W/stride)] at pixels 0, stride, 2 stride ... -> [H,W], bilinear between
 * them and constant beyond the last. */
void fv_sr_fill(const float *samples, int64_t stride, int64_t H, int64_t W, float *out);

/* ---- distance to the foci (sr_distance.c) ---- */

/* Euclidean distance in pixels from each pixel to the nearest one with inside != 0, exact (Meijster,
 * Roerdink and Hesselink 2000); all 0 when there is none.  Errors: FV_ERR_NOMEM. */
fv_status fv_sr_distance(const uint8_t *inside, int64_t H, int64_t W, float *out);

/* ---- patches (sr_patch.c) ---- */

typedef struct fv_sr_patches {
    int64_t n, D, capacity; /* D = u u C */
    float *value;           /* [n,D] */
    float *norm;            /* squared length, [n] */
    float *y, *x;           /* centre, in units of the longer side of the map, [n] */
} fv_sr_patches;

/* A map H x W has pixel (y,x) of an image h x w on it at ((y + 1/2) / h H / M, (x + 1/2) / w W / M),
 * M = max(H, W). */
typedef struct fv_sr_frame {
    double height, width; /* H / M, W / M */
} fv_sr_frame;

/* Appends the patches of an image that lie inside of it, (u-1)/2 pixels apart. */
fv_status fv_sr_patches_add(fv_sr_patches *p, const fv_sr_image *image, int64_t u,
                            const fv_sr_frame *frame);
void fv_sr_patches_release(fv_sr_patches *p);

/* The image with `margin` replicated pixels around it. */
fv_status fv_sr_pad(const fv_sr_image *in, int64_t margin, fv_sr_image *out);

/* ---- nearest patches (sr_search.c, sr_select.c) ---- */

typedef struct fv_sr_search_spec {
    int64_t u, k, stride;
    double c;
    fv_sr_frame frame;
} fv_sr_search_spec;

/* mean [ceil(H/stride), ceil(W/stride)]: the mean of the k smallest d over all candidates, for the
 * queries at pixels 0, stride, 2 stride ... of image.  Errors: FV_ERR_NOMEM, FV_ERR_BACKEND. */
fv_status fv_sr_search(const fv_sr_image *image, const fv_sr_patches *candidates,
                       const fv_sr_search_spec *spec, float *mean);

/* The squared distances of one query to n candidates, weighted by position, between two bounds that
 * allow for the rounding of the product `dot`:
 *     low_j <= d_j^2 <= up_j,   d_j^2 = (norm + norm_j - 2 dot_j) / (1 + c |x - x_j|)^2 */
typedef struct fv_sr_bounds {
    float norm, y, x; /* of the query */
    float c, slack;   /* slack: relative to norm + norm_j */
} fv_sr_bounds;

/* Writes low [n] and lowers lane[j % n_lanes], for j from first, to up_j where that is smaller.
 * candidate arrays start at candidate 0, dot and low at `first`. */
void fv_sr_screen(const fv_sr_bounds *q, const fv_sr_patches *candidates, int64_t first, int64_t n,
                  const float *dot, float *low, float *lane, int64_t n_lanes);

/* Indices j < n with low_j <= bound, ascending, in index [n + 1]; returns how many. */
int64_t fv_sr_collect(const float *low, int64_t n, float bound, int32_t *index);

/* A value that at least k of n do not exceed (1 <= k <= n, no NaN), hardly more when they differ; >= 0. */
float fv_sr_bound(const float *v, int64_t n, int64_t k);

/* The k-th smallest (k = 1 .. n) of n values, which are reordered. */
float fv_sr_kth_smallest(float *v, int64_t n, int64_t k);

/* Mean of the k smallest of n values, in a sum that their order among equals cannot change; copy [n] is
 * overwritten. */
double fv_sr_mean_smallest(const float *v, int64_t n, int64_t k, float *copy);

#endif
