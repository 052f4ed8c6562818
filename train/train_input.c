#include "train/train_input.h"

#include "data/sampler.h"

#include <string.h>

/* ---- pixels ---- */

static fv_status set_preprocess(const fv_settings *s, fv_model_input *in, fv_preprocess *out) {
    for (int c = 0; c < 3; c++) {
        if (s->mean.count == 3) in->mean[c] = (float)s->mean.v[c];
        if (s->std.count == 3) in->std[c] = (float)s->std.v[c];
    }
    if (s->interpolation[0]) in->interpolation = s->interpolation;
    if (s->crop_pct > 0.0) in->crop_pct = s->crop_pct;
    *out = (fv_preprocess){.img_h = in->height,
                           .img_w = in->width,
                           .crop_pct = in->crop_pct,
                           .exif_orientation = s->exif_orientation};
    memcpy(out->mean, in->mean, sizeof in->mean);
    memcpy(out->std, in->std, sizeof in->std);
    FV_TRY(fv_interpolation_parse(in->interpolation, &out->interpolation));
    return fv_preprocess_check(out);
}

fv_status fv_train_pixels(const fv_settings *s, fv_model_input *in, fv_preprocess *preprocess,
                          fv_augment *augment) {
    FV_TRY(set_preprocess(s, in, preprocess));
    fv_augment_init(augment);
    for (int i = 0; i < 2; i++) {
        if (s->scale.count == 2) augment->scale[i] = s->scale.v[i];
        if (s->ratio.count == 2) augment->ratio[i] = s->ratio.v[i];
    }
    augment->hflip = s->hflip;
    augment->vflip = s->vflip;
    FV_TRY(fv_rand_augment_parse(s->aa, &augment->aa));
    augment->color_jitter = s->aa[0] ? 0.0 : s->color_jitter; /* as timm: RandAugment has its own */
    augment->color_jitter_prob = s->color_jitter_prob;
    augment->grayscale_prob = s->grayscale_prob;
    augment->reprob = s->reprob;
    augment->recount = s->recount;
    FV_TRY(fv_erase_mode_parse(s->remode, &augment->remode));
    FV_TRY(fv_interpolation_parse(s->train_interpolation, &augment->interpolation));
    return fv_augment_check(augment);
}

/* ---- order ---- */

bool fv_train_repeats(const fv_settings *s) { return s->aug_repeats > 1; }

void fv_train_order(const fv_settings *s, uint32_t epoch, int64_t effective_batch, int64_t n,
                    int64_t *order, uint8_t *repeat) {
    fv_sampler_shuffle((uint64_t)s->seed, epoch, n, order);
    if (fv_train_repeats(s)) fv_sampler_repeat(s->aug_repeats, effective_batch, n, order, repeat);
}

/* ---- mixing ---- */

fv_status fv_train_mixing(const fv_settings *s, fv_mixup_config *out) {
    const double *sides = s->cutmix_minmax.v;
    const int64_t batch = s->batch_size * s->grad_accum_steps;

    *out = (fv_mixup_config){.mixup = s->mixup,
                             .cutmix = s->cutmix,
                             .prob = s->mixup_prob,
                             .switch_prob = s->mixup_switch_prob};
    if (s->cutmix_minmax.count == 2) {
        if (!(sides[0] <= sides[1] && sides[1] > 0.0))
            return FV_FAIL(FV_ERR_CONFIG, "cutmix_minmax: %g %g is not a range", sides[0],
                           sides[1]);
        out->cutmix_minmax[0] = sides[0];
        out->cutmix_minmax[1] = sides[1];
    }
    if (!fv_mixup_enabled(out) || batch % 2 == 0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG,
                   "mixup and cutmix need an even number of images, not %lld (--batch-size %lld "
                   "x --grad-accum-steps %lld)",
                   (long long)batch, (long long)s->batch_size, (long long)s->grad_accum_steps);
}

bool fv_train_has_targets(const fv_settings *s, const fv_mixup_config *mixup) {
    return fv_mixup_enabled(mixup) || s->bce_loss;
}

void fv_train_mix(const fv_settings *s, const fv_mixup_config *mixup, fv_train_place place,
                  const fv_model_input *in, int64_t K, const fv_batch *batch, float *targets) {
    const bool off = s->mixup_off_epoch > 0 && place.epoch >= s->mixup_off_epoch;
    const fv_rng_key key = {
        .seed = (uint64_t)s->seed, .purpose = FV_RNG_MIX, .step = (uint32_t)place.step};
    const fv_mix mix =
        off ? (fv_mix){.lam = 1.0} : fv_mixup_draw(mixup, key, in->height, in->width);

    fv_mix_images(&mix, batch->n, in->height, in->width, batch->pixels);
    fv_mix_targets(&mix, batch->n, batch->labels, K, s->smoothing, targets);
    for (int64_t i = 0; s->bce_loss && s->bce_target_thresh > 0.0 && i < batch->n * K; i++)
        targets[i] = (double)targets[i] > s->bce_target_thresh ? 1.0f : 0.0f;
}
