/* attention_lrp.c - rollout of the relevance of attention weights times the gradient of the score at them
 * (Chefer et al. 2021, "Transformer interpretability beyond attention visualization").  Relevance starts
 * as the score's weights of the logits (one-hot), not as the logits. */
#include "eval/saliency/attention_flow.h"
#include "eval/saliency/composite.h"

static fv_status prepare(fv_explain_run *r) {
    return fv_attention_watch(r->tape, FV_WATCH_VALUE | FV_WATCH_GRAD | FV_WATCH_RELEVANCE);
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *composite = fv_composite_find("transformer_attribution");
    fv_attention_flow flow;
    fv_composite rules;

    if (!composite) return FV_FAIL(FV_ERR_INTERNAL, "attention_lrp: no composite");
    rules = *composite;
    FV_TRY(fv_tape_relevance(r->tape, r->logits, r->weight, FV_SIGNAL_R, fv_composite_pick, &rules,
                             NULL));
    FV_TRY(fv_explain_backward(r, r->weight));
    FV_TRY(fv_attention_flow_open(r, &flow));
    float *R = fv_arena_alloc(r->arena, (size_t)(flow.T * flow.T) + 1, sizeof *R);
    if (!R) return FV_ERR_NOMEM;
    for (int64_t b = 0; flow.count && b < r->B; b++) {
        fv_attention_relevance_rollout(&flow, b, R);
        fv_attention_readout(&flow, r->model, R, r->out[b].grid);
    }
    return FV_OK;
}

const fv_saliency_method fv_saliency_attention_lrp = {
    .name = "attention_lrp",
    .summary = "relevance of attention weights times their gradient, composed over the layers",
    .source = "Chefer et al. 2021, Transformer Interpretability Beyond Attention Visualization",
    .kind = FV_SALIENCY_GRID,
    .prepare = prepare,
    .run = run};
