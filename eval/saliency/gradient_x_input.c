/* gradient_x_input.c - R = x * d logit / d x (Shrikumar et al. 2016, "Not just a black box"). */
#include "eval/saliency/explain.h"

static fv_status run(fv_explain_run *r) {
    FV_TRY(fv_tape_backward(r->tape, r->logits, r->seed));
    const float *x = r->x->data, *g = r->x->grad.data;
    const int64_t n = fv_shape_numel(&r->x->shape);

    if (!g) return FV_OK; /* the logit does not depend on the input: all zeros */
    for (int64_t i = 0; i < n; i++) r->out->relevance[i] = x[i] * g[i];
    return FV_OK;
}

const fv_saliency_method fv_saliency_gradient_x_input = {
    .name = "gradient_x_input", .summary = "input times gradient of the logit", .run = run};
