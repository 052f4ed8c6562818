/* heatmap.h - maps as pictures: alone, or over the image that they explain.
 *
 * The value of a pixel is fv_heat_value of the range, v in [-1, 1] or [0, 1]; its colour is the entry at
 * (v + 1) / 2 or at v, so that zero of a signed map is the middle (entry 128).  One range for several maps
 * makes their pictures comparable.  No picture is rescaled by its own brightness.  The same map gives the
 * same bytes.  A map with a NaN or an infinity is refused: FV_ERR_NONFINITE. */
#ifndef FV_EVAL_SALIENCY_HEATMAP_H
#define FV_EVAL_SALIENCY_HEATMAP_H

#include "data/image.h"
#include "eval/saliency/colormap.h"
#include "eval/saliency/heat_range.h"

/* What a value looks like; also what a colour bar shows. */
typedef struct fv_heat_style {
    const fv_colormap *colormap;
    fv_heat_range range;
} fv_heat_style;

/* map [H,W] -> RGB; out is reshaped. */
fv_status fv_heat_paint(const float *map, int64_t height, int64_t width, const fv_heat_style *style,
                        fv_image *out);

typedef struct fv_heat_blend {
    float alpha; /* 0..1: opacity of the colours */
    bool fade;   /* opacity alpha |v|, on the picture's luminance (.299, .587, .114) */
} fv_heat_blend;

/* (1 - a) picture + a colour, rounded half up.  picture is [H,W] like the map; out is another image and
 * is reshaped.  FV_ERR_CONFIG: alpha outside 0..1. */
fv_status fv_heat_overlay(const float *map, const fv_image *picture, const fv_heat_style *style,
                          const fv_heat_blend *blend, fv_image *out);

/* Every pixel as a square of factor x factor; out is another image. */
fv_status fv_image_enlarge(const fv_image *image, int64_t factor, fv_image *out);

/* The smallest whole factor that brings the shorter side to min_px. */
int64_t fv_image_enlarge_factor(int64_t height, int64_t width, int64_t min_px);

#endif
