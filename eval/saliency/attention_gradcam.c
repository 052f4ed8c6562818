/* attention_gradcam.c - Grad-CAM on attention: of the last layer the weights that the classifier's token
 * gives to the map, each head times the mean gradient of the score at them, positive part of the mean
 * over heads (the baseline of Chefer et al. 2021, "Transformer interpretability beyond attention
 * visualization", after Selvaraju et al. 2017).  Where the model pools the map, each of its positions
 * counts as such a token, and their maps are averaged before the positive part. */
#include "eval/saliency/attention_flow.h"

#include <string.h>

static fv_status prepare(fv_explain_run *r) {
    return fv_attention_watch(r->tape, FV_WATCH_VALUE | FV_WATCH_GRAD);
}

/* grid += share of head `head`; scratch A and dA [T,T], weights and gradients [HW] */
static void add_head(const fv_attention_flow *flow, const fv_model *model, int64_t sample,
                     int64_t head, float *weights, float *gradients, float *grid) {
    const fv_attention_matrix *last = flow->layer[flow->count - 1];
    const int64_t HW = flow->H * flow->W;
    double mean = 0.0;

    fv_attention_dense(last, sample, head, FV_ATTENTION_WEIGHT, flow->fused);
    fv_attention_dense(last, sample, head, FV_ATTENTION_GRADIENT, flow->scratch);
    fv_attention_readout(flow, model, flow->fused, weights);
    fv_attention_readout(flow, model, flow->scratch, gradients);
    for (int64_t u = 0; u < HW; u++) mean += (double)gradients[u];
    mean /= (double)(HW * last->heads);
    for (int64_t u = 0; u < HW; u++) grid[u] += (float)(mean * (double)weights[u]);
}

static fv_status run(fv_explain_run *r) {
    fv_attention_flow flow;

    FV_TRY(fv_explain_backward(r, r->weight));
    FV_TRY(fv_attention_flow_open(r, &flow));
    const int64_t HW = flow.H * flow.W;
    float *scratch = fv_arena_alloc(r->arena, (size_t)(2 * HW) + 1, sizeof *scratch);
    if (!scratch) return FV_ERR_NOMEM;
    for (int64_t b = 0; flow.count && b < r->B; b++) {
        float *grid = r->out[b].grid;
        for (int64_t head = 0; head < flow.layer[flow.count - 1]->heads; head++)
            add_head(&flow, r->model, b, head, scratch, scratch + HW, grid);
        for (int64_t u = 0; u < HW; u++)
            if (grid[u] < 0.0f) grid[u] = 0.0f;
    }
    return FV_OK;
}

const fv_saliency_method fv_saliency_attention_gradcam = {
    .name = "attention_gradcam",
    .summary = "Grad-CAM on the attention weights of the last layer",
    .source = "Chefer et al. 2021; Selvaraju et al. 2017, Grad-CAM",
    .kind = FV_SALIENCY_GRID,
    .prepare = prepare,
    .run = run};
