/* transform_color_jitter.c - brightness, contrast and saturation by random factors, in random order: timm's
 * one strength for the three of torchvision's ColorJitter. */
#include "data/pixels.h"
#include "data/transform_list.h"

#include <math.h>

#define ENHANCEMENTS 3

typedef void enhancement(fv_image *image, double factor);

static enhancement *const enhancements[ENHANCEMENTS] = {fv_pixels_brightness, fv_pixels_contrast,
                                                        fv_pixels_color};

bool fv_color_jitter_draw(const fv_augment *augment, const fv_rng_key *key, fv_color_jitter *out) {
    const double low = fmax(0.0, 1.0 - augment->color_jitter), high = 1.0 + augment->color_jitter;
    fv_rng_stream draws = {.key = *key};

    if (!(augment->color_jitter > 0.0)) return false;
    if (!(fv_rng_next(&draws) < augment->color_jitter_prob)) return false;
    for (int i = 0; i < ENHANCEMENTS; i++) { /* Fisher and Yates, from the front */
        const int j = (int)fv_rng_next_below(&draws, i + 1);
        out->order[i] = out->order[j];
        out->order[j] = i;
    }
    for (int i = 0; i < ENHANCEMENTS; i++)
        out->factor[i] = low + (high - low) * fv_rng_next(&draws);
    return true;
}

static fv_status apply(fv_transform_state *s) {
    fv_color_jitter jitter;

    if (!fv_color_jitter_draw(s->augment, &s->key, &jitter)) return FV_OK;
    for (int i = 0; i < ENHANCEMENTS; i++) {
        const int which = jitter.order[i];
        enhancements[which](s->image, jitter.factor[which]);
    }
    return FV_OK;
}

const fv_transform fv_transform_color_jitter = {
    .name = "color_jitter", .summary = "brightness, contrast and saturation", .apply = apply};
