#include "layers/conv.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static layer_run run;
static fv_conv_layer layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_conv, .init = enter, .fini = leave);

static void make(const fv_conv_config *cfg) {
    cr_assert_eq(fv_conv_layer_init(&layer, layer_run_scope(&run, "stem.conv"), cfg), FV_OK, "%s",
                 fv_error_message());
}

/* The definition, at one output. */
static double expect(const fv_conv_config *cfg, const fv_var *x, int64_t b, int64_t oy, int64_t ox,
                     int64_t o) {
    const int64_t H = fv_dim(x, 1), W = fv_dim(x, 2), k = cfg->kernel;
    const int64_t groups = cfg->groups ? cfg->groups : 1, stride = cfg->stride ? cfg->stride : 1;
    const int64_t I = cfg->in / groups, group = o / (cfg->out / groups);
    const int64_t pad = cfg->padding < 0 ? k / 2 : cfg->padding;
    const float *data = x->data;
    double sum = cfg->bias ? (double)layer_run_value(&run, "stem.conv.bias", o) : 0.0;

    for (int64_t i = 0; i < I; i++)
        for (int64_t dy = 0; dy < k; dy++)
            for (int64_t dx = 0; dx < k; dx++) {
                const int64_t py = oy * stride + dy - pad, px = ox * stride + dx - pad;
                if (py < 0 || py >= H || px < 0 || px >= W) continue;
                sum += (double)data[((b * H + py) * W + px) * cfg->in + group * I + i] *
                       (double)layer_run_value(&run, "stem.conv.weight",
                                               ((o * I + i) * k + dy) * k + dx);
            }
    return sum;
}

static void check_values(const fv_conv_config *cfg, int64_t Ho, int64_t Wo) {
    make(cfg);
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(4, (int64_t)2, (int64_t)5, (int64_t)6, cfg->in));
    fv_var *y = fv_keep(fv_conv_layer_forward(&layer, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_dim(y, 1), Ho);
    cr_assert_eq(fv_dim(y, 2), Wo);
    cr_assert_eq(fv_dim(y, 3), cfg->out);
    for (int64_t i = 0; i < fv_shape_numel(&y->shape); i++) {
        const int64_t o = i % cfg->out, pixel = i / cfg->out;
        cr_assert_float_eq((double)((float *)y->data)[i],
                           expect(cfg, x, pixel / (Ho * Wo), pixel / Wo % Ho, pixel % Wo, o), 1e-5);
    }
}

Test(layers_conv, is_the_convolution) {
    check_values(&(fv_conv_config){.in = 4, .out = 6, .kernel = 3, .padding = -1, .bias = true}, 5,
                 6);
}

Test(layers_conv, is_strided_and_not_padded) {
    check_values(&(fv_conv_config){.in = 4, .out = 3, .kernel = 2, .stride = 2}, 2, 3);
    cr_assert_eq(run.params.count, 1);
}

Test(layers_conv, is_grouped_and_depthwise) {
    check_values(&(fv_conv_config){.in = 4, .out = 6, .kernel = 3, .padding = 1, .groups = 2}, 5,
                 6);
}

Test(layers_conv, one_pixel_is_linear) {
    check_values(&(fv_conv_config){.in = 4, .out = 6, .kernel = 1, .padding = -1, .bias = true}, 5,
                 6);
}

static float largest(const char *name, int64_t n) {
    float most = 0.0f;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(layer_run_value(&run, name, i)));
    return most;
}

Test(layers_conv, starts_like_pytorchs) {
    const float bound = 1.0f / sqrtf(2.0f * 9.0f);

    make(&(fv_conv_config){.in = 32, .out = 64, .kernel = 3, .groups = 16, .bias = true});
    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&run.params, 1);
    cr_expect_leq(largest("stem.conv.weight", 64 * 18), bound);
    cr_expect_gt(largest("stem.conv.weight", 64 * 18), 0.9f * bound);
    cr_expect_leq(largest("stem.conv.bias", 64), bound);
    cr_expect_gt(largest("stem.conv.bias", 64), 0.8f * bound);
}

Test(layers_conv, starts_as_it_is_told) {
    make(&(fv_conv_config){
        .in = 32, .out = 64, .kernel = 3, .bias = true, .init = {FV_INIT_NORMAL, 0.5f}});
    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&run.params, 1);
    cr_expect_gt(largest("stem.conv.weight", 64 * 32 * 9), 1.5f);
    cr_expect_eq(largest("stem.conv.bias", 64), 0.0f);
}

Test(layers_conv, output_is_tapped_under_the_path) {
    make(&(fv_conv_config){.in = 4, .out = 4, .kernel = 3, .padding = -1, .groups = 4});
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "stem.*", FV_WATCH_VALUE), FV_OK);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                                fv_shape_of(4, (int64_t)1, (int64_t)3, (int64_t)3, (int64_t)4));
    fv_var *y = fv_conv_layer_forward(&layer, x);
    cr_assert_eq(fv_tape_find(run.tape, "stem.conv"), y);
    cr_assert_str_eq(y->scope, "stem.conv");
}

Test(layers_conv, groups_that_do_not_divide_name_the_layer) {
    const fv_conv_config cfg = {.in = 4, .out = 6, .kernel = 3, .groups = 4};
    cr_assert_eq(fv_conv_layer_init(&layer, layer_run_scope(&run, "stem.conv"), &cfg),
                 FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "stem.conv: 4 groups"), "%s", fv_error_message());
}
