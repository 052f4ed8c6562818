/* gradient_x_input.c - R = x * d score / d x (Shrikumar et al. 2016, "Not just a black box"). */
#include "eval/saliency/explain_run.h"

static fv_status run(fv_explain_run *r) {
    FV_TRY(fv_explain_backward(r, r->weight));
    const float *x = r->x->data, *g = r->x->grad.data;
    const int64_t n = 3 * r->H * r->W;

    for (int64_t b = 0; g && b < r->B; b++) /* without g the score does not depend on the pixels */
        for (int64_t i = 0; i < n; i++) r->out[b].relevance[i] = x[b * n + i] * g[b * n + i];
    return FV_OK;
}

const fv_saliency_method fv_saliency_gradient_x_input = {
    .name = "gradient_x_input",
    .summary = "input times gradient of the score",
    .source = "Shrikumar et al. 2016, Not Just a Black Box",
    .kind = FV_SALIENCY_PIXELS,
    .has_sign = true,
    .run = run};
