#include "layers/bottleneck.h"

#include "core/alloc.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 64, H = 4, C = 8, N = B * H * H * C };

static layer_run run;
static fv_bottleneck block;

static void enter(void) { layer_run_open(&run); }
static void leave(void) {
    fv_alloc_fail_at(0);
    layer_run_close(&run);
}

TestSuite(layers_bottleneck, .init = enter, .fini = leave);

static fv_status init(const fv_bottleneck_config *cfg) {
    return fv_bottleneck_init(&block, layer_run_scope(&run, "b"), cfg);
}

static fv_var *record(const fv_step *step, int64_t side) {
    fv_var *x = layer_run_begin(&run, step, fv_shape_of(4, (int64_t)B, side, side, (int64_t)C));
    return fv_keep(fv_bottleneck_forward(&block, x));
}

static fv_var *forward(const fv_step *step) {
    fv_var *y = record(step, H);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static const fv_bottleneck_config same = {.in = C, .mid = 8, .out = C, .act = FV_RELU};

static void check_names(const fv_bottleneck_config *cfg, const char *const names[]) {
    int n = 0;

    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(init(cfg), FV_OK, "%s", fv_error_message());
    for (int64_t i = 0; i < run.params.count; i++) {
        const fv_param *p = run.params.item[i];
        if (!strstr(p->name, ".weight")) continue;
        cr_assert_not_null(names[n], "%s", p->name);
        cr_assert_str_eq(p->name, names[n++]);
    }
    cr_assert_null(names[n]);
}

Test(layers_bottleneck, declares_in_the_order_of_published_weights) {
    fv_bottleneck_config cfg = {.in = C, .mid = 8, .out = 16, .stride = 2};

    check_names(&cfg,
                (const char *const[]){"b.shortcut.conv.weight", "b.shortcut.bn.weight",
                                      "b.conv1_1x1.conv.weight", "b.conv1_1x1.bn.weight",
                                      "b.conv2_kxk.conv.weight", "b.conv2_kxk.bn.weight",
                                      "b.conv3_1x1.conv.weight", "b.conv3_1x1.bn.weight", NULL});
    cfg.halo = (fv_halo_config){.heads = 2, .block = 2, .halo = 1};
    check_names(&cfg, (const char *const[]){"b.shortcut.conv.weight", "b.shortcut.bn.weight",
                                            "b.conv1_1x1.conv.weight", "b.conv1_1x1.bn.weight",
                                            "b.self_attn.q.weight", "b.self_attn.kv.weight",
                                            "b.post_attn.weight", "b.conv3_1x1.conv.weight",
                                            "b.conv3_1x1.bn.weight", NULL});
    cfg =
        (fv_bottleneck_config){.in = C, .mid = 8, .out = 16, .stride = 2, .names = FV_NAMES_RESNET};
    check_names(&cfg,
                (const char *const[]){"b.conv1.weight", "b.bn1.weight", "b.conv2.weight",
                                      "b.bn2.weight", "b.conv3.weight", "b.bn3.weight",
                                      "b.downsample.0.weight", "b.downsample.1.weight", NULL});
    cfg.avg_shortcut = true;
    check_names(&cfg,
                (const char *const[]){"b.conv1.weight", "b.bn1.weight", "b.conv2.weight",
                                      "b.bn2.weight", "b.conv3.weight", "b.bn3.weight",
                                      "b.downsample.1.weight", "b.downsample.2.weight", NULL});
    cfg = same;
    cfg.names = FV_NAMES_RESNET;
    check_names(&cfg,
                (const char *const[]){"b.conv1.weight", "b.bn1.weight", "b.conv2.weight",
                                      "b.bn2.weight", "b.conv3.weight", "b.bn3.weight", NULL});
}

/* A fresh block is its shortcut: the branch ends in a norm of weight 0. */
Test(layers_bottleneck, starts_closed) {
    cr_assert_eq(init(&same), FV_OK);
    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){.grad = true}), FV_OK);
    fv_params_init(&run.params, 1);
    const float *y = forward(&(fv_step){.mode = FV_TRAIN})->data;
    const float *x = fv_tape_at(run.tape, 0)->data;
    for (int i = 0; i < N; i++) cr_assert_eq(y[i], x[i] > 0.0f ? x[i] : 0.0f);
}

Test(layers_bottleneck, adds_the_branch_before_its_last_activation) {
    fv_bottleneck_config cfg = same;

    cfg.act = FV_SILU;
    cr_assert_eq(init(&cfg), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        const fv_var *y = forward(&(fv_step){.mode = (fv_mode)mode});
        const float *x = fv_tape_at(run.tape, 0)->data;
        const float *branch = fv_tape_find(run.tape, "b.conv3_1x1")->data;
        cr_assert_eq(fv_tape_find(run.tape, "b"), y);
        cr_assert_not_null(fv_tape_find(run.tape, "b.conv2_kxk"));
        for (int i = 0; i < N; i++) {
            const double z = (double)x[i] + (double)branch[i];
            cr_assert_float_eq((double)((float *)y->data)[i], z / (1.0 + exp(-z)), 1e-5);
        }
    }
    cr_assert_str_eq(fv_tape_scope(run.tape, ""), "", "the caller's scope is back");
}

Test(layers_bottleneck, stochastic_depth_drops_branches_of_samples) {
    fv_bottleneck_config cfg = same;
    int kept = 0;

    cfg.drop_path = 0.5f;
    cr_assert_eq(init(&cfg), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "b.conv3_1x1", FV_WATCH_VALUE), FV_OK);
    const float *y = forward(&(fv_step){.mode = FV_TRAIN, .seed = 3})->data;
    const float *x = fv_tape_at(run.tape, 0)->data;
    const float *branch = fv_tape_find(run.tape, "b.conv3_1x1")->data;
    for (int b = 0; b < B; b++) {
        bool whole = true, none = true;
        for (int i = b * N / B; i < (b + 1) * N / B; i++) {
            whole = whole && fabsf(y[i] - fmaxf(0.0f, x[i] + 2.0f * branch[i])) < 1e-5f;
            none = none && y[i] == fmaxf(0.0f, x[i]);
        }
        cr_assert_neq(whole, none);
        kept += whole;
    }
    cr_assert(kept > 16 && kept < 48, "%d of 64", kept);
}

static void check_stride(const fv_bottleneck_config *cfg) {
    char text[FV_SHAPE_TEXT];

    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(init(cfg), FV_OK);
    layer_run_ready(&run);
    fv_var *y = forward(&(fv_step){.mode = FV_TRAIN, .bf16 = true});
    cr_assert_str_eq(fv_shape_text(&y->shape, text), "64x2x2x24");
    cr_assert_eq(y->dtype, FV_BF16);
}

Test(layers_bottleneck, strides_both_ways) {
    fv_bottleneck_config cfg = {.in = C, .mid = 16, .out = 24, .stride = 2, .act = FV_SILU};

    check_stride(&cfg);
    cfg.avg_shortcut = true;
    cfg.groups = 4;
    check_stride(&cfg);
    record(&(fv_step){.mode = FV_TRAIN}, 5);
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_assert(strstr(fv_error_message(), "b: a map of 5x5 has no means of 2x2"), "%s",
              fv_error_message());
}

Test(layers_bottleneck, refuses_what_does_not_divide) {
    fv_bottleneck_config cfg = same;

    cfg.groups = 3;
    cr_assert_eq(init(&cfg), FV_ERR_CONFIG);
    layer_run_close(&run);
    layer_run_open(&run);
    cfg.groups = 0;
    cfg.halo = (fv_halo_config){.heads = 3, .block = 2, .halo = 1};
    cr_assert_eq(init(&cfg), FV_ERR_CONFIG);
}

Test(layers_bottleneck, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    for (; status != FV_OK && n < 1000; n++) {
        layer_run_close(&run);
        layer_run_open(&run);
        fv_alloc_fail_at(n);
        status = init(&same);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
    }
    cr_assert_gt(n, 2);
}
