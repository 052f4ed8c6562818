/* rollout.c - attention followed from the classifier's token, or from all positions, back to the first
 * layer (Abnar & Zuidema 2020, "Quantifying attention flow in transformers").  The same for every class:
 * no gradient takes part. */
#include "eval/saliency/attention_flow.h"

#include <string.h>

static const char *const variants[] = {
#define FV_X(name) #name,
    FV_ATTENTION_FUSE_LIST(FV_X)
#undef FV_X
        NULL};

static const fv_saliency_param params[] = {
    {.name = "discard", .max = 0.99, .help = "share of the smallest weights that is left out"},
    {0}};

static fv_status prepare(fv_explain_run *r) { return fv_attention_watch(r->tape, FV_WATCH_VALUE); }

static fv_status run(fv_explain_run *r) {
    fv_attention_flow flow;
    int fuse = 0;

    while (strcmp(variants[fuse], r->choice->variant) != 0) fuse++;
    FV_TRY(fv_attention_flow_open(r, &flow));
    float *R = fv_arena_alloc(r->arena, (size_t)(flow.T * flow.T) + 1, sizeof *R);
    if (!R) return FV_ERR_NOMEM;
    for (int64_t b = 0; flow.count && b < r->B; b++) {
        FV_TRY(fv_attention_rollout(&flow, b, (fv_attention_fuse)fuse,
                                    fv_saliency_number(r->choice, "discard"), R));
        fv_attention_readout(&flow, r->model, R, r->out[b].grid);
    }
    return FV_OK;
}

const fv_saliency_method fv_saliency_rollout = {
    .name = "rollout",
    .summary = "attention weights composed over the layers; variants fuse heads",
    .source = "Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers",
    .variants = variants,
    .params = params,
    .kind = FV_SALIENCY_GRID,
    .prepare = prepare,
    .run = run};
