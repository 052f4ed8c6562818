/* Attention as matrices over positions: against what is known of their rows, and of one mixer against
 * another that computes the same. */
#include "core/alloc.h"
#include "eval/saliency/attention_record.h"
#include "tests/support/generator.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(eval_attention_record, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "attention", text); }

#define TOKEN "{patch_size: 4, embed_dim: 16, num_heads: 2}"
#define POOL  "{patch_size: 4, embed_dim: 16, num_heads: 2, class_token: false, global_pool: avg}"

/* A ViT with a grid of 4 x 4 positions, or a model by its own name. */
static void create(const char *name, const char *kwargs, const char *attention) {
    fv_model_config config = {.name = name, .num_classes = 4};
    if (kwargs) config.kwargs = yaml(kwargs);
    if (kwargs) config.img_size = 16;
    if (attention) config.attention = yaml(attention);
    model_run_create(&run, &config);
    fv_generate_params(&run.model->params, "");
}

static fv_attention_record record(int64_t n) {
    fv_attention_record out;

    fv_tape_clear_watches(run.tape);
    cr_assert_eq(fv_attention_watch(run.tape, FV_WATCH_VALUE), FV_OK);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN, .chunk_samples = 1}, n);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_attention_record_read(run.tape, &run.arena, &out), FV_OK, "%s",
                 fv_error_message());
    return out;
}

static float *dense(const fv_attention_matrix *a, int64_t sample, int64_t head) {
    float *out = fv_arena_alloc(&run.arena, (size_t)(a->n_queries * a->n_keys) + 1, sizeof *out);
    cr_assert_not_null(out);
    fv_attention_dense(a, sample, head, FV_ATTENTION_WEIGHT, out);
    return out;
}

/* Sums of rows of all heads: smallest and largest. */
static void row_sums(const fv_attention_matrix *a, double *least, double *most) {
    *least = HUGE_VAL;
    *most = -HUGE_VAL;
    for (int64_t i = 0; i < a->B * a->heads; i++) {
        const float *m = dense(a, i / a->heads, i % a->heads);
        for (int64_t q = 0; q < a->n_queries; q++) {
            double sum = 0.0;
            for (int64_t k = 0; k < a->n_keys; k++) sum += (double)m[q * a->n_keys + k];
            *least = fmin(*least, sum);
            *most = fmax(*most, sum);
        }
    }
}

static void expect_rows_of_one(const char *name, const char *kwargs, const char *attention,
                               fv_attention_kind kind) {
    double least, most;

    create(name, kwargs, attention);
    const fv_attention_record r = record(2);
    cr_assert_gt(r.count, 0);
    for (int64_t l = 0; l < r.count; l++) {
        cr_expect_eq(r.item[l].layout.kind, kind);
        row_sums(&r.item[l], &least, &most);
        cr_expect_float_eq(least, 1.0, 1e-5, "%s %s", name, r.item[l].path);
        cr_expect_float_eq(most, 1.0, 1e-5, "%s %s", name, r.item[l].path);
    }
}

Test(eval_attention_record, rows_of_whole_keys_add_up_to_one) {
    static const char *const kwargs[] = {TOKEN, POOL};

    for (int i = 0; i < 2; i++) {
        expect_rows_of_one("mini_vit", kwargs[i], NULL, FV_ATTENTION_GLOBAL);
        expect_rows_of_one("mini_vit", kwargs[i], "{kind: window, window: {size: 2}}",
                           FV_ATTENTION_WINDOW);
        expect_rows_of_one("mini_vit", kwargs[i], "{kind: bra, bra: {regions: 2, topk: 2}}",
                           FV_ATTENTION_ROUTED);
        expect_rows_of_one("mini_vit", kwargs[i], "{kind: halo, halo: {block: 2, halo: 0}}",
                           FV_ATTENTION_HALO);
    }
}

/* Keys on padding take their share: rows next to it add up to less, none to more. */
Test(eval_attention_record, rows_next_to_padding_add_up_to_less) {
    static const char *const padded[] = {
        "{kind: window, window: {size: 3}}", "{kind: bra, bra: {regions: 3, topk: 9}}",
        "{kind: halo, halo: {block: 3, halo: 1}}", "{kind: halo, halo: {block: 2, halo: 1}}"};
    double least, most;

    for (size_t i = 0; i < sizeof padded / sizeof *padded; i++)
        for (int pool = 0; pool < 2; pool++) {
            create("mini_vit", pool ? POOL : TOKEN, padded[i]);
            const fv_attention_record r = record(2);
            row_sums(&r.item[0], &least, &most);
            cr_expect_lt(least, 0.95, "%s: %g", padded[i], least);
            cr_expect_gt(least, 0.0, "%s", padded[i]);
            cr_expect_leq(most, 1.0 + 1e-5, "%s", padded[i]);
        }
}

/* ---- mixers that agree ---- */

static const float *values(const char *name) {
    const fv_param *p = fv_params_find(&run.model->params, name);
    cr_assert_not_null(p, "%s", name);
    return p->value;
}

static float *room(const char *name) { return (float *)(uintptr_t)values(name); }

/* The first layer's matrices of heads 0 and 1 of one image, [2,T,T]. */
static float *first_layer(int64_t *T) {
    const fv_attention_record r = record(1);
    const fv_attention_matrix *a = &r.item[0];
    float *out = fv_arena_alloc(&run.arena, (size_t)(2 * a->n_keys * a->n_keys), sizeof *out);

    cr_assert_not_null(out);
    cr_assert(fv_attention_is_square(a));
    cr_assert_eq(a->heads, 2);
    *T = a->n_keys;
    for (int64_t h = 0; h < 2; h++)
        fv_attention_dense(a, 0, h, FV_ATTENTION_WEIGHT, out + h * *T * *T);
    return out;
}

static void expect_equal(const float *a, const float *b, int64_t n, const char *what) {
    double worst = 0.0, spread = 0.0;

    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        spread = fmax(spread, fabs((double)a[i] - (double)a[0]));
    }
    cr_expect_leq(worst, 1e-6, "%s: %g", what, worst);
    cr_expect_gt(spread, 1e-3, "%s: all weights are alike", what);
}

Test(eval_attention_record, routing_to_all_regions_is_global) {
    static const char *const kwargs[] = {TOKEN, POOL};
    int64_t T, same;

    for (int i = 0; i < 2; i++) {
        create("mini_vit", kwargs[i], "{kind: mhsa, scale: 2.0}");
        const float *global = first_layer(&T);
        create("mini_vit", kwargs[i],
               "{kind: bra, scale: 2.0, bra: {regions: 2, topk: 4, lepe: 0}}");
        const float *routed = first_layer(&same);
        cr_assert_eq(T, same);
        expect_equal(global, routed, 2 * T * T, kwargs[i]);
    }
}

/* Packed projections of the first block taken apart as halo attention has them: keys before values in each
 * head. */
static void copy_projections(const float *weight, const float *bias) {
    enum { C = 16, D = 8 };
    float *q = room("blocks.0.attn.q.weight"), *q_bias = room("blocks.0.attn.q.bias");
    float *kv = room("blocks.0.attn.kv.weight"), *kv_bias = room("blocks.0.attn.kv.bias");

    memcpy(q, weight, sizeof(float) * C * C);
    memcpy(q_bias, bias, sizeof(float) * C);
    for (int part = 0; part < 2; part++)
        for (int head = 0; head < 2; head++)
            for (int d = 0; d < D; d++) {
                const int to = head * 2 * D + part * D + d, from = (part + 1) * C + head * D + d;
                memcpy(kv + to * C, weight + from * C, sizeof(float) * C);
                kv_bias[to] = bias[from];
            }
    for (int table = 0; table < 2; table++) {
        fv_param *p =
            fv_params_find(&run.model->params, table ? "blocks.0.attn.pos_embed.width_rel"
                                                     : "blocks.0.attn.pos_embed.height_rel");
        cr_assert_not_null(p);
        memset(p->value, 0, (size_t)p->numel * sizeof *p->value);
    }
}

Test(eval_attention_record, halo_of_zero_is_windows) {
    static const char *const kwargs[] = {TOKEN, POOL};
    float weight[48 * 16], bias[48];
    int64_t T, same;

    for (int i = 0; i < 2; i++) {
        create("mini_vit", kwargs[i], "{kind: window, window: {size: 2}}");
        memcpy(weight, values("blocks.0.attn.qkv.weight"), sizeof weight);
        memcpy(bias, values("blocks.0.attn.qkv.bias"), sizeof bias);
        const float *window = first_layer(&T);
        create("mini_vit", kwargs[i], "{kind: halo, halo: {block: 2, halo: 0}}");
        copy_projections(weight, bias);
        const float *halo = first_layer(&same);
        cr_assert_eq(T, same);
        expect_equal(window, halo, 2 * T * T, kwargs[i]);
    }
}

/* ---- every network ---- */

/* One row per query and head, its keys all different. */
static void expect_whole(const fv_attention_matrix *a) {
    bool *seen = fv_arena_calloc(&run.arena, (size_t)(a->n_queries + a->n_keys) + 1, sizeof *seen);

    cr_assert_not_null(seen);
    for (int64_t row = 0; row < a->n_rows; row++) {
        const fv_attention_row r = fv_attention_row_at(a, a->B - 1, a->heads - 1, row);
        cr_assert_lt(r.query, a->n_queries);
        if (r.query < 0) continue;
        cr_expect_not(seen[r.query], "%s: two rows of query %d", a->path, (int)r.query);
        seen[r.query] = true;
        bool *keys = seen + a->n_queries;
        memset(keys, 0, (size_t)a->n_keys * sizeof *keys);
        double sum = 0.0;
        for (int64_t j = 0; j < r.n; j++) {
            sum += (double)r.weight[j];
            cr_assert_lt(r.key[j], a->n_keys);
            if (r.key[j] < 0) continue;
            cr_expect_not(keys[r.key[j]], "%s: key %d twice", a->path, (int)r.key[j]);
            keys[r.key[j]] = true;
        }
        cr_expect_float_eq(sum, 1.0, 1e-5);
    }
    for (int64_t q = 0; q < a->n_queries; q++)
        cr_expect(seen[q], "%s: no row of query %d", a->path, (int)q);
}

Test(eval_attention_record, every_network_is_read_whole) {
    static const char *const names[] = {
        "mini_vit",          "mini_deit_distilled", "mini_davit",
        "mini_davit_even",   "mini_biformer",       "mini_biformer_pad",
        "mini_biformer_stl", "mini_halonet_h1",     "mini_halonet_ts"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        create(names[i], NULL, NULL);
        const fv_attention_record r = record(2);
        cr_expect_gt(r.count, 1, "%s", names[i]);
        for (int64_t l = 0; l < r.count; l++)
            if (r.item[l].layout.kind != FV_ATTENTION_CHANNEL) expect_whole(&r.item[l]);
    }
}

Test(eval_attention_record, weights_must_be_watched) {
    fv_attention_record out;

    create("mini_vit", TOKEN, NULL);
    fv_tape_clear_watches(run.tape);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN, .chunk_samples = 1}, 1);
    cr_expect_eq(fv_attention_record_read(run.tape, &run.arena, &out), FV_ERR_INTERNAL);
}
