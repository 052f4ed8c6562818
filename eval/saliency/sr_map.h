/* sr_map.h - Salient Relevance: context-aware saliency computed on a relevance map.
 *
 * Li et al. (2019), "Beyond saliency: understanding convolutional neural networks from saliency
 * prediction on layer-wise relevance propagation", run the context-aware saliency of Goferman et al.
 * (2012, PAMI 34(10)) on an LRP map: a pixel stands out when the patch around it is unlike the most
 * similar other patches, near ones counting more, and pixels far from the foci of attention fade.
 *
 *     d(i,j) = |P_i - Q_j| / (1 + c |x_i - x_j|)         u x u patches; x in units of the longer side
 *     S_r(i) = 1 - exp(-mean of the K smallest d(i,j))   at scale r
 *     SR     = mean_r S_r * (1 - D)                      D: distance to the foci over its maximum
 *
 * At scale r the map is resized by r; every pixel of it is a query, its patch replicating the edge.
 * Candidates are the patches of the map resized by r, r/2 and r/4 (the last two while the factor is
 * at least 0.2 and a patch fits), (u-1)/2 pixels apart and wholly inside.  The query's own patch may be
 * among them.  Resizing is a triangle filter at half-pixel centres, wider when shrinking, its weights
 * renormalised at the border.
 *
 * The second step was published as a closed program that could not be run.  u, K, c, the scales, the
 * factor 0.2, tau and the weight 1 - D agree with open re-implementations.  Per-scale foci are written
 * down from memory of the literature.  Own readings, where the sources are silent or disagree:
 *   - the feature images abs (the default) and pos, and the min-max of each Lab channel in code;
 *   - d is not normalised, neither by its maximum nor by the number of values in a patch (see rms);
 *   - tau is relative to the largest value: smooth maps never reach 0.8;
 *   - edges are replicated, the filter is a triangle, positions are pixel centres over the longer side;
 *   - the longest side of the work image, and that the result comes back to the size of the map. */
#ifndef FV_EVAL_SALIENCY_SR_MAP_H
#define FV_EVAL_SALIENCY_SR_MAP_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_SR_MAX_SCALES 8

/* What patches are taken of; R_c are the three channels of relevance. */
typedef enum fv_sr_feature_kind {
    FV_SR_ABS, /* |sum_c R_c|, min-max; 1 channel */
    FV_SR_CODE, /* the paper's pipeline: |R| as an RGB picture, its CIE L*a*b*, min-max per channel */
    FV_SR_POS   /* max(sum_c R_c, 0), min-max; 1 channel */
} fv_sr_feature_kind;

/* Zero stands for the default everywhere. */
typedef struct fv_sr_options {
    fv_sr_feature_kind feature;
    int64_t patch; /* u: odd, 3..31 (7) */
    int64_t k;     /* neighbours, 1..4096 (64); all candidates when there are fewer */
    double c;      /* weight of position (3) */
    double scale[FV_SR_MAX_SCALES]; /* each 0.2..1 (1, .8, .5, .3) */
    int n_scales;
    bool rms;            /* |P - Q| becomes a root mean square over the values of a patch */
    bool foci_per_scale; /* (1 - D) from and on each S_r, then the mean */
    double tau;          /* foci: S > tau max S; below 1 (0.8) */
    int64_t work_side;   /* longest side that is worked on (250); -1 = whatever the map has */
    int64_t stride;      /* 1: exact.  2..8: queries that many pixels apart, bilinear in between */
    bool stages;         /* keep the stages in the result */
} fv_sr_options;

typedef struct fv_sr_result {
    int64_t height, width; /* of the work image */
    int64_t channels;      /* of its features */
    int n_scales;
    bool approximate; /* stride > 1 */
    /* Only with stages, else NULL; h = height, w = width. */
    float *feature;    /* [h,w,channels] */
    float *per_scale;  /* S_r resized to the work image, [n_scales,h,w] */
    float *mean;       /* [h,w] */
    uint8_t *attended; /* foci, [h,w]; NULL with foci_per_scale */
    float *distance;   /* D, [h,w]; NULL with foci_per_scale */
} fv_sr_result;

/* relevance [H,W,3] -> sr [H,W], in [0,1).  The caller releases *out, which is emptied on errors.
 *
 * A constant map (and any map whose feature image is constant) has SR 0 everywhere: no patch differs
 * from another, no pixel exceeds tau times a maximum of 0, and without foci D is 0.  The result does not
 * depend on the number of threads, nor on the backend that multiplies: products only preselect, with a
 * bound on their rounding; the K distances that count are evaluated directly.
 *
 * Errors: FV_ERR_SHAPE (a side of the work image below u), FV_ERR_NONFINITE (NaN or infinite
 * relevance), FV_ERR_CONFIG (an option out of range), FV_ERR_NOMEM, FV_ERR_BACKEND.  Not inside a
 * parallel task. */
fv_status fv_sr_map(const float *relevance, int64_t H, int64_t W, const fv_sr_options *options,
                    fv_sr_result *out, float *sr);
void fv_sr_result_release(fv_sr_result *result);

/* "abs", "code", "pos"; FV_ERR_CONFIG otherwise. */
fv_status fv_sr_feature_parse(const char *name, fv_sr_feature_kind *out);
const char *fv_sr_feature_name(fv_sr_feature_kind kind); /* NULL: no such kind */

#endif
