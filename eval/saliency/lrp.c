/* lrp.c - layer-wise relevance propagation (Bach et al. 2015) with the composite of the variant, and
 * the account of where the logit went. */
#include "core/alloc.h"
#include "eval/saliency/composite.h"
#include "eval/saliency/explain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void settle(const fv_explain_run *r, const fv_ledger *ledger) {
    fv_account *a = &r->out->account;
    const int64_t n = fv_shape_numel(&r->x->shape);
    double absolute = 0.0, rest;

    a->start = (double)r->out->logit;
    a->input = 0.0;
    for (int64_t i = 0; i < n; i++) {
        a->input += (double)r->out->relevance[i];
        absolute += fabs((double)r->out->relevance[i]);
    }
    rest = a->start - a->input;
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        a->sink[s] = ledger->sink[s][0];
        rest -= a->sink[s];
    }
    a->end_to_end = absolute > 0.0 ? fabs(rest) / absolute : fabs(rest);
    a->worst_op = ledger->worst_op;
    snprintf(a->worst_op_name, sizeof a->worst_op_name, "%s: %s",
             ledger->worst_op_scope ? ledger->worst_op_scope : "",
             ledger->worst_op_name ? ledger->worst_op_name : "");
    r->out->has_account = true;
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *composite = fv_composite_find(r->variant);
    const size_t K = (size_t)fv_dim(r->logits, 1);
    double sinks[FV_SINK_COUNT] = {0};
    fv_ledger ledger = {.n_samples = 1};

    if (!composite) return FV_FAIL(FV_ERR_CONFIG, "lrp: unknown composite '%s'", r->variant);
    for (int s = 0; s < FV_SINK_COUNT; s++) ledger.sink[s] = &sinks[s];
    float *start = fv_alloc(K, sizeof *start);
    if (!start) return FV_ERR_NOMEM;
    memcpy(start, r->seed, K * sizeof *start);
    if (composite->rule.kind == FV_SIGNAL_R) start[r->out->target] = r->out->logit;
    const fv_status status =
        fv_tape_relevance(r->tape, r->logits, start, (int)composite->rule.kind, fv_composite_pick,
                          (void *)(uintptr_t)composite, &ledger);
    fv_free(start);
    if (status != FV_OK) return status;
    if (r->x->relevance.data)
        memcpy(r->out->relevance, r->x->relevance.data,
               (size_t)fv_shape_numel(&r->x->shape) * sizeof(float));
    settle(r, &ledger);
    return FV_OK;
}

static fv_value *parameters(const char *variant, fv_arena *arena) {
    const fv_composite *composite = fv_composite_find(variant);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    if (!composite) return map;
    const fv_rule *rule = &composite->rule;
    fv_value_set(arena, map, "composite", fv_value_string(arena, composite->name));
    fv_value_set(arena, map, "signal",
                 fv_value_string(arena, rule->kind == FV_SIGNAL_GI ? "gradient" : "relevance"));
    fv_value_set(arena, map, "epsilon", fv_value_real(arena, (double)rule->epsilon));
    fv_value_set(arena, map, "gamma", fv_value_real(arena, (double)rule->gamma));
    fv_value_set(arena, map, "constant_attention", fv_value_bool(arena, rule->constant_attention));
    return map;
}

const fv_saliency_method fv_saliency_lrp = {
    .name = "lrp",
    .summary = "layer-wise relevance propagation; variants are composites of rules",
    .variants = fv_composite_names,
    .run = run,
    .parameters = parameters};
