#include "layers/conv_bn.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 3, H = 5, W = 4, I = 4, O = 6, N = B * H * W * O };

static const fv_conv_bn_names names = {"conv1", "bn1", "act1"};

static layer_run run;
static fv_conv_bn unit;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_conv_bn, .init = enter, .fini = leave);

static void make(const fv_conv_bn_config *cfg) {
    cr_assert_eq(fv_conv_bn_init(&unit, layer_run_scope(&run, "layer1.0"), &names, cfg), FV_OK,
                 "%s", fv_error_message());
}

static fv_var *forward(const fv_step *step) {
    fv_var *x =
        layer_run_begin(&run, step, fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)I));
    fv_var *y = fv_keep(fv_conv_bn_forward(&unit, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static const fv_conv_bn_config with_silu = {.in = I, .out = O, .kernel = 3, .act = FV_SILU};
static const fv_conv_bn_config with_relu = {.in = I, .out = O, .kernel = 3, .act = FV_RELU};

/* The activation of the normalised convolution, from its parts. */
static void check_parts(const fv_conv_bn_config *cfg) {
    make(cfg);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    for (int mode = FV_INFER; mode <= FV_EXPLAIN; mode++) {
        const fv_var *y = forward(&(fv_step){.mode = (fv_mode)mode});
        const float *conv = fv_tape_find(run.tape, "layer1.0.conv1")->data;
        const bool fused = cfg->act == FV_RELU && mode != FV_EXPLAIN;
        cr_assert_eq(fv_tape_find(run.tape, "layer1.0.act1"), y);
        cr_assert_str_eq(y->scope, fused ? "layer1.0.bn1" : "layer1.0.act1");
        cr_assert_eq(!fv_tape_find(run.tape, "layer1.0.bn1"), fused);
        for (int64_t i = 0; i < N; i++) {
            const double mean = (double)layer_run_value(&run, "layer1.0.bn1.running_mean", i % O);
            const double var = (double)layer_run_value(&run, "layer1.0.bn1.running_var", i % O);
            const double z = ((double)conv[i] - mean) / sqrt(var + 1e-5) *
                                 (double)layer_run_value(&run, "layer1.0.bn1.weight", i % O) +
                             (double)layer_run_value(&run, "layer1.0.bn1.bias", i % O);
            const double want = cfg->act == FV_RELU ? fmax(z, 0.0) : z / (1.0 + exp(-z));
            cr_assert_float_eq((double)((float *)y->data)[i], want, 1e-5);
        }
    }
}

Test(layers_conv_bn, is_convolution_then_norm_then_silu) { check_parts(&with_silu); }
Test(layers_conv_bn, is_convolution_then_norm_then_relu) { check_parts(&with_relu); }

Test(layers_conv_bn, may_end_without_activation) {
    make(&(fv_conv_bn_config){.in = I, .out = O, .kernel = 1, .linear = true});
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    const fv_var *y = forward(&(fv_step){.mode = FV_TRAIN});
    cr_assert_eq(fv_tape_find(run.tape, "layer1.0.bn1"), y);
    cr_assert_null(unit.conv.bias);
}

Test(layers_conv_bn, starts_with_the_variance_of_its_fan_out) {
    const fv_conv_bn_config cfg = {
        .in = 64, .out = 128, .kernel = 3, .groups = 2, .closed = true, .act = FV_RELU};
    double squares = 0.0;

    make(&cfg);
    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&run.params, 1);
    const fv_param *w = fv_params_find(&run.params, "layer1.0.conv1.weight");
    cr_assert_eq(w->shape.dim[1], 32);
    for (int64_t i = 0; i < w->numel; i++) squares += (double)w->value[i] * (double)w->value[i];
    const double want = 2.0 / (9.0 * 128.0 / 2.0);
    cr_expect_float_eq(squares / (double)w->numel, want, 0.03 * want);
    cr_expect_eq(layer_run_value(&run, "layer1.0.bn1.weight", 5), 0.0f, "closed");
}

static void check_bf16(const fv_conv_bn_config *cfg) {
    float want[N];
    double error = 0.0, size = 0.0;

    make(cfg);
    layer_run_ready(&run);
    memcpy(want, forward(&(fv_step){.mode = FV_TRAIN})->data, sizeof want);
    const fv_var *y = forward(&(fv_step){.mode = FV_TRAIN, .bf16 = true});
    cr_assert_eq(y->dtype, FV_BF16);
    for (int64_t i = 0; i < N; i++) {
        const double got = (double)fv_bf16_to_f32(((fv_bf16 *)y->data)[i]);
        error += (got - (double)want[i]) * (got - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    cr_assert_lt(sqrt(error / size), 4e-3);
}

Test(layers_conv_bn, silu_writes_the_dtype_of_products) { check_bf16(&with_silu); }
Test(layers_conv_bn, relu_writes_the_dtype_of_products) { check_bf16(&with_relu); }
