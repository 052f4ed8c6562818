#include "layers/halo_attention.h"

#include "core/alloc.h"
#include "core/parallel.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 2, H = 4, W = 8, C = 6 };

static layer_run run;
static fv_halo_attention layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) {
    fv_alloc_fail_at(0);
    layer_run_close(&run);
    fv_threads_set(1);
    fv_scratch_release();
}

TestSuite(layers_halo_attention, .init = enter, .fini = leave);

static const fv_halo_config plain = {.dim = C, .heads = 2, .block = 4, .halo = 1};

static fv_status init(const fv_halo_config *cfg) {
    layer_run_close(&run);
    layer_run_open(&run);
    return fv_halo_attention_init(&layer, layer_run_scope(&run, "attn"), cfg);
}

static void ready(const fv_halo_config *cfg) {
    cr_assert_eq(init(cfg), FV_OK, "%s", fv_error_message());
    layer_run_ready(&run);
}

static fv_var *record(const fv_step *step, int64_t h, int64_t w) {
    fv_var *x = layer_run_begin(&run, step, fv_shape_of(4, (int64_t)B, h, w, (int64_t)C));
    return fv_keep(fv_halo_attention_forward(&layer, x));
}

static fv_var *forward(const fv_step *step, int64_t h, int64_t w) {
    fv_var *y = record(step, h, w);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static void expect_params(const char *const names[], const char *const shapes[]) {
    char text[FV_SHAPE_TEXT];
    int64_t n = 0;

    for (; names[n]; n++) {
        cr_assert_lt(n, run.params.count);
        cr_expect_str_eq(run.params.item[n]->name, names[n]);
        cr_expect_str_eq(fv_shape_text(&run.params.item[n]->shape, text), shapes[n], "%s",
                         names[n]);
    }
    cr_expect_eq(n, run.params.count);
}

Test(layers_halo_attention, declares_timms_names_in_order) {
    const fv_halo_config narrow = {
        .dim = C, .dim_out = 16, .heads = 2, .dim_head = 4, .block = 8, .halo = 3, .bias = true};

    cr_assert_eq(init(&plain), FV_OK);
    expect_params((const char *const[]){"attn.q.weight", "attn.kv.weight",
                                        "attn.pos_embed.height_rel", "attn.pos_embed.width_rel",
                                        NULL},
                  (const char *const[]){"6x6x1x1", "12x6x1x1", "11x3", "11x3"});
    cr_assert_eq(init(&narrow), FV_OK);
    expect_params((const char *const[]){"attn.q.weight", "attn.q.bias", "attn.kv.weight",
                                        "attn.kv.bias", "attn.pos_embed.height_rel",
                                        "attn.pos_embed.width_rel", NULL},
                  (const char *const[]){"8x6x1x1", "8", "24x6x1x1", "24", "27x4", "27x4"});
}

/* The weights of q and kv as those of a packed projection. */
static float *packed_weights(void) {
    const int64_t h = layer.cfg.heads, d = C / h;
    float *out = fv_arena_alloc(&run.arena, 3 * C * C, sizeof *out);

    cr_assert_not_null(out);
    for (int64_t o = 0; o < C; o++) {
        const int64_t k = o / d * 2 * d + o % d;
        for (int64_t i = 0; i < C; i++) {
            out[o * C + i] = layer.q.weight->value[o * C + i];
            out[(C + o) * C + i] = layer.kv.weight->value[k * C + i];
            out[(2 * C + o) * C + i] = layer.kv.weight->value[(k + d) * C + i];
        }
    }
    return out;
}

/* Without halo and positions the layer is attention inside of windows. */
Test(layers_halo_attention, without_halo_is_window_attention) {
    const fv_halo_config cfg = {.dim = C, .heads = 2, .block = 2};
    static float want[B * H * W * C];

    ready(&cfg);
    memset(layer.height_rel->value, 0, (size_t)layer.height_rel->numel * sizeof(float));
    memset(layer.width_rel->value, 0, (size_t)layer.width_rel->numel * sizeof(float));
    const fv_tensor w = {packed_weights(), FV_F32, fv_shape_of(2, (int64_t)3 * C, (int64_t)C)};
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C));
    fv_var *qkv = fv_linear(fv_window_partition(x, 2, 2), fv_input(run.tape, &w, false), NULL);
    fv_var *y = fv_attention(qkv, 2, (float)(1.0 / sqrt(3.0))); /* [B,n,4,C] */
    y = fv_keep(fv_window_merge(y, 2, 2, H, W));                /* [B,H,W,C] */
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    memcpy(want, y->data, sizeof want);
    const fv_var *got = forward(&(fv_step){.mode = FV_INFER}, H, W);
    for (int i = 0; i < B * H * W * C; i++)
        cr_assert_float_eq(((const float *)got->data)[i], want[i], 1e-5f);
}

/* An odd block with stride 2 is the layer at stride 1 and a mean of 2x2. */
Test(layers_halo_attention, odd_blocks_are_pooled) {
    fv_halo_config cfg = {.dim = C, .heads = 2, .block = 3, .halo = 1, .stride = 2};
    static float full[B * 6 * 6 * C];

    ready(&cfg);
    cr_expect_eq(layer.q.args.stride, 1);
    cr_expect_eq(layer.pool_stride, 2);
    fv_var *y = forward(&(fv_step){.mode = FV_TRAIN}, 6, 6);
    static float pooled[B * 3 * 3 * C];
    cr_assert_eq(fv_shape_numel(&y->shape), B * 3 * 3 * C);
    memcpy(pooled, y->data, sizeof pooled);
    layer.pool_stride = 1;
    y = forward(&(fv_step){.mode = FV_TRAIN}, 6, 6);
    memcpy(full, y->data, sizeof full);
    for (int i = 0; i < B * 3 * 3 * C; i++) {
        const int c = i % C, x = i / C % 3, r = i / C / 3 % 3, b = i / C / 9;
        float sum = 0.0f;
        for (int k = 0; k < 4; k++)
            sum += full[((b * 6 + 2 * r + k / 2) * 6 + 2 * x + k % 2) * C + c];
        cr_assert_float_eq(pooled[i], sum / 4.0f, 1e-6f);
    }
}

Test(layers_halo_attention, every_mode_computes_the_same) {
    const fv_halo_config cfg = {.dim = C, .heads = 2, .block = 4, .halo = 1, .stride = 2};
    static float train[B * H * W / 4 * C];

    ready(&cfg);
    const fv_var *y = forward(&(fv_step){.mode = FV_TRAIN}, H, W);
    cr_assert_eq(fv_shape_numel(&y->shape), B * H * W / 4 * C);
    memcpy(train, y->data, sizeof train);
    for (int mode = FV_INFER; mode <= FV_EXPLAIN; mode++) {
        y = forward(&(fv_step){.mode = (fv_mode)mode}, H, W);
        for (int i = 0; i < B * H * W / 4 * C; i++)
            cr_assert_float_eq(((const float *)y->data)[i], train[i], 1e-5f);
    }
    y = forward(&(fv_step){.mode = FV_TRAIN, .bf16 = true}, H, W);
    for (int i = 0; i < B * H * W / 4 * C; i++)
        cr_assert_float_eq(((const float *)y->data)[i], train[i], 0.02f);
    cr_expect_str_eq(fv_tape_scope(run.tape, ""), "", "the caller's scope is back");
}

Test(layers_halo_attention, explains_with_its_weights_tapped) {
    char text[FV_SHAPE_TEXT];

    ready(&plain);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    fv_var *y = forward(&(fv_step){.mode = FV_EXPLAIN}, H, W);
    cr_expect_eq(fv_tape_find(run.tape, "attn"), y);
    cr_expect_not_null(fv_tape_find(run.tape, "attn.q"));
    const fv_var *attn = fv_tape_find(run.tape, "attn.weights");
    cr_assert_not_null(attn);
    cr_expect_str_eq(fv_shape_text(&attn->shape, text), "2x2x2x16x36");
    for (int64_t row = 0; row < fv_shape_rows(&attn->shape); row++) {
        float sum = 0.0f;
        for (int i = 0; i < 36; i++) sum += ((const float *)attn->data)[row * 36 + i];
        cr_assert_float_eq(sum, 1.0f, 1e-5f);
    }
}

Test(layers_halo_attention, refuses_maps_that_blocks_do_not_fill) {
    ready(&plain);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        record(&(fv_step){.mode = (fv_mode)mode}, 6, W);
        cr_expect_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
        cr_expect(strstr(fv_error_message(), "6x8 map, block 4, halo 1"), "%s", fv_error_message());
        cr_expect(strstr(fv_error_message(), "attn: "), "%s", fv_error_message());
    }
}

Test(layers_halo_attention, refuses_bad_settings) {
    const struct {
        fv_halo_config cfg;
        const char *says;
    } bad[] = {
        {{.dim = 6, .heads = 4, .block = 2}, "4 heads do not divide the width 6"},
        {{.dim = 6, .heads = 0, .block = 2}, "width 6, 0 heads"},
        {{.dim = 6, .heads = 2, .block = 0}, "block 0"},
        {{.dim = 6, .heads = 2, .block = 2, .halo = -1}, "halo -1"},
        {{.dim = 6, .heads = 2, .block = 2, .stride = 3}, "stride 3 is not 1 or 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(init(&bad[i].cfg), FV_ERR_CONFIG);
        cr_expect(strstr(fv_error_message(), bad[i].says), "%s", fv_error_message());
    }
}

Test(layers_halo_attention, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    for (; status != FV_OK && n < 1000; n++) {
        layer_run_close(&run);
        layer_run_open(&run);
        fv_alloc_fail_at(n);
        status = fv_halo_attention_init(&layer, layer_run_scope(&run, "attn"), &plain);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
    }
    cr_assert_gt(n, 2);
}
