#include "layers/eca.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>

enum { B = 3, H = 2, W = 3, C = 6 };

static layer_run run;
static fv_eca layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_eca, .init = enter, .fini = leave);

static fv_status init(int64_t dim, int64_t kernel) {
    layer_run_close(&run);
    layer_run_open(&run);
    return fv_eca_init(&layer, layer_run_scope(&run, "eca"), dim, kernel);
}

Test(layers_eca, chooses_the_kernel_by_width) {
    const int64_t want[][2] = {{1, 3}, {16, 3}, {63, 3}, {64, 3}, {128, 5}, {512, 5}, {2048, 7}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        cr_assert_eq(init(want[i][0], 0), FV_OK);
        cr_expect_eq(layer.weight->numel, want[i][1], "of %d", (int)want[i][0]);
    }
    cr_expect_str_eq(layer.weight->name, "eca.conv.weight");
    cr_expect_eq(run.params.count, 1);
    cr_expect_eq(init(16, 4), FV_ERR_CONFIG);
    cr_expect_eq(init(0, 0), FV_ERR_CONFIG);
}

static double gate_of(const float *x, int b, int c) {
    double z = 0.0;

    for (int t = 0; t < 3; t++)
        for (int i = 0; i < H * W && c + t >= 1 && c + t <= C; i++)
            z += (double)x[(b * H * W + i) * C + c + t - 1] / (H * W) *
                 (double)layer_run_value(&run, "eca.conv.weight", t);
    return 1.0 / (1.0 + exp(-z));
}

Test(layers_eca, gates_channels_in_every_mode) {
    cr_assert_eq(init(C, 0), FV_OK);
    layer_run_ready(&run);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        fv_var *x = layer_run_begin(&run, &(fv_step){.mode = (fv_mode)mode},
                                    fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C));
        fv_var *y = fv_keep(fv_eca_forward(&layer, x));
        const float *in = x->data, *out = y->data;
        cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
        for (int i = 0; i < B * H * W * C; i++)
            cr_assert_float_eq((double)out[i], (double)in[i] * gate_of(in, i / (H * W * C), i % C),
                               1e-6);
    }
    cr_expect_str_eq(fv_tape_scope(run.tape, ""), "", "the caller's scope is back");
}

Test(layers_eca, keeps_bf16) {
    cr_assert_eq(init(C, 0), FV_OK);
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true},
                                fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C));
    fv_var *y = fv_eca_forward(&layer, fv_activation(x, FV_RELU, FV_BF16));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_expect_eq(y->dtype, FV_BF16);
}
