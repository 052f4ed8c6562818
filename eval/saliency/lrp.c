#include "eval/saliency/lrp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the pass ---- */

static void settle(const fv_explain_run *r, const fv_ledger *ledger, int64_t b,
                   const float *relevance) {
    fv_explanation *e = &r->out[b];
    fv_account *a = &e->account;
    const fv_op_error *worst = &ledger->worst[b];
    double absolute = 0.0, rest;

    a->start = (double)e->score;
    a->input = 0.0;
    for (int64_t i = 0; i < 3 * r->H * r->W; i++) {
        a->input += (double)relevance[i];
        absolute += fabs((double)relevance[i]);
    }
    rest = a->start - a->input;
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        a->sink[s] = ledger->sink[s][b];
        rest -= a->sink[s];
    }
    a->end_to_end = absolute > 0.0 ? fabs(rest) / absolute : fabs(rest);
    a->worst_op = worst->error;
    snprintf(a->worst_op_name, sizeof a->worst_op_name, "%s: %s", worst->scope ? worst->scope : "",
             worst->op ? worst->op : "");
    e->has_account = true;
    const double amplified = ledger->largest[b] / fabs(a->start);
    if (amplified > FV_LRP_AMPLIFIED)
        fv_explanation_warn(e,
                            "relevance grows to %.0f times the score inside of the network; a "
                            "larger epsilon, the norm-scaled stabiliser or a gamma rule calm it",
                            amplified);
}

fv_status fv_lrp(fv_explain_run *r, const fv_composite *composite,
                 const fv_composite_options *options, float *relevance) {
    const int64_t K = r->K, n = 3 * r->H * r->W;
    const fv_model_input *input = &r->model->input;
    const float *logits = r->logits->data;
    fv_composite_options o = *options;
    float low[3], high[3];
    fv_composite made;
    fv_ledger ledger;

    fv_composite_box(input->mean, input->std, low, high);
    o.low = low;
    o.high = high;
    FV_TRY(fv_composite_make(composite, &o, &made));
    FV_TRY(fv_ledger_init(&ledger, r->B, r->arena));
    float *start = fv_arena_alloc(r->arena, (size_t)(r->B * K), sizeof *start);
    if (!start) return FV_ERR_NOMEM;
    const fv_signal_kind kind = fv_composite_kind(&made);
    for (int64_t i = 0; i < r->B * K; i++)
        start[i] = kind == FV_SIGNAL_R ? r->weight[i] * logits[i] : r->weight[i];
    FV_TRY(
        fv_tape_relevance(r->tape, r->logits, start, (int)kind, fv_composite_pick, &made, &ledger));
    const float *found = r->x->relevance.data;
    if (found)
        memcpy(relevance, found, (size_t)(r->B * n) * sizeof *found);
    else
        memset(relevance, 0, (size_t)(r->B * n) * sizeof *relevance);
    for (int64_t b = 0; b < r->B; b++) settle(r, &ledger, b, relevance + b * n);
    return FV_OK;
}

/* ---- the method ---- */

/* -1 stands for the composite's own value. */
enum {
    EPSILON,
    STABILISER,
    GAMMA_CONV,
    GAMMA_LINEAR,
    ZERO_BIAS,
    IDENTITY_NORM,
    UNIFORM_GATE,
    POSITIONS
};
static const fv_saliency_param params[] = {
    [EPSILON] = {"epsilon", -1, -1, 1e3, false, "stabiliser of denominators (-1: the variant's)"},
    [STABILISER] = {"stabiliser", -1, -1, 2, true,
                    "0 adds epsilon, 1 clips at it, 2 scales it by the norm"},
    [GAMMA_CONV] = {"gamma_conv", -1, -1, 1e6, false,
                    "gamma of convolutions, where the variant has one"},
    [GAMMA_LINEAR] = {"gamma_linear", -1, -1, 1e6, false, "gamma of linear layers, likewise"},
    [ZERO_BIAS] = {"zero_bias", 0, 0, 1, true, "1: biases are left out of denominators"},
    [IDENTITY_NORM] = {"identity_norm", 0, 0, 1, true, "1: layer norms pass relevance as it is"},
    [UNIFORM_GATE] = {"uniform_gate", 0, 0, 1, true, "1: gates take half of the relevance"},
    [POSITIONS] = {"positions", 0, 0, 1, true,
                   "1: also the relevance of the position embedding, as grid"},
    {0}};
_Static_assert(sizeof params / sizeof *params <= FV_SALIENCY_MAX_PARAMS + 1, "parameters");

static const fv_stab_kind stabilisers[] = {FV_STAB_ADD, FV_STAB_CLIP, FV_STAB_NORM};

static fv_composite_options options_of(const fv_saliency_choice *choice,
                                       const fv_composite *composite) {
    const double *p = choice->param;
    fv_composite_options o = fv_composite_defaults(composite);

    if (p[EPSILON] >= 0.0) o.epsilon = (float)p[EPSILON];
    if (p[STABILISER] >= 0.0) o.stabiliser = stabilisers[(int)p[STABILISER]];
    if (p[GAMMA_CONV] >= 0.0) o.gamma_conv = (float)p[GAMMA_CONV];
    if (p[GAMMA_LINEAR] >= 0.0) o.gamma_linear = (float)p[GAMMA_LINEAR];
    if (p[ZERO_BIAS] > 0.0) o.zero_bias = true;
    if (p[IDENTITY_NORM] > 0.0) o.identity_norm = true;
    if (p[UNIFORM_GATE] > 0.0) o.uniform_gate = true;
    return o;
}

static fv_status prepare(fv_explain_run *r) {
    if (r->choice->param[POSITIONS] <= 0.0) return FV_OK;
    return fv_tape_watch(r->tape, "pos_embed", FV_WATCH_RELEVANCE);
}

/* What the position embedding took, per token of the grid. */
static fv_status keep_positions(fv_explain_run *r) {
    const fv_model *m = r->model;
    const fv_var *pos = NULL;

    for (int64_t i = 0; i < fv_tape_count(r->tape) && !pos; i++) {
        const fv_var *v = fv_tape_at(r->tape, i);
        if (v->param && strcmp(v->param->name, "pos_embed") == 0) pos = v;
    }
    if (!pos || !pos->relevance.data)
        return FV_FAIL(FV_ERR_CONFIG, "lrp: positions: the model has no position embedding");
    const int64_t T = m->prefix_tokens + m->grid_h * m->grid_w, C = pos->param->numel / T;
    for (int64_t b = 0; b < r->B; b++) {
        float *grid = fv_explanation_grid(&r->out[b], m->grid_h, m->grid_w);
        if (!grid) return FV_ERR_NOMEM;
        const float *taken = (const float *)pos->relevance.data + b * T * C;
        for (int64_t t = m->prefix_tokens; t < T; t++) {
            double sum = 0.0;
            for (int64_t c = 0; c < C; c++) sum += (double)taken[t * C + c];
            grid[t - m->prefix_tokens] = (float)sum;
        }
    }
    return FV_OK;
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *composite = fv_composite_find(r->choice->variant);
    const int64_t n = 3 * r->H * r->W;

    if (!composite)
        return FV_FAIL(FV_ERR_CONFIG, "lrp: unknown composite '%s'", r->choice->variant);
    const fv_composite_options options = options_of(r->choice, composite);
    float *relevance = fv_arena_alloc(r->arena, (size_t)(r->B * n), sizeof *relevance);
    if (!relevance) return FV_ERR_NOMEM;
    FV_TRY(fv_lrp(r, composite, &options, relevance));
    for (int64_t b = 0; b < r->B; b++)
        memcpy(r->out[b].relevance, relevance + b * n, (size_t)n * sizeof *relevance);
    return r->choice->param[POSITIONS] > 0.0 ? keep_positions(r) : FV_OK;
}

/* The composite's own values where the choice leaves them. */
static void describe(const fv_saliency_choice *choice, fv_arena *arena, fv_value *map) {
    const fv_composite *c = fv_composite_find(choice->variant);

    if (!c) return;
    const fv_composite_options o = options_of(choice, c);
    fv_value_set(
        arena, map, "signal",
        fv_value_string(arena, fv_composite_kind(c) == FV_SIGNAL_GI ? "gradient" : "relevance"));
    fv_value_set(arena, map, "epsilon", fv_value_real(arena, (double)o.epsilon));
    fv_value_set(arena, map, "gamma_conv", fv_value_real(arena, (double)o.gamma_conv));
    fv_value_set(arena, map, "gamma_linear", fv_value_real(arena, (double)o.gamma_linear));
    fv_value_set(arena, map, "constant_attention", fv_value_bool(arena, o.constant_attention));
}

const fv_saliency_method fv_saliency_lrp = {
    .name = "lrp",
    .summary = "layer-wise relevance propagation; variants are composites of rules",
    .source = "Bach et al. 2015; Achtibat et al. 2024, AttnLRP",
    .variants = fv_composite_names,
    .params = params,
    .kind = FV_SALIENCY_PIXELS,
    .has_sign = true,
    .prepare = prepare,
    .run = run,
    .describe = describe};
