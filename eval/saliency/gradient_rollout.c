/* gradient_rollout.c - rollout of attention weights times the gradient of the score at them (Chefer et
 * al. 2021, "Generic attention-model explainability for interpreting bi-modal and encoder-decoder
 * transformers", self-attention rule). */
#include "eval/saliency/attention_flow.h"

static fv_status prepare(fv_explain_run *r) {
    return fv_attention_watch(r->tape, FV_WATCH_VALUE | FV_WATCH_GRAD);
}

static fv_status run(fv_explain_run *r) {
    fv_attention_flow flow;

    FV_TRY(fv_explain_backward(r, r->weight));
    FV_TRY(fv_attention_flow_open(r, &flow));
    float *R = fv_arena_alloc(r->arena, (size_t)(flow.T * flow.T) + 1, sizeof *R);
    if (!R) return FV_ERR_NOMEM;
    for (int64_t b = 0; flow.count && b < r->B; b++) {
        fv_attention_gradient_rollout(&flow, b, R);
        fv_attention_readout(&flow, r->model, R, r->out[b].grid);
    }
    return FV_OK;
}

const fv_saliency_method fv_saliency_gradient_rollout = {
    .name = "gradient_rollout",
    .summary = "attention weights times their gradient, composed over the layers",
    .source = "Chefer et al. 2021, Generic Attention-Model Explainability",
    .kind = FV_SALIENCY_GRID,
    .prepare = prepare,
    .run = run};
