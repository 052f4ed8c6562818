/* heatmap.h - signed maps as pictures: blue (against) - white - red (for the class).
 *
 * v = clip(R / s, -1, 1) with one scale s per map; colour index floor(255 (v+1)/2 + 1/2).  The same map
 * gives the same bytes. */
#ifndef FV_EVAL_SALIENCY_HEATMAP_H
#define FV_EVAL_SALIENCY_HEATMAP_H

#include "data/image.h"

/* The p-th percentile (0..100) of |map|, linear between order statistics; 0 for an all-zero map. */
fv_status fv_heat_scale(const float *map, int64_t n, double percentile, float *scale);

/* map [H,W] -> RGB; a zero scale paints white.  out is reshaped. */
fv_status fv_heat_paint(const float *map, int64_t height, int64_t width, float scale,
                        fv_image *out);

/* (1 - alpha |v|) grey + alpha |v| colour, on the picture's luminance (.299, .587, .114).  The picture
 * is [H,W] like the map. */
fv_status fv_heat_overlay(const float *map, const fv_image *picture, float scale, float alpha,
                          fv_image *out);

/* Every pixel as a square of factor x factor. */
fv_status fv_image_enlarge(const fv_image *image, int64_t factor, fv_image *out);

#endif
