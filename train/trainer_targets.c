/* trainer_targets.c - what the loss of a pass compares with: labels, or the targets of mixed images. */
#include "core/alloc.h"
#include "train/trainer_internal.h"

fv_status fv_trainer_plan_mixing(fv_trainer *t, int64_t *batch_size) {
    const fv_settings *s = t->settings;
    const double *sides = s->cutmix_minmax.v;
    const int64_t batch = t->effective_batch;

    t->mixup = (fv_mixup_config){.mixup = s->mixup,
                                 .cutmix = s->cutmix,
                                 .prob = s->mixup_prob,
                                 .switch_prob = s->mixup_switch_prob};
    if (s->cutmix_minmax.count == 2) {
        if (!(sides[0] <= sides[1] && sides[1] > 0.0))
            return FV_FAIL(FV_ERR_CONFIG, "cutmix_minmax: %g %g is not a range", sides[0],
                           sides[1]);
        t->mixup.cutmix_minmax[0] = sides[0];
        t->mixup.cutmix_minmax[1] = sides[1];
    }
    const bool mixes = fv_mixup_enabled(&t->mixup);
    if (mixes && batch % 2 != 0)
        return FV_FAIL(
            FV_ERR_CONFIG,
            "mixup and cutmix need an even number of images, not %lld (--batch-size %lld "
            "x --grad-accum-steps %lld)",
            (long long)batch, (long long)s->batch_size, (long long)s->grad_accum_steps);
    if (mixes && *batch_size % 2 != 0) ++*batch_size; /* a pair is never cut */
    return FV_OK;
}

/* The buffer is as large as the first pass, which is the largest. */
fv_status fv_trainer_allocate_targets(fv_trainer *t) {
    if (!fv_mixup_enabled(&t->mixup) && !t->settings->bce_loss) return FV_OK;
    const size_t n = (size_t)fv_stepper_pass_samples(t->stepper);
    t->targets = fv_alloc(n, (size_t)t->model->num_classes * sizeof *t->targets);
    return t->targets ? FV_OK : FV_ERR_NOMEM;
}

static bool is_off(const fv_trainer *t) {
    return t->settings->mixup_off_epoch > 0 && t->state.epoch >= t->settings->mixup_off_epoch;
}

void fv_trainer_set_targets(fv_trainer *t, const fv_batch *batch, fv_stepper_pass *pass) {
    const fv_settings *s = t->settings;
    const fv_model_input *in = &t->model->input;
    const int64_t K = t->model->num_classes;
    const fv_rng_key key = {
        .seed = (uint64_t)s->seed, .purpose = FV_RNG_MIX, .step = (uint32_t)t->state.step};

    pass->labels = batch->labels;
    if (!t->targets) return;
    const fv_mix mix =
        is_off(t) ? (fv_mix){.lam = 1.0} : fv_mixup_draw(&t->mixup, key, in->height, in->width);
    fv_mix_images(&mix, batch->n, in->height, in->width, batch->pixels);
    fv_mix_targets(&mix, batch->n, batch->labels, K, s->smoothing, t->targets);
    for (int64_t i = 0; s->bce_loss && s->bce_target_thresh > 0.0 && i < batch->n * K; i++)
        t->targets[i] = (double)t->targets[i] > s->bce_target_thresh ? 1.0f : 0.0f;
    pass->targets = t->targets;
}
