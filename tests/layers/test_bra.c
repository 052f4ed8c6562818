/* Bi-level routing attention as a layer: what it is equal to, what padding means, what it refuses. */
#include "layers/bra.h"
#include "tests/support/approx.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 2, C = 8 };

static layer_run run;
static fv_bra layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_bra, .init = enter, .fini = leave);

static void init(fv_bra_config cfg) {
    cfg.dim = C;
    cfg.heads = 2;
    cr_assert_eq(fv_bra_init(&layer, layer_run_scope(&run, "attn"), &cfg), FV_OK, "%s",
                 fv_error_message());
    layer_run_ready(&run);
}

static fv_var *begin(fv_mode mode, int64_t H, int64_t W) {
    return layer_run_begin(&run, &(fv_step){.mode = mode},
                           fv_shape_of(4, (int64_t)B, H, W, (int64_t)C));
}

static fv_var *forward(fv_var *x) {
    fv_var *y = fv_keep(fv_bra_forward(&layer, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static void expect_close(int64_t n, const float *got, const float *want, double tolerance) {
    double *v = fv_arena_alloc(&run.arena, (size_t)n, sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = (double)want[i];
    cr_expect_leq(approx_error(n, got, v), tolerance);
}

/* With every region chosen the cut into regions means nothing. */
Test(layers_bra, all_regions_are_global_attention) {
    static float want[B * 6 * 6 * C];

    init((fv_bra_config){.regions = 3, .topk = 9});
    fv_var *x = begin(FV_TRAIN, 6, 6);
    fv_var *qkv = fv_linear_layer_forward(&layer.qkv, fv_map_to_tokens(x));
    fv_var *y = fv_attention(qkv, 2, 1.0f / sqrtf(C)); /* the scale of the whole width */
    y = fv_keep(fv_linear_layer_forward(&layer.wo, y));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    memcpy(want, y->data, sizeof want);
    for (fv_mode mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++)
        expect_close(B * 6 * 6 * C, forward(begin(mode, 6, 6))->data, want, 1e-5);
}

/* One region is global attention too. */
Test(layers_bra, one_region_sees_everything) {
    static float want[B * 4 * 6 * C];

    init((fv_bra_config){.regions = 1, .topk = 1});
    fv_var *x = begin(FV_TRAIN, 4, 6);
    fv_var *qkv = fv_linear_layer_forward(&layer.qkv, fv_map_to_tokens(x));
    fv_var *y = fv_attention(qkv, 2, 1.0f / sqrtf(C));
    y = fv_keep(fv_linear_layer_forward(&layer.wo, y));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    memcpy(want, y->data, sizeof want);
    expect_close(B * 4 * 6 * C, forward(begin(FV_TRAIN, 4, 6))->data, want, 1e-5);
}

/* A map that was padded by hand gives the same, outside of the padding. */
Test(layers_bra, padding_is_zeros_before_the_projection) {
    static float want[B * 5 * 7 * C];

    init((fv_bra_config){.regions = 4, .topk = 3, .lepe = 3, .auto_pad = true});
    fv_var *padded = fv_pad_map(begin(FV_TRAIN, 5, 7), 4, 4);
    cr_assert_eq(fv_dim(padded, 1) * 10 + fv_dim(padded, 2), 88);
    const fv_var *y = fv_keep(fv_crop_map(forward(padded), 5, 7));
    memcpy(want, y->data, sizeof want);
    y = forward(begin(FV_TRAIN, 5, 7));
    cr_expect(approx_same(B * 5 * 7 * C, y->data, want));
}

/* 17 pixels in 8 regions a side leave regions that are padding alone: the map is 24 wide. */
Test(layers_bra, regions_of_padding_alone_are_legal) {
    init((fv_bra_config){.regions = 8, .topk = 5, .lepe = 5, .auto_pad = true});
    for (fv_mode mode = FV_TRAIN; mode <= FV_EXPLAIN; mode += FV_EXPLAIN - FV_TRAIN) {
        static float dy[B * 17 * 17 * C];
        fv_var *x = begin(mode, 17, 17), *y = forward(x);
        for (int i = 0; i < B * 17 * 17 * C; i++) dy[i] = cosf((float)i);
        cr_assert_eq(fv_tape_backward(run.tape, y, dy), FV_OK, "%s", fv_error_message());
        for (int i = 0; i < B * 17 * 17 * C; i++)
            cr_assert(isfinite(((const float *)y->data)[i]) &&
                      isfinite(((const float *)x->grad.data)[i]));
    }
}

Test(layers_bra, the_choice_is_named) {
    init((fv_bra_config){.regions = 2, .topk = 3});
    cr_assert_eq(fv_tape_watch(run.tape, "attn.routing", FV_WATCH_VALUE), FV_OK);
    forward(begin(FV_TRAIN, 4, 6));
    const fv_var *chosen = fv_tape_find(run.tape, "attn.routing");
    cr_assert_not_null(chosen);
    cr_expect(fv_shape_equal(&chosen->shape, &(fv_shape){3, {B, 4, 3}}));
}

Test(layers_bra, maps_that_do_not_divide_are_refused) {
    init((fv_bra_config){.regions = 3, .topk = 1});
    const fv_var *y = fv_bra_forward(&layer, begin(FV_TRAIN, 6, 7));
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_expect_str_eq(fv_error_message(), "attn: a map of 6x7 px does not divide into 3x3 regions");
    cr_expect_eq(fv_dim(y, 2), 1);
}

static void refuse(fv_bra_config cfg, const char *says) {
    cr_assert_eq(fv_bra_init(&layer, layer_run_scope(&run, "attn"), &cfg), FV_ERR_CONFIG);
    cr_expect(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(layers_bra, illegal_settings_are_refused) {
    refuse((fv_bra_config){.dim = 8, .heads = 3, .regions = 2, .topk = 1},
           "attn: 3 heads do not divide the width 8");
    refuse((fv_bra_config){.dim = 8, .heads = 2, .regions = 2, .topk = 5},
           "attn: 5 chosen regions of 2x2");
    refuse((fv_bra_config){.dim = 8, .heads = 2, .regions = 2, .topk = 0}, "0 chosen regions");
    refuse((fv_bra_config){.dim = 8, .heads = 2, .regions = 2, .topk = 1, .lepe = 4},
           "a convolution of 4 px is not odd");
}
