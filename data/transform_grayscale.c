/* transform_grayscale.c - takes the colours away with probability grayscale_prob. */
#include "data/pixels.h"
#include "data/transform_list.h"

static fv_status apply(fv_transform_state *s) {
    if (fv_rng_uniform_double(&s->key, 0) < s->augment->grayscale_prob)
        fv_pixels_color(s->image, 0.0);
    return FV_OK;
}

const fv_transform fv_transform_grayscale = {
    .name = "grayscale", .summary = "no colours", .apply = apply};
