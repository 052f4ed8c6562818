/* baseline_map.h - maps that look at no model: what a method must beat to say anything.
 *
 * Every table of metrics prints them beside the methods. */
#ifndef FV_EVAL_SALIENCY_BASELINE_MAP_H
#define FV_EVAL_SALIENCY_BASELINE_MAP_H

#include <stdint.h>

/* map [H,W] for an image of pixels [H,W,3]; seed and sample (the image's index) key random ones. */
typedef void fv_baseline_fn(const float *pixels, int64_t H, int64_t W, uint64_t seed,
                            uint32_t sample, float *map);

typedef struct fv_baseline {
    const char *name;
    const char *summary;
    fv_baseline_fn *map;
} fv_baseline;

/* centre: a Gaussian at the middle of the image, sigma = side / 4 along each axis.
 * edge:   Sobel's gradient magnitude of the luminance (.299, .587, .114), borders replicated.
 * random: uniform noise. */
const fv_baseline *fv_baseline_at(int i); /* NULL after the last */

#endif
