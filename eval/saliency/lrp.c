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
    a->worst_op = ledger->worst[0].error;
    snprintf(a->worst_op_name, sizeof a->worst_op_name, "%s: %s",
             ledger->worst[0].scope ? ledger->worst[0].scope : "",
             ledger->worst[0].op ? ledger->worst[0].op : "");
    r->out->has_account = true;
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *found = fv_composite_find(r->variant);
    const size_t K = (size_t)fv_dim(r->logits, 1);
    float low[3], high[3];
    fv_composite composite;
    fv_ledger ledger;
    fv_arena arena = {0};

    if (!found) return FV_FAIL(FV_ERR_CONFIG, "lrp: unknown composite '%s'", r->variant);
    fv_composite_options options = fv_composite_defaults(found);
    fv_composite_box(r->model->input.mean, r->model->input.std, low, high);
    options.low = low;
    options.high = high;
    FV_TRY(fv_composite_make(found, &options, &composite));
    float *start = fv_alloc(K, sizeof *start);
    if (!start) return FV_ERR_NOMEM;
    fv_status status = fv_ledger_init(&ledger, 1, &arena);
    if (status != FV_OK) goto cleanup;
    memcpy(start, r->seed, K * sizeof *start);
    const fv_signal_kind kind = fv_composite_kind(&composite);
    if (kind == FV_SIGNAL_R) start[r->out->target] = r->out->logit;
    status = fv_tape_relevance(r->tape, r->logits, start, (int)kind, fv_composite_pick, &composite,
                               &ledger);
    if (status != FV_OK) goto cleanup;
    if (r->x->relevance.data)
        memcpy(r->out->relevance, r->x->relevance.data,
               (size_t)fv_shape_numel(&r->x->shape) * sizeof(float));
    settle(r, &ledger);
cleanup:
    fv_free(start);
    fv_arena_destroy(&arena);
    return status;
}

static fv_value *parameters(const char *variant, fv_arena *arena) {
    const fv_composite *composite = fv_composite_find(variant);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    if (!composite) return map;
    const fv_rule *rule = &composite->base;
    fv_value_set(arena, map, "composite", fv_value_string(arena, composite->name));
    fv_value_set(arena, map, "signal",
                 fv_value_string(arena, rule->kind == FV_SIGNAL_GI ? "gradient" : "relevance"));
    fv_value_set(arena, map, "epsilon", fv_value_real(arena, (double)rule->epsilon));
    fv_value_set(arena, map, "gamma_conv", fv_value_real(arena, (double)composite->conv.gamma));
    fv_value_set(arena, map, "gamma_linear", fv_value_real(arena, (double)composite->linear.gamma));
    fv_value_set(arena, map, "constant_attention", fv_value_bool(arena, rule->constant_attention));
    return map;
}

const fv_saliency_method fv_saliency_lrp = {
    .name = "lrp",
    .summary = "layer-wise relevance propagation; variants are composites of rules",
    .variants = fv_composite_names,
    .run = run,
    .parameters = parameters};
