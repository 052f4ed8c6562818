#include "tests/golden_runner/case_saliency_attention.h"

#include "eval/analysis/head_importance.h"
#include "eval/analysis/head_profile.h"
#include "eval/saliency/attention_flow.h"
#include "eval/saliency/composite.h"
#include "tests/golden_runner/vit_net.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IMAGES 8
#define TIGHT      1e-5
#define CHEFER     2e-4 /* of chefer_lrp.*: small denominators */

/* ---- maps ---- */

/* The native grids of all images against a stored tensor. */
static void check_grid(attention_case *c, const char *name, const char *method, double tolerance) {
    fv_explanation e[MAX_IMAGES];
    fv_saliency_choice choice;
    const fv_explain_request request = {
        .choice = &choice, .target = c->target, .against = FV_AGAINST_NOTHING};
    fv_status status = fv_saliency_parse(method, &c->g->arena, &choice);

    if (status == FV_OK) status = fv_explain(c->tape, c->model, c->pixels, c->N, &request, e);
    if (status != FV_OK) {
        golden_fail(c->g, name, "%s: %s", method, fv_error_message());
        return;
    }
    const int64_t n = e[0].grid_h * e[0].grid_w;
    float *all = fv_arena_alloc(&c->g->arena, (size_t)(c->N * n), sizeof *all);
    for (int64_t i = 0; i < c->N; i++) {
        if (all) memcpy(all + i * n, e[i].grid, (size_t)n * sizeof *all);
        fv_explanation_destroy(&e[i]);
    }
    if (all) golden_compare(c->g, name, all, c->N * n, 0, tolerance);
}

/* ---- matrices ---- */

typedef struct flow_case {
    attention_case *c;
    fv_attention_flow flow;
    float *R;         /* [N,T,T] */
    fv_edit_fn *edit; /* of taps, its user is the golden file; NULL: none */
} flow_case;

static fv_status relevance(attention_case *c, fv_var *logits, const float *start) {
    const fv_composite *composite = fv_composite_find("transformer_attribution");
    fv_composite rules;

    if (!composite) return FV_FAIL(FV_ERR_CONFIG, "no such composite");
    rules = *composite;
    return fv_tape_relevance(c->tape, logits, start, FV_SIGNAL_R, fv_composite_pick, &rules, NULL);
}

/* Records all images, and the gradient of their targets' logits and the relevance behind them. */
static fv_status open_flow(flow_case *f) {
    attention_case *c = f->c;
    const fv_model_input *in = &c->model->input;
    const int64_t K = c->model->num_classes;
    const fv_tensor images = {(void *)(uintptr_t)c->pixels, FV_F32,
                              fv_shape_of(4, c->N, in->height, in->width, (int64_t)3)};
    float *dy = fv_arena_calloc(&c->g->arena, (size_t)(c->N * K), sizeof *dy);
    fv_attention_record record;

    if (!dy) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < c->N; i++) dy[i * K + c->target[i]] = 1.0f;
    fv_tape_clear_watches(c->tape);
    FV_TRY(fv_attention_watch(c->tape, FV_WATCH_VALUE | FV_WATCH_GRAD | FV_WATCH_RELEVANCE));
    FV_TRY(fv_tape_watch(c->tape, "tokens", FV_WATCH_RELEVANCE));
    if (f->edit) {
        FV_TRY(fv_tape_watch(c->tape, "*", FV_WATCH_EDIT));
        fv_tape_set_edit(c->tape, f->edit, c->g);
    }
    fv_tape_begin(c->tape, &(fv_step){.mode = FV_EXPLAIN, .samples = c->N, .chunk_samples = 1});
    fv_var *logits = fv_keep(fv_model_forward(c->model, fv_input(c->tape, &images, true)));
    FV_TRY(fv_tape_status(c->tape));
    FV_TRY(relevance(c, logits, dy));
    FV_TRY(fv_tape_backward(c->tape, logits, dy));
    FV_TRY(fv_attention_record_read(c->tape, &c->g->arena, &record));
    FV_TRY(fv_attention_flow_of(&record, &c->g->arena, &f->flow));
    f->R = fv_arena_alloc(&c->g->arena, (size_t)(c->N * f->flow.T * f->flow.T), sizeof *f->R);
    return f->R ? FV_OK : FV_ERR_NOMEM;
}

static void check_matrices(attention_case *c) {
    static const char *const fuses[] = {"mean", "max", "min"};
    static const char *const discards[] = {"0", "0.5", "0.9"};
    flow_case f = {.c = c};
    golden *g = c->g;

    if (open_flow(&f) != FV_OK) {
        golden_fail(g, "rollout", "%s", fv_error_message());
        return;
    }
    const int64_t n = f.flow.T * f.flow.T;
    for (int i = 0; i < 3; i++)
        for (int d = 0; d < 3; d++) {
            fv_status status = FV_OK;
            for (int64_t b = 0; b < c->N && status == FV_OK; b++)
                status = fv_attention_rollout(&f.flow, b, (fv_attention_fuse)i,
                                              strtod(discards[d], NULL), f.R + b * n);
            const char *name = golden_text(g, "rollout.%s.discard%s.R", fuses[i], discards[d]);
            if (status == FV_OK)
                golden_compare(g, name, f.R, c->N * n, 0, TIGHT);
            else
                golden_fail(g, name, "%s", fv_error_message());
            check_grid(c, golden_text(g, "rollout.%s.discard%s.map", fuses[i], discards[d]),
                       golden_text(g, "rollout:%s:discard=%s", fuses[i], discards[d]), TIGHT);
            /* what follows walks the record again, which check_grid has replaced */
            if (open_flow(&f) != FV_OK) golden_fail(g, name, "%s", fv_error_message());
        }
    for (int64_t b = 0; b < c->N; b++) fv_attention_gradient_rollout(&f.flow, b, f.R + b * n);
    golden_compare(g, "chefer_generic.R", f.R, c->N * n, 0, TIGHT);
}

/* Puts the stored values of the residual stream in place of the computed ones. */
static void put_stored(fv_var *x, const char *name, void *user) {
    static const char *const nodes[] = {"tokens.0", "blocks.0.mid", "tokens.1", "blocks.1.mid",
                                        "tokens.2"};
    golden *g = user;

    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        fv_shape shape;
        if (strcmp(vit_net_tap(g, nodes[i]), name) != 0) continue;
        const float *stored = golden_f32(g, golden_text(g, "act.%s", nodes[i]), &shape);
        if (stored && fv_shape_equal(&shape, &x->shape))
            memcpy(x->data, stored, (size_t)fv_shape_numel(&shape) * sizeof *stored);
    }
}

/* Sums of the stream lie close to 0 and divide relevance: an activation that is off by 1e-6 (act.* check
 * that) moves R of the tokens by 3e-4.  So the relevance of nodes is that of the stored activations; R
 * and the map, which hardly depend on it, are those of the whole method. */
static void check_relevance(attention_case *c) {
    flow_case f = {.c = c};
    golden *g = c->g;

    f.edit = put_stored;
    if (open_flow(&f) != FV_OK) {
        golden_fail(g, "chefer_lrp", "%s", fv_error_message());
        return;
    }
    const int64_t n = f.flow.T * f.flow.T;
    for (int64_t l = 0; l < f.flow.count; l++) {
        const fv_tensor *r = &f.flow.layer[l]->weights->relevance;
        golden_compare(g, golden_text(g, "chefer_lrp.blocks.%d.R_A", (int)l), r->data,
                       fv_shape_numel(&r->shape), 0, CHEFER);
    }
    const fv_var *tokens = fv_tape_find(c->tape, "tokens");
    if (tokens && tokens->relevance.data)
        golden_compare(g, "chefer_lrp.R_tokens.0", tokens->relevance.data,
                       fv_shape_numel(&tokens->shape), 0, CHEFER);
    f.edit = NULL;
    if (open_flow(&f) != FV_OK) {
        golden_fail(g, "chefer_lrp.R", "%s", fv_error_message());
        return;
    }
    for (int64_t b = 0; b < c->N; b++) fv_attention_relevance_rollout(&f.flow, b, f.R + b * n);
    golden_compare(g, "chefer_lrp.R", f.R, c->N * n, 0, CHEFER);
    check_grid(c, "chefer_lrp.map", "attention_lrp", CHEFER);
}

/* ---- heads ---- */

static void check_importance(attention_case *c) {
    static const char *const names[FV_IMPORTANCE_COUNT] = {
        "dprob", "dloss", "kl", "js", "cls_cosdist", "grad_importance"};
    const fv_model_input *in = &c->model->input;
    fv_arena arena = {0};
    fv_head_probe probe = {.tape = c->tape, .model = c->model, .max_images = 3, .arena = &arena};
    fv_head_importance out[64];
    float numbers[FV_IMPORTANCE_COUNT][MAX_IMAGES * 64];
    fv_status status = FV_OK;
    int64_t heads = 0;

    for (int64_t b = 0; b < c->N && status == FV_OK; b++) {
        bool right;
        status = fv_head_probe_record(&probe, c->pixels + b * in->height * in->width * 3, NULL);
        heads = fv_attention_record_heads(&probe.record);
        if (status != FV_OK || heads > 64) break;
        status = fv_head_importance_of(&probe, c->target[b], out, &right);
        if (!right) golden_fail(c->g, "head", "the target is not the answer");
        for (int64_t h = 0; h < heads; h++)
            for (int i = 0; i < FV_IMPORTANCE_COUNT; i++)
                numbers[i][b * heads + h] = (float)out[h].number[i];
    }
    for (int i = 0; i < FV_IMPORTANCE_COUNT; i++) {
        const char *name = golden_text(c->g, "head.%s", names[i]);
        if (status == FV_OK)
            golden_compare(c->g, name, numbers[i], c->N * heads, 0, TIGHT);
        else
            golden_fail(c->g, name, "%s", fv_error_message());
    }
    fv_arena_destroy(&arena);
}

static void check_layer_profile(attention_case *c, const fv_attention_matrix *a, int layer) {
    static const struct {
        const char *name;
        fv_head_profile_number number;
    } numbers[] = {{"to_cls", FV_HEAD_to_cls},
                   {"self", FV_HEAD_self},
                   {"entropy", FV_HEAD_entropy},
                   {"mean_distance", FV_HEAD_distance}};
    golden *g = c->g;
    fv_head_profile p;
    float values[4][256], sums[1024], means[1024];

    if (fv_head_profile_init(&p, a, &g->arena) != FV_OK || c->N * a->heads > 256 ||
        c->N * a->heads * p.n_rings > 1024) {
        golden_fail(g, "profile", "%s", fv_error_message());
        return;
    }
    for (int64_t i = 0; i < c->N * a->heads; i++) {
        fv_head_profile_of(a, i / a->heads, i % a->heads, &p);
        for (int k = 0; k < 4; k++) values[k][i] = (float)p.number[numbers[k].number];
        for (int64_t k = 0; k < p.n_rings; k++) {
            sums[i * p.n_rings + k] = (float)p.ring_sum[k];
            means[i * p.n_rings + k] = (float)p.ring_mean[k];
        }
    }
    for (int k = 0; k < 4; k++)
        golden_compare(g, golden_text(g, "profile.%s.%d", numbers[k].name, layer), values[k],
                       c->N * a->heads, 0, TIGHT);
    golden_compare(g, golden_text(g, "profile.ring_sum.%d", layer), sums,
                   c->N * a->heads * p.n_rings, 0, TIGHT);
    golden_compare(g, golden_text(g, "profile.ring_mean.%d", layer), means,
                   c->N * a->heads * p.n_rings, 0, TIGHT);
}

static void check_profiles(attention_case *c) {
    flow_case f = {.c = c};

    if (open_flow(&f) != FV_OK) {
        golden_fail(c->g, "profile", "%s", fv_error_message());
        return;
    }
    for (int64_t l = 0; l < f.flow.count; l++) check_layer_profile(c, f.flow.layer[l], (int)l);
}

void attention_vit_cases(attention_case *c) {
    check_matrices(c);
    check_grid(c, "chefer_generic.map", "gradient_rollout", TIGHT);
    check_grid(c, "attn_gradcam.map", "attention_gradcam", TIGHT);
    check_relevance(c);
    check_importance(c);
    check_profiles(c);
}

void attention_vit_gap_cases(attention_case *c) {
    check_grid(c, "rollout.mean.map_column_mean", "rollout:mean", TIGHT);
}

void attention_family_cases(attention_case *c) {
    check_grid(c, "rollout.mean", "rollout:mean", TIGHT);
}
