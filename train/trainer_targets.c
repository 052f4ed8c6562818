/* trainer_targets.c - what the loss of a pass compares with: labels, or the targets of mixed images. */
#include "core/alloc.h"
#include "train/train_input.h"
#include "train/trainer_internal.h"

fv_status fv_trainer_plan_mixing(fv_trainer *t, int64_t *batch_size) {
    FV_TRY(fv_train_mixing(t->settings, &t->mixup));
    if (fv_mixup_enabled(&t->mixup) && *batch_size % 2 != 0)
        ++*batch_size; /* a pair is never cut */
    return FV_OK;
}

/* The buffer is as large as the first pass, which is the largest. */
fv_status fv_trainer_allocate_targets(fv_trainer *t) {
    if (!fv_train_has_targets(t->settings, &t->mixup)) return FV_OK;
    const size_t n = (size_t)fv_stepper_pass_samples(t->stepper);
    t->targets = fv_alloc(n, (size_t)t->model->num_classes * sizeof *t->targets);
    return t->targets ? FV_OK : FV_ERR_NOMEM;
}

void fv_trainer_set_targets(fv_trainer *t, const fv_batch *batch, fv_stepper_pass *pass) {
    pass->labels = batch->labels;
    if (!t->targets) return;
    fv_train_mix(t->settings, &t->mixup, (fv_train_place){t->state.epoch, t->state.step},
                 &t->model->input, t->model->num_classes, batch, t->targets);
    pass->targets = t->targets;
}
