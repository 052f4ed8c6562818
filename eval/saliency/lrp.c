/* lrp.c - layer-wise relevance propagation (Bach et al. 2015) with the composite of the variant, and
 * the account of where the score went. */
#include "eval/saliency/composite.h"
#include "eval/saliency/explain_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void settle(const fv_explain_run *r, const fv_ledger *ledger, int64_t b) {
    fv_explanation *e = &r->out[b];
    fv_account *a = &e->account;
    double absolute = 0.0, rest;

    a->start = (double)e->score;
    a->input = 0.0;
    for (int64_t i = 0; i < 3 * r->H * r->W; i++) {
        a->input += (double)e->relevance[i];
        absolute += fabs((double)e->relevance[i]);
    }
    rest = a->start - a->input;
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        a->sink[s] = ledger->sink[s][b];
        rest -= a->sink[s];
    }
    a->end_to_end = absolute > 0.0 ? fabs(rest) / absolute : fabs(rest);
    a->worst_op = ledger->worst_op;
    snprintf(a->worst_op_name, sizeof a->worst_op_name, "%s: %s",
             ledger->worst_op_scope ? ledger->worst_op_scope : "",
             ledger->worst_op_name ? ledger->worst_op_name : "");
    e->has_account = true;
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *composite = fv_composite_find(r->choice->variant);
    const int64_t K = r->K, n = 3 * r->H * r->W;
    const float *logits = r->logits->data;
    fv_ledger ledger = {.n_samples = r->B};

    if (!composite)
        return FV_FAIL(FV_ERR_CONFIG, "lrp: unknown composite '%s'", r->choice->variant);
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        ledger.sink[s] = fv_arena_calloc(r->arena, (size_t)r->B, sizeof(double));
        if (!ledger.sink[s]) return FV_ERR_NOMEM;
    }
    float *start = fv_arena_alloc(r->arena, (size_t)(r->B * K), sizeof *start);
    if (!start) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < r->B * K; i++) {
        start[i] = r->weight[i];
        if (composite->rule.kind == FV_SIGNAL_R) start[i] *= logits[i];
    }
    FV_TRY(fv_tape_relevance(r->tape, r->logits, start, (int)composite->rule.kind,
                             fv_composite_pick, (void *)(uintptr_t)composite, &ledger));
    for (int64_t b = 0; b < r->B; b++) {
        const float *relevance = r->x->relevance.data;
        if (relevance)
            memcpy(r->out[b].relevance, relevance + b * n, (size_t)n * sizeof *relevance);
        settle(r, &ledger, b);
    }
    return FV_OK;
}

static void describe(const fv_saliency_choice *choice, fv_arena *arena, fv_value *map) {
    const fv_composite *composite = fv_composite_find(choice->variant);

    if (!composite) return;
    const fv_rule *rule = &composite->rule;
    fv_value_set(arena, map, "signal",
                 fv_value_string(arena, rule->kind == FV_SIGNAL_GI ? "gradient" : "relevance"));
    fv_value_set(arena, map, "epsilon", fv_value_real(arena, (double)rule->epsilon));
    fv_value_set(arena, map, "gamma", fv_value_real(arena, (double)rule->gamma));
    fv_value_set(arena, map, "constant_attention", fv_value_bool(arena, rule->constant_attention));
}

const fv_saliency_method fv_saliency_lrp = {
    .name = "lrp",
    .summary = "layer-wise relevance propagation; variants are composites of rules",
    .source = "Bach et al. 2015; Achtibat et al. 2024, AttnLRP",
    .variants = fv_composite_names,
    .kind = FV_SALIENCY_PIXELS,
    .has_sign = true,
    .run = run,
    .describe = describe};
