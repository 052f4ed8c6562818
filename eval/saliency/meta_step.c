#include "eval/saliency/meta_step.h"

#include <string.h>

/* A training pass, for parameters have gradients in no other; alone on the tape, so that an image's step
 * does not depend on its neighbours. */
static fv_status take_gradient(const fv_explain_run *run, const float *pixels, int64_t target) {
    const int32_t label = (int32_t)target;
    const fv_tensor image = {(void *)(uintptr_t)pixels, FV_F32,
                             fv_shape_of(4, (int64_t)1, run->H, run->W, (int64_t)3)};
    const fv_tensor labels = {(void *)(uintptr_t)&label, FV_I32, fv_shape_of(1, (int64_t)1)};
    fv_tape *tape = run->tape;

    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN,
                                   .running_stats = true,
                                   .check_finite = true,
                                   .samples = 1,
                                   .chunk_samples = 1});
    fv_var *logits = fv_model_forward(run->model, fv_input(tape, &image, false));
    fv_var *loss = fv_cross_entropy(logits, fv_input(tape, &labels, false), 0.0f);
    FV_TRY(fv_tape_status(tape));
    return fv_tape_backward(tape, loss, (float[]){1.0f});
}

static void descend(const fv_params *params, double lr) {
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        if (p->trainable && p->grad) fv_kernel()->axpy(p->numel, (float)-lr, p->grad, p->value);
    }
}

fv_status fv_meta_step(fv_explain_run *run, const float *pixels, int64_t target, double lr,
                       fv_meta_then *then, void *arg) {
    fv_params params = run->model->params; /* the struct is const, its values are not */
    const size_t bytes = (size_t)params.slab_numel * sizeof(float);
    fv_param_slab saved = {0};

    if (run->model->drop_path > 0.0)
        return FV_FAIL(FV_ERR_CONFIG, "%s: a meta step needs a model without stochastic depth",
                       run->choice->text);
    FV_TRY(fv_params_slab_create(&params, &saved));
    memcpy(saved.base, params.value.base, bytes);
    fv_params_grad_zero(&params);
    fv_status status = take_gradient(run, pixels, target);
    if (status == FV_OK) {
        descend(&params, lr);
        status = then(run, arg);
    }
    memcpy(params.value.base, saved.base, bytes);
    fv_params_slab_destroy(&saved);
    return status;
}
