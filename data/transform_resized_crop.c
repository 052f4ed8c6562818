/* transform_resized_crop.c - random resized crop (Szegedy et al. 2015, "Going deeper with
 * convolutions", section 6), with torchvision's ten attempts and central fallback. */
#include "data/transform_list.h"

#include <math.h>

#define ATTEMPTS 10

/* The central crop of the ratio nearest to the image's own. */
static fv_crop central(const fv_augment *augment, int64_t height, int64_t width) {
    const double ratio = (double)width / (double)height;
    fv_crop crop = {.height = height, .width = width};

    if (ratio < augment->ratio[0])
        crop.height = (int64_t)rint((double)width / augment->ratio[0]);
    else if (ratio > augment->ratio[1])
        crop.width = (int64_t)rint((double)height * augment->ratio[1]);
    crop.height = crop.height < 1 ? 1 : crop.height > height ? height : crop.height;
    crop.width = crop.width < 1 ? 1 : crop.width > width ? width : crop.width;
    crop.top = (height - crop.height) / 2;
    crop.left = (width - crop.width) / 2;
    return crop;
}

/* Area fraction uniform in scale, ratio log-uniform in ratio, position uniform.  Attempt a takes
 * the double draws 4a .. 4a + 3. */
fv_crop fv_resized_crop_draw(const fv_augment *augment, const fv_rng_key *key, int64_t height,
                             int64_t width) {
    const double area = (double)height * (double)width;
    const double log_low = log(augment->ratio[0]), log_high = log(augment->ratio[1]);

    for (uint64_t i = 0; i < 4 * ATTEMPTS; i += 4) {
        const double u = fv_rng_uniform_double(key, i), v = fv_rng_uniform_double(key, i + 1);
        const double target =
            area * (augment->scale[0] + u * (augment->scale[1] - augment->scale[0]));
        const double ratio = exp(log_low + v * (log_high - log_low));
        const double w = rint(sqrt(target * ratio)), h = rint(sqrt(target / ratio));
        if (!(w >= 1.0 && w <= (double)width && h >= 1.0 && h <= (double)height)) continue;
        fv_crop crop = {.height = (int64_t)h, .width = (int64_t)w};
        crop.top =
            (int64_t)(fv_rng_uniform_double(key, i + 2) * (double)(height - crop.height + 1));
        crop.left = (int64_t)(fv_rng_uniform_double(key, i + 3) * (double)(width - crop.width + 1));
        return crop;
    }
    return central(augment, height, width);
}

static fv_status apply(fv_transform_state *s) {
    const fv_crop crop =
        fv_resized_crop_draw(s->augment, &s->key, s->source->height, s->source->width);
    fv_resize_spec spec = {.crop = &crop,
                           .height = s->pre->img_h,
                           .width = s->pre->img_w,
                           .interpolation = s->augment->interpolation};

    if (spec.interpolation == FV_INTERPOLATION_RANDOM)
        spec.interpolation = fv_rng_uniform_double(&s->key, 4 * ATTEMPTS) < 0.5
                                 ? FV_INTERPOLATION_BILINEAR
                                 : FV_INTERPOLATION_BICUBIC;
    return fv_resize(s->source, &spec, s->scratch, s->image);
}

const fv_transform fv_transform_resized_crop = {
    .name = "resized_crop",
    .summary = "random area, ratio and position, resampled to the model's size",
    .apply = apply};
